"""What a command told the disk, in its order, as strace has recorded it.

In: a command line. Out: a list of `Call`: writes, flushes and changes of folders, with absolute paths. What a power cut
would leave of them is left to `disk_after_power_cut`.
"""

import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TRACED = (
    "open,openat,creat,mkdir,mkdirat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,rmdir,"
    "write,pwrite64,writev,pwritev,pwritev2,copy_file_range,sendfile,fallocate,truncate,ftruncate,mmap,"
    "fsync,fdatasync"
)
_LINE = re.compile(r"(\d+)\s+(\w+)\((.*)\)\s+= (-?\d+|0x[0-9a-f]+)")
_UNFINISHED = re.compile(r"(\d+)\s+(\w+\(.*) <unfinished \.\.\.>$")
_RESUMED = re.compile(r"(\d+)\s+<\.\.\. \w+ resumed>(.*)$")
_DESCRIPTOR = re.compile(r"(?:AT_FDCWD|\d+)<((?:[^<>\\]|\\.)*)>")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
WRITES = {"write", "pwrite64", "writev", "pwritev", "pwritev2", "fallocate", "ftruncate"}


@dataclass(frozen=True)
class Call:
    """One thing that was done to the disk.

    Attributes
    ----------
    kind
        create, truncate, write, flush, mkdir, rename, link, unlink.
    path
        The file or folder.
    other
        Where it is renamed or linked to.
    """

    kind: str
    path: str
    other: str = ""


def record_calls(
    arguments: Sequence[str], folder: Path, log: Path, environment: Mapping[str, str]
) -> tuple[int, list[Call], str]:
    """Run a command under strace: its exit code, its calls, and what it printed."""
    traced = ["strace", "-f", "-y", "-s", "0", "--seccomp-bpf", "-e", f"trace={TRACED}", "-o", str(log)]
    ran = subprocess.run(
        [*traced, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    return ran.returncode, list(parse(log.read_text(encoding="utf-8"), folder)), ran.stdout + ran.stderr


def parse(text: str, folder: Path) -> Iterator[Call]:
    """Read strace's lines; calls that failed, or that change nothing under the folder, are left out."""
    for name, arguments in _join(text.splitlines()):
        for call in _understand(name, arguments, folder):
            if call.path.startswith(f"{folder}/") or call.path == str(folder):
                yield call


def _join(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Name and arguments of every call that succeeded, at the time when it ended."""
    begun: dict[str, str] = {}
    for line in lines:
        if found := _UNFINISHED.match(line):
            begun[found[1]] = found[2]
            continue
        if found := _RESUMED.match(line):
            line = f"{found[1]} {begun.pop(found[1], '')}{found[2]}"
        if (found := _LINE.match(line)) and not found[4].startswith("-"):
            yield found[2], found[3]


def _understand(name: str, arguments: str, folder: Path) -> Iterator[Call]:
    open_at = [_unescape(path) for path in _DESCRIPTOR.findall(arguments)]
    named = [_resolve(_unescape(path), folder) for path in _STRING.findall(_DESCRIPTOR.sub("", arguments))]
    if name in ("open", "openat", "creat"):
        if "O_CREAT" in arguments or name == "creat":
            yield Call("create", named[0])
        if "O_TRUNC" in arguments or name == "creat":
            yield Call("truncate", named[0])
    elif name == "truncate":
        yield Call("write", named[0])
    elif name in WRITES and open_at:
        yield Call("write", open_at[0])
    elif name in ("copy_file_range", "sendfile") and open_at:
        yield Call("write", open_at[-1] if name == "copy_file_range" else open_at[0])
    elif name == "mmap" and "PROT_WRITE" in arguments and "MAP_SHARED" in arguments and open_at:
        yield Call("write", open_at[0])
    elif name in ("fsync", "fdatasync"):
        yield Call("flush", open_at[0])
    elif name in ("mkdir", "mkdirat"):
        yield Call("mkdir", named[0])
    elif name.startswith("rename"):
        yield Call("rename", named[0], named[1])
    elif name in ("link", "linkat", "symlink", "symlinkat"):
        yield Call("link", named[0], named[1])
    elif name in ("unlink", "unlinkat", "rmdir"):
        # unlinkat names a file in an open folder.
        inside = f"{open_at[0]}/{_STRING.findall(_DESCRIPTOR.sub('', arguments))[0]}" if open_at else named[0]
        yield Call("unlink", str(Path(inside)) if inside.startswith("/") else named[0])


def _resolve(path: str, folder: Path) -> str:
    return str(folder / path) if path else ""


def _unescape(path: str) -> str:
    """Undo strace's octal escapes: `\\303\\251` is é."""
    return (
        path.encode("latin-1", "backslashreplace").decode("unicode_escape").encode("latin-1").decode("utf-8", "replace")
    )
