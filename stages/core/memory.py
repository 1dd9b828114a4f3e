"""Keep the memory of one piece of work for the next, instead of fetching it from the system again.

In: nothing. Out: a setting of this process. It imports nothing heavy: decoding processes call it as they start.
"""

import ctypes

# glibc's numbers of these settings (malloc.h), and the largest allocation that it lets its heap serve.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, FROM_HEAP_BYTES = -1, -3, 32 * 2**20
KEPT_BYTES = 256 * 2**20


def keep_freed_memory() -> None:
    """Let this process keep up to 256 MiB of freed memory for its next allocations, where glibc manages them.

    Fetched from the system each time, every page is a fault and is filled with zeros: a fifth of a training step of 256
    pooled images, a tenth of looking into a large JPEG, a hundredth of a forward pass of ResNet-101.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return  # macOS, Windows, musl
    mallopt(M_MMAP_THRESHOLD, FROM_HEAP_BYTES)
    mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
