"""Keep freed memory for the next operation instead of giving it back to the system each time."""

import ctypes
import sys

# Numbers of glibc's malloc.h.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
NEVER = -1
TOP_PAD_BYTES = 2**28


def keep_freed_memory() -> None:
    """Tell glibc to reuse its heap for large arrays too; does nothing on other systems.

    A clip's features are arrays of 25 to 100 MB, and by default each one is new memory that the kernel has to clear: at
    360x640 that is a fifth of the time of a clip on a CPU. Only programs should call this, not libraries.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, NEVER)
    mallopt(M_TOP_PAD, TOP_PAD_BYTES)
