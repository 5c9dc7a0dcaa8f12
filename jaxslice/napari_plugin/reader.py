"""What napari calls to open an archive."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jaxslice.archive.lazy_volume import LazyVolume
from jaxslice.archive.scales import open_volumes
from jaxslice.core.errors import FormatError, UsageError
from jaxslice.storage.location import public_name

Layer = tuple[Any, dict[str, Any], str]
"""Data, the layer's properties, and the kind of layer, as napari takes them."""


def reader_of(path: str | list[str]) -> Callable[[str | list[str]], list[Layer]] | None:
    """A function that opens the path, or None if it is no archive.

    Args:
      path: a folder or a URL; napari passes a list for a stack of files, which no archive is.
    """
    if not isinstance(path, str):
        return None
    try:
        open_volumes(path)
    except (UsageError, FormatError):
        return None
    return read


def read(path: str | list[str]) -> list[Layer]:
    """Opens an archive as one layer, of several scales if the archive has several."""
    assert isinstance(path, str), "reader_of refuses lists"
    finest, *coarser = open_volumes(path)
    placement = finest.archive.placement
    sizes = [size or 1.0 for size in placement.voxel_size_nm]
    properties = {
        "name": public_name(path).removesuffix(".zarr"),
        "scale": sizes,
        "translate": [o * size for o, size in zip(placement.offset_voxels, sizes, strict=True)],
        "units": ("nm", "nm", "nm"),
        "contrast_limits": _contrast(coarser[-1] if coarser else finest),
        "multiscale": bool(coarser),
    }
    return [([finest, *coarser] if coarser else finest, properties, "image")]


def _contrast(volume: LazyVolume) -> tuple[float, float]:
    """The grey levels of black and white: all of them, or of 16 bits those of the middle block.

    Otherwise napari would look for them in every voxel.
    """
    if volume.dtype == np.uint8:
        return (0.0, 255.0)
    middle = (n // 2 // size * size for n, size in zip(volume.shape, volume.chunks, strict=True))
    z, y, x = (slice(a, a + n) for a, n in zip(middle, volume.chunks, strict=True))
    block = np.asarray(volume[z, y, x])
    low, high = float(np.quantile(block, 0.005)), float(np.quantile(block, 0.995))
    return (low, max(high, low + 1))
