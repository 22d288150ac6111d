"""Return memory that the C library keeps after it was freed."""

import ctypes
import sys


def release_free_memory() -> None:
    """Give the system back what was freed in pieces, which glibc keeps; elsewhere nothing is done."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # not in every C library
        if trim is not None:
            trim(0)
