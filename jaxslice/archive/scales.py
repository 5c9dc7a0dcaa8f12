"""All scales of an archive at once, for viewers."""

from __future__ import annotations

import os

from jaxslice.archive.lazy_volume import CACHE_BYTES, LazyVolume, open_volume


def open_scales(
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
    return (open_volume(location, cache_bytes=cache_bytes),)
