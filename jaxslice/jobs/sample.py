"""Some blocks of a volume, spread over it and coded, to say what all of them will take.

Blocks are drawn in two steps. Many are looked at, a part of a slice each, to learn how much of the
volume holds something; of both kinds some blocks are coded (Cochran, Sampling Techniques, section
12.2).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from jaxslice.archive.store import Archive
from jaxslice.core.box import Box, Triple
from jaxslice.jobs.encoding import Encoded, EncodeTask
from jaxslice.jobs.patches import LEAST_FILLED, filled_part
from jaxslice.jobs.task import Worker
from jaxslice.volumes.source import Source

LOOKED_AT, LOOK_SHAPE = 256, (1, 128, 128)
"""Blocks that are looked at, and the largest shape of what is read of each."""

_READS = 16
"""Parts that are read at once."""

_STEPS = (math.sqrt(2) - 1, math.sqrt(3) - 1, (math.sqrt(5) - 1) / 2)
"""Of an additive sequence along each axis: irrational numbers far from simple fractions, so that
few points are spread evenly already (Kronecker)."""

_T = (
    12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
    2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
"""Student's t that 95 % of samples do not exceed, for 1, 2, ... degrees of freedom."""


@dataclasses.dataclass(frozen=True)
class Stratum:
    """Blocks that are alike: all that hold something, or all that hold next to nothing.

    Attributes:
      part: of the volume's blocks, from 0 to 1.
      indices: of the blocks that stand for them.
    """

    part: float
    indices: tuple[Triple, ...]


@dataclasses.dataclass(frozen=True)
class Coded:
    """A block that was coded and not kept.

    Attributes:
      index: of the block.
      voxels: of the block that lie in the volume.
      payload_bytes: that it takes.
    """

    index: Triple
    voxels: int
    payload_bytes: int


@dataclasses.dataclass(frozen=True)
class SampleTask(EncodeTask):
    """Some blocks to code without storing them."""

    def write(self, results: list[Encoded], worker: Worker) -> list[Coded]:  # type: ignore[override]
        """What the blocks take."""
        return [
            Coded(index, self.archive.box_of(index).size, len(item.payload))
            for index, item in zip(self.indices, results, strict=True)
        ]


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A number of bytes, and the range in which the true one is expected in 95 % of samples."""

    value: float
    low: float
    high: float


def draw(source: Source, archive: Archive, count: int) -> list[Stratum]:
    """Draws blocks to code.

    Args:
      source: of the voxels.
      archive: says where the blocks lie; nothing of it is read.
      count: of blocks; all if there are no more.

    Raises:
      SourceDataError: voxels that cannot be read.
    """
    if archive.num_blocks <= count:
        return [Stratum(1.0, tuple(archive.blocks()))]
    looked = spread(archive.grid_shape, _looked_at(count))
    with ThreadPoolExecutor(_READS, "jaxslice-look") as pool:
        parts = list(pool.map(lambda i: filled_part(source, _middle(archive.box_of(i))), looked))
    groups = [
        [index for index, part in zip(looked, parts, strict=True) if (part >= LEAST_FILLED) == full]
        for full in (True, False)
    ]
    full, sparse = groups
    # What holds next to nothing says little, but it may differ from what a slice shows.
    few = min(len(sparse), max(count // 4, count - len(full)))
    taken = full[: count - few], sparse[:few]
    return [
        Stratum(len(group) / len(looked), tuple(some))
        for group, some in zip(groups, taken, strict=True)
        if some
    ]


def _looked_at(count: int) -> int:
    return max(LOOKED_AT, 4 * count)


def spread(grid: Triple, count: int) -> list[Triple]:
    """Indices of blocks, none twice, spread evenly over a grid in the order in which they fill it.

    Args:
      grid: blocks along z, y and x.
      count: of indices; all if the grid has no more.
    """
    count = min(count, math.prod(grid))
    found: dict[Triple, None] = {}
    for number in range(1, 16 * count):
        z, y, x = (
            int(n * ((0.5 + number * step) % 1.0)) for n, step in zip(grid, _STEPS, strict=True)
        )
        found[(z, y, x)] = None
        if len(found) == count:
            return list(found)
    # A grid that is hardly larger than the sample is filled up in its own order.
    rest = dict.fromkeys((int(z), int(y), int(x)) for z, y, x in np.ndindex(grid))
    return list(found | rest)[:count]


def _middle(block: Box) -> Box:
    """What is looked at of a block."""
    z, y, x = (
        (start + stop - min(most, stop - start)) // 2
        for start, stop, most in zip(block.start, block.stop, LOOK_SHAPE, strict=True)
    )
    return Box.of_shape(LOOK_SHAPE, (z, y, x)).intersect(block)


def estimated_bytes(
    strata: Sequence[Stratum], coded: dict[Triple, Coded], num_blocks: int, num_voxels: int
) -> Estimate:
    """The bytes of all blocks of a volume, from those that were coded.

    Blocks at the far edges are smaller than others, so that bytes are estimated for each voxel (the
    ratio estimator of Cochran, section 6.3); the strata are of uncertain size themselves.

    Args:
      strata: from `draw`.
      coded: what each of their blocks takes.
      num_blocks: of the volume.
      num_voxels: of the volume.
    """
    rates, variance, freedom = [], 0.0, 0
    for stratum in strata:
        blocks = [coded[index] for index in stratum.indices]
        sizes = np.array([block.payload_bytes for block in blocks], float)
        voxels = np.array([block.voxels for block in blocks], float)
        rate = sizes.sum() / voxels.sum()
        rates.append(rate)
        count = len(blocks)
        left = max(0.0, 1 - count / max(1.0, stratum.part * num_blocks))
        # One block says nothing of how blocks differ: they might by as much as it takes.
        spread_of = (sizes - rate * voxels).std(ddof=1) if count > 1 else sizes[0]
        variance += (stratum.part * spread_of / voxels.mean()) ** 2 / count * left
        freedom += count - 1
    parts = [stratum.part for stratum in strata]
    mean = float(np.dot(parts, rates))
    if len(strata) > 1:
        looked = min(_looked_at(len(coded)), num_blocks)
        between = float(np.dot(parts, (np.array(rates) - mean) ** 2))
        variance += between / looked * (1 - looked / num_blocks)
    t = _T[min(max(freedom, 1), len(_T)) - 1]
    margin = t * math.sqrt(variance)
    return Estimate(
        mean * num_voxels, max(0.0, mean - margin) * num_voxels, (mean + margin) * num_voxels
    )
