"""A volume at a coarser scale: each voxel is the mean of those of a finer scale, rounded."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from jaxslice.core.box import Box, Triple
from jaxslice.core.placement import Placement
from jaxslice.volumes.details import VoxelSize
from jaxslice.volumes.interface import Source

HALVED_WITHIN = math.sqrt(2)
"""An axis is halved if its voxels are at most so much longer than those of the finest axis: that
brings the voxels closest to cubes."""


@dataclasses.dataclass(frozen=True)
class MeanReader:
    """Reads boxes of a volume at a coarser scale; see `interface.Reader`.

    Windows are aligned to the global coordinate 0. One that reaches beyond the volume is the mean
    of the voxels that there are. A mean halfway between two levels becomes the upper one.

    Attributes:
      finer: the volume to pool.
      factors: voxels of a window along z, y and x.
    """

    finer: Source
    factors: Triple

    def __call__(self, box: Box) -> np.ndarray:
        z, y, x = self.factors
        # Corners in voxels of the finer scale.
        start, stop = ((a * z, b * y, c * x) for a, b, c in (box.start, box.stop))
        fine = Box(start, stop).intersect(self.finer.box)
        voxels = self.finer.read(fine)
        sums = voxels.astype(np.uint32)
        count = np.ones((1, 1, 1), np.uint32)
        for axis, factor in enumerate(self.factors):
            edges = np.arange(box.start[axis], box.stop[axis]) * factor - fine.start[axis]
            edges = np.maximum(edges, 0)
            sums = np.add.reduceat(sums, edges, axis=axis)
            sizes = np.diff(edges, append=fine.shape[axis]).astype(np.uint32)
            count = count * sizes.reshape([-1 if n == axis else 1 for n in range(3)])
        # The mean rounded half up, without fractions.
        return ((2 * sums + count) // (2 * count)).astype(voxels.dtype)


def pooling_factors(voxel_size_nm: tuple[float, float, float], shape: Triple) -> Triple | None:
    """Voxels along each axis that become one at the next scale: 1 or 2.

    Axes whose voxels are much longer are not halved, until the others have caught up.

    Args:
      voxel_size_nm: z,y,x; 0 where it is not known.
      shape: of the volume.

    Returns:
      The factors, or None for a volume that has one voxel along every axis to be halved.
    """
    known = [size for size in voxel_size_nm if size > 0]
    limit = min(known, default=0.0) * HALVED_WITHIN
    z, y, x = (
        2 if size <= limit and n > 1 else 1 for size, n in zip(voxel_size_nm, shape, strict=True)
    )
    return None if (z, y, x) == (1, 1, 1) else (z, y, x)


def coarser_scale(voxel_size_nm: VoxelSize, box: Box) -> tuple[Triple, VoxelSize, Box] | None:
    """What the next coarser scale of a volume is, or None where there is nothing to halve.

    Args:
      voxel_size_nm: z,y,x; 0 where it is not known.
      box: of the volume, in global coordinates.

    Returns:
      The factors of `pooling_factors`, and the voxel size and the box of the scale.
    """
    factors = pooling_factors(voxel_size_nm, box.shape)
    if factors is None:
        return None
    z0, y0, x0 = (a // f for a, f in zip(box.start, factors, strict=True))
    z1, y1, x1 = (-(-b // f) for b, f in zip(box.stop, factors, strict=True))
    z, y, x = (s * f for s, f in zip(voxel_size_nm, factors, strict=True))
    return factors, (z, y, x), Box((z0, y0, x0), (z1, y1, x1))


def pooled(finer: Source) -> Source | None:
    """The next coarser scale of a volume, or None where there is nothing to halve.

    Its voxels are pooled when they are read.
    """
    coarser = coarser_scale(finer.placement.voxel_size_nm, finer.box)
    if coarser is None:
        return None
    factors, size, box = coarser
    return dataclasses.replace(
        finer,
        box=box,
        placement=Placement(size, box.start),
        reader=MeanReader(finer, factors),
        chunking=None,
    )
