"""Tell a process apart from every other, and whether it has ended.

In: its number. Out: where numbers are valid, and when a process started. What a dead process leaves is left to others.
"""

import os
from pathlib import Path

import psutil


def describe_place() -> str:
    """Name the boot of this machine and its namespace of process numbers; empty where Linux's files are missing."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def read_start(pid: int) -> str:
    """Read when a process started; empty if it has ended."""
    try:
        # Ticks since the boot: unlike a time of day, they do not move when the clock is set.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return "" if fields[0] in b"ZX" else fields[19].decode()
    except OSError:
        pass
    try:
        process = psutil.Process(pid)
        return "" if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.0f}"
    except psutil.Error:
        return ""
