"""How the C library hands memory to this process."""

import ctypes
import os

from jaxslice.core.machine import num_cores

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
"""Parameters of glibc's `mallopt`."""


_KEPT_BYTES = 2_000_000_000


_LARGEST_ARRAY_BYTES = 1 << 30


def keep_memory() -> bool:
    """Lets glibc keep the arrays of a block for those of the next.

    By default glibc maps each array of some megabytes anew and unmaps it again, and the kernel
    fills every page with zeros. Threads share a few arenas, so that one can reuse the memory that
    another has freed.

    It holds for the whole process, so it is for programs, not for libraries. Another C library,
    and a user who has set one of glibc's own variables, are left alone.

    Returns:
      Whether anything was changed.
    """
    set_by_user = any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ)
    if set_by_user or not _is_glibc():
        return False
    library = ctypes.CDLL(None)
    settings = {
        _M_ARENA_MAX: 2 * num_cores(),
        _M_MMAP_THRESHOLD: _LARGEST_ARRAY_BYTES,
        _M_TRIM_THRESHOLD: _KEPT_BYTES,
    }
    return all([library.mallopt(name, value) == 1 for name, value in settings.items()])


def _is_glibc() -> bool:
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (AttributeError, OSError, ValueError):
        return False
