"""Fetch a file from the Hugging Face hub into its own cache, within a time limit.

In: a repository, a file's name, a limit. Out: the file in the cache with its commit and digest, a `DownloadError` where
another try may succeed, or a `StageError` where it cannot. What the file holds is left to `weights.py`.

The hub's settings are honoured: HF_HUB_CACHE, HF_HOME, HF_ENDPOINT, HF_HUB_OFFLINE, HF_TOKEN. The hub reads them when
it is imported, and it waits where it likes. So it works in a process of its own, which can be ended.
"""

import hashlib
import json
import multiprocessing
import os
import re
import signal
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from stages.backbone.download import DownloadError
from stages.core.errors import StageError

# How long an ended process may take to remove its partial file.
CLEAN_UP_S = 5.0
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class HubFile:
    """A file in the hub's cache: its path, the commit that it is of, and its SHA-256, hexadecimal."""

    path: Path
    commit: str
    digest: str

    @classmethod
    def read(cls, path: Path) -> "HubFile":
        """Compute the digest; the commit is the name of the file's folder."""
        with path.open("rb") as file:
            return cls(path, path.parent.name, hashlib.file_digest(file, "sha256").hexdigest())

    @property
    def is_whole(self) -> bool:
        """Whether the digest is the one that the hub announced, which names the blob that the cache's link leads to.

        Only the first link tells: it may lead on to a store that names files by another digest. A cache without links
        tells nothing, nor does the hub's name for small files.
        """
        name = Path(os.readlink(self.path)).name if self.path.is_symlink() else ""
        return SHA256.fullmatch(name) is None or name == self.digest


def fetch_from_hub(repository: str, filename: str, *, revision: str | None, timeout_s: float | None) -> HubFile:
    """Find a file in the hub's cache, or download it to there.

    Parameters
    ----------
    repository, filename
        Such as `timm/resnet18.a1_in1k` and `model.safetensors`.
    revision
        A branch, tag or commit; None is the main branch. What is in the cache counts as its newest.
    timeout_s
        Limit on the whole download; None waits for it.

    Raises
    ------
    DownloadError
        If the hub is out of reach or too slow.
    StageError
        If it refuses: there is no such repository or file, or not for this user.
    """
    cached = _find_in_cache(repository, filename, revision)
    if cached is not None and cached.is_whole:
        return cached
    file = _download(repository, filename, revision, damaged=cached, timeout_s=timeout_s)
    if not file.is_whole:
        raise StageError(f"{file.path} is not what {repository} announced: its digest is another")
    return file


def _find_in_cache(repository: str, filename: str, revision: str | None) -> HubFile | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, filename, revision=revision)
    return HubFile.read(Path(found)) if isinstance(found, str) else None


def _download(
    repository: str, filename: str, revision: str | None, *, damaged: HubFile | None, timeout_s: float | None
) -> HubFile:
    """Run `_fetch` in its process and tell what came of it."""
    place = f"{repository} on the Hugging Face hub"
    reason = f"{damaged.path} is damaged, and " if damaged is not None else ""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    arguments = (sender, repository, filename, revision, damaged is not None)
    process = context.Process(target=_fetch, args=arguments, daemon=True)
    process.start()
    sender.close()
    try:
        if not receiver.poll(timeout_s):
            raise DownloadError(f"{reason}{filename} of {place} took longer than {timeout_s:.0f} s")
        outcome = json.loads(receiver.recv_bytes())
        process.join(CLEAN_UP_S)
    except EOFError:
        raise DownloadError(f"{reason}the process that fetched {filename} of {place} ended early") from None
    finally:
        _end(process)
    if outcome["refused"]:
        raise StageError(outcome["refused"].format(place=place, filename=filename))
    if outcome["failed"]:
        raise DownloadError(f"{reason}{filename} of {place} is out of reach: {outcome['failed']}")
    return HubFile.read(Path(outcome["path"]))


def _end(process: multiprocessing.process.BaseProcess) -> None:
    """Let the process remove its partial file, of up to gigabytes, before it is killed."""
    if process.is_alive():
        process.terminate()
        process.join(CLEAN_UP_S)
    if process.is_alive():
        process.kill()
    process.join()


NO_FILE = (
    "{place} has no {filename}, and other files of weights are pickles, which are not read: convert them elsewhere "
    "with safetensors.torch.save_file and set backbone.weights to the file"
)
NO_REPOSITORY = (
    "there is no {place} for you: it is missing, private, or has terms to accept; log in with `hf auth login` or set "
    "HF_TOKEN, or download {filename} elsewhere and set backbone.weights to the file"
)


def _fetch(sender: Connection, repository: str, filename: str, revision: str | None, replace: bool) -> None:
    """Download in this process and send the path, or why there is none."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    outcome = {"path": "", "refused": "", "failed": ""}
    try:
        outcome["path"] = _fetch_by_hub(repository, filename, revision, replace)
    except KeyboardInterrupt:  # the limit, or the user
        raise SystemExit(1) from None
    except Exception as error:
        outcome |= _explain(error)
    sender.send_bytes(json.dumps(outcome).encode())


def _fetch_by_hub(repository: str, filename: str, revision: str | None, replace: bool) -> str:
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url

    # It asks once, where the download would ask for half a minute whether there is a network after all.
    get_hf_file_metadata(hf_hub_url(repository, filename, revision=revision))
    return hf_hub_download(repository, filename, revision=revision, force_download=replace)


def _explain(error: Exception) -> dict[str, str]:
    """Tell a refusal, which another try does not change, from a failure."""
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError, RepositoryNotFoundError

    if isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError):
        return {"refused": NO_FILE}
    if isinstance(error, RepositoryNotFoundError):  # those with terms to accept are a kind of it
        return {"refused": NO_REPOSITORY}
    cause = error.__cause__ or error
    return {"failed": " ".join(str(cause).split())[:300] or type(cause).__name__}
