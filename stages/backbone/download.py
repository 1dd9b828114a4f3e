"""Download a file within a time limit, in a separate process that can be ended when the time is up.

In: an address, a digest, a limit. Out: the file, or a `DownloadError`. It imports nothing heavy, so that the limit is
spent on the network; what the file holds is left to the caller.
"""

import hashlib
import multiprocessing
import os
import shutil
import tempfile
import urllib.request
from pathlib import Path


class DownloadError(Exception):
    """The file could not be downloaded; the message says why."""


def download(url: str, destination: Path, *, digest_prefix: str, timeout_s: float) -> None:
    """Fetch a file and check its digest; `destination` appears only when it is whole.

    Parameters
    ----------
    url
        Where it is.
    destination
        Where it goes.
    digest_prefix
        First digits of the SHA-256 that its bytes must have, hexadecimal.
    timeout_s
        Limit on the whole download, name look-up included.

    Raises
    ------
    DownloadError
        If it is out of reach, too slow, or not the file expected.
    """
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / "part"
        process = multiprocessing.get_context("spawn").Process(target=_fetch, args=(url, part), daemon=True)
        process.start()
        process.join(timeout_s)
        if process.is_alive():
            process.kill()
            process.join()
            raise DownloadError(f"{url} took longer than {timeout_s:.0f} s")
        if process.exitcode != 0:
            raise DownloadError(f"{url} is out of reach")
        with part.open("rb") as file:
            if not hashlib.file_digest(file, "sha256").hexdigest().startswith(digest_prefix):
                raise DownloadError(f"{url} is not the file expected: its digest does not begin with {digest_prefix}")
        destination.parent.mkdir(parents=True, exist_ok=True)
        partial = destination.with_name(f".{destination.name}.{os.getpid()}.partial")
        shutil.copyfile(part, partial)
        os.replace(partial, destination)


def _fetch(url: str, path: Path) -> None:
    try:
        with urllib.request.urlopen(url) as response, path.open("wb") as file:
            shutil.copyfileobj(response, file)
    except (OSError, ValueError):
        raise SystemExit(1) from None
