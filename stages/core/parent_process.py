"""End a worker when the process that started it has ended, however that ended.

In: the parent's process id. Out: nothing. What a worker does is left to its caller.
"""

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time

LOOK_EVERY_S = 0.5
PR_SET_PDEATHSIG = 1


def end_with_parent(parent: int) -> None:
    """Look every half second whether this process has been orphaned, and end it if so.

    On every system a thread of the worker looks. Linux's PR_SET_PDEATHSIG alone would not do: it tells of the end of
    the parent's *thread* that started the worker, which may end long before the parent does.

    Parameters
    ----------
    parent
        The process that started this one.
    """
    threading.Thread(target=_watch, args=(parent,), name="parent-watch", daemon=True).start()


def die_with_parent_thread(parent: int) -> None:
    """Have Linux kill this process when the parent's thread that started it ends; elsewhere do nothing."""
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the call
        os._exit(1)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_EVERY_S)
    os._exit(1)
