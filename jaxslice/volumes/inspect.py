"""What a volume is, without reading its voxels."""

from __future__ import annotations

import math
from typing import Any

from jaxslice.volumes.interface import AnySource, SourceOptions
from jaxslice.volumes.source import open_any


def inspect(
    source: AnySource,
    options: SourceOptions = SourceOptions(),  # noqa: B008 - frozen
) -> dict[str, Any]:
    """Describes a volume from its metadata; its voxels may be of any dtype.

    Args:
      source: as of `open_source`.
      options: how to open it.

    Returns:
      A JSON object: the format, dtype, shape, voxel size in nm (None where it is not known),
      scales, and how the chunks are stored.

    Raises:
      UsageError: no such volume, or one of an unsupported kind.

    >>> import jaxslice
    >>> found = jaxslice.inspect("volume.npy")
    >>> found["format"], found["dtype"], found["shape"]
    ('npy', 'uint8', [4, 32, 48])
    """
    opened = open_any(source, options)
    details = opened.details.to_json()
    known = details.pop("voxel_size_known")
    size = opened.placement.voxel_size_nm
    return {
        "source": opened.description,
        "format": details.pop("format"),
        "dtype": str(opened.dtype),
        "shape": list(opened.shape),
        "voxel_size_nm": list(size) if known else None,
        "offset_voxels": list(opened.placement.offset_voxels),
        "raw_bytes": math.prod(opened.shape) * opened.dtype.itemsize,
        **{key: list(v) if isinstance(v, tuple) else v for key, v in details.items()},
    }
