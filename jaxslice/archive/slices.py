"""One plane of a volume as a picture."""

from __future__ import annotations

import numpy as np

from jaxslice.archive.lazy_volume import LazyVolume
from jaxslice.core.errors import UsageError

AXES = ("z", "y", "x")


def read_plane(volume: LazyVolume, axis: int, position: int) -> np.ndarray:
    """Reads one plane; the rows of a picture are z or y, its columns y or x.

    Args:
      volume: to read; only the blocks that the plane cuts are decoded.
      axis: that the plane is perpendicular to: 0 for z, 1 for y, 2 for x.
      position: along that axis, in global coordinates.

    Returns:
      [row, column]: [y, x], [z, x] or [z, y].

    Raises:
      UsageError: the volume has no such plane.
      FormatError: a block is missing or damaged.
    """
    box = volume.archive.box
    first, last = box.start[axis], box.stop[axis] - 1
    if not first <= position <= last:
        raise UsageError(
            f"Got {AXES[axis]} = {position}, expected {first} to {last}, where the volume is."
        )
    index: list[int | slice] = [slice(None)] * 3
    index[axis] = position - first
    return np.asarray(volume[tuple(index)])


def square_pixels(plane: np.ndarray, axis: int, voxel_size_nm: tuple[float, ...]) -> np.ndarray:
    """Repeats rows or columns of a plane, so that its pixels are about as wide as they are high.

    Args:
      plane: from `read_plane`.
      axis: of `read_plane`.
      voxel_size_nm: along z, y and x.
    """
    sizes = [size for other, size in enumerate(voxel_size_nm) if other != axis]
    if min(sizes) <= 0:
        return plane
    rows, columns = (max(1, round(size / min(sizes))) for size in sizes)
    return plane.repeat(rows, axis=0).repeat(columns, axis=1)
