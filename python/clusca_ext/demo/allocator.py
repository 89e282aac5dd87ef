"""Makes glibc keep the memory it was given back."""

import ctypes

# From malloc.h: a heap that never shrinks, grows by 256 MiB, and serves large blocks too.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4


def keep_freed_memory() -> None:
    """Spare everything that is timed the page faults of fresh results; for a process of its own.

    By default a large block goes back to the system when it is freed, or does not, depending on
    what was allocated before. Faulting its pages in again can take several times as long as the op
    itself, and would land on one of those compared or the other by luck.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        libc.mallopt(M_TOP_PAD, 2**28)
