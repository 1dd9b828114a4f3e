"""Where independent units of work run: joblib's backends on one machine or a cluster.

In: the `parallel` settings. Out: a context in which every `joblib.Parallel` uses them.
What a unit is is left to the stages.
"""

import contextlib
import importlib
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field, field_validator

from stages.core.errors import StageError
from stages.core.parent_process import end_with_parent
from stages.core.scratch import run_folder
from stages.core.settings import Settings

Made = TypeVar("Made")


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
def parallel_backend(settings: ParallelSettings, scratch: Path | None = None) -> Iterator[None]:
    """Run every `joblib.Parallel` of the block on the backend of the settings.

    Processes on this machine end when this one has ended, however it did.

    Parameters
    ----------
    settings
        Which backend.
    scratch
        Where large arrays are kept for processes that share them. None leaves that to joblib, which takes the memory of
        /dev/shm.

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
        folder = stack.enter_context(run_folder(scratch))
        watched = _watched() if settings.backend == "loky" else {}
        stack.enter_context(
            joblib.parallel_config(backend=settings.backend, n_jobs=settings.n_jobs, temp_folder=folder, **watched)
        )
        yield


def _watched() -> dict[str, Any]:
    """Have joblib's processes watch this one: by themselves they outlive it by five minutes."""
    return {"initializer": end_with_parent, "initargs": (os.getpid(),)}


@contextlib.contextmanager
def process_backend() -> Iterator[None]:
    """Replace a threading backend by processes, for work that seeds global random generators.

    Threads would draw from one another's generators. A cluster's backend stays.
    """
    import joblib
    from joblib.parallel import get_active_backend

    backend, _ = get_active_backend()
    threads = isinstance(backend, joblib.parallel.ThreadingBackend)
    with joblib.parallel_config(backend="loky", **_watched()) if threads else contextlib.nullcontext():
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


def in_order(pool: ThreadPoolExecutor, work: Callable[[int], Made], count: int, *, ahead: int) -> Iterator[Made]:
    """Yield `work(0)`, `work(1)`, …, with at most `ahead` later ones submitted."""
    waiting: deque[Future[Made]] = deque()
    try:
        for index in range(count):
            waiting.append(pool.submit(work, index))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
