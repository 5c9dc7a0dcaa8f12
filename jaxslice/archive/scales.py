"""All scales of an archive at once, as arrays for viewers."""

from __future__ import annotations

import os

from jaxslice.archive import store
from jaxslice.archive.lazy_volume import CACHE_BYTES, LazyVolume


def open_volumes(
    location: str | os.PathLike[str], *, cache_bytes: int = CACHE_BYTES
) -> tuple[LazyVolume, ...]:
    """Opens every scale of an archive, the finest first.

    Args:
      location: a local folder or a file://, http(s)://, gs:// or s3:// URL.
      cache_bytes: most memory for decoded blocks of each scale.

    Raises:
      UsageError: there is no archive.
      FormatError: its metadata are damaged or of a later version.
    """
    return tuple(LazyVolume(archive, cache_bytes) for archive in store.open_scales(location))
