"""Where independent units of work run: joblib's backends on one machine or a cluster.

In: the `parallel` settings. Out: a context in which every `joblib.Parallel` uses them.
What a unit is is left to the stages.
"""

import contextlib
import importlib
from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field, field_validator

from stages.core.errors import StageError
from stages.core.settings import Settings


class ParallelSettings(Settings):
    """Workers (`parallel` in params.yaml)."""

    backend: Literal["loky", "threading", "dask", "ray"] = "loky"
    """loky: processes on this machine. threading: threads. dask, ray: a cluster (their packages must be installed)."""
    n_jobs: int = Field(-1, ge=-1024, le=1024)
    """Workers; -1 is one per core, -2 all but one."""
    address: str | None = None
    """dask, ray: the scheduler's address; null starts one on this machine."""

    @field_validator("n_jobs")
    @classmethod
    def _some_workers(cls, n_jobs: int) -> int:
        if n_jobs == 0:
            raise ValueError("must not be 0: -1 takes every core")
        return n_jobs


@contextlib.contextmanager
def parallel_backend(settings: ParallelSettings) -> Iterator[None]:
    """Run every `joblib.Parallel` of the block on the backend of the settings.

    Raises
    ------
    StageError
        If the backend's package is not installed.
    """
    import joblib  # here, because the settings are read by commands that run nothing in parallel

    with contextlib.ExitStack() as stack:
        if settings.backend == "dask":
            client = _import("dask.distributed", "dask[distributed]").Client(settings.address)
            stack.enter_context(client)
        elif settings.backend == "ray":
            _import("ray", "ray").init(address=settings.address, ignore_reinit_error=True)
            _import("ray.util.joblib", "ray").register_ray()
        stack.enter_context(joblib.parallel_config(backend=settings.backend, n_jobs=settings.n_jobs))
        yield


@contextlib.contextmanager
def process_backend() -> Iterator[None]:
    """Replace a threading backend by processes, for work that seeds global random generators.

    Threads would draw from one another's generators. A cluster's backend stays.
    """
    import joblib
    from joblib.parallel import get_active_backend

    backend, _ = get_active_backend()
    threads = isinstance(backend, joblib.parallel.ThreadingBackend)
    with joblib.parallel_config(backend="loky") if threads else contextlib.nullcontext():
        yield


def _import(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        backend = module.partition(".")[0]
        raise StageError(
            f"parallel.backend is {backend}, which is not installed: `uv pip install '{package}'`, or set it to loky"
        ) from None


def thread_count(n_jobs: int) -> int:
    """Turn joblib's `n_jobs` into a number of threads on this machine; -1 is one per core."""
    import joblib

    cores: int = joblib.cpu_count()
    return n_jobs if n_jobs > 0 else max(1, cores + 1 + n_jobs)


def threads_each(workers: int) -> int:
    """Share the cores among processes: threads that each may use, at least one."""
    import joblib

    cores: int = joblib.cpu_count()
    return max(1, cores // workers)
