"""Samples of voxels with their contexts, for fitting linear predictors. Needs no JAX."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxslice.codec import levels
from jaxslice.codec.linear import LinearArchitecture
from jaxslice.codec.numpy_features import NO_REFERENCE, reference_of
from jaxslice.core.types import Volume

ROW_VOXELS = 32
"""Voxels along x that are drawn together: reading rows is faster than reading single voxels."""

OUTSIDE = -1


class Sample(NamedTuple):
    """Voxels of a volume, in symbols.

    Attributes:
      symbols: float32 [n].
      limits: float32 [n], levels of each voxel's slice.
      reference: float32 [n], of FORMAT.md, section 4.
      differences: float32 [c, n], context voxels less the reference, 0 where these are outside.
      slices: int [n], a number for the slice that each voxel is in, from 0, ascending.
    """

    symbols: np.ndarray
    limits: np.ndarray
    reference: np.ndarray
    differences: np.ndarray
    slices: np.ndarray

    def of_slices(self, chosen: np.ndarray) -> Sample:
        """The voxels of the slices with the numbers `chosen`."""
        inside = np.isin(self.slices, chosen)
        return Sample(*(part[..., inside] for part in self))


def draw(
    blocks: Sequence[Volume],
    leads: Sequence[int],
    architecture: LinearArchitecture,
    count: int,
    seed: int,
) -> Sample:
    """Draws voxels from blocks, in rows along x.

    Args:
      blocks: uint8 [z, y, x] each.
      leads: for each block how many of its first slices only serve as context.
      architecture: whose context is read.
      count: of voxels, about; fewer where the blocks have fewer.
      seed: of the draw.
    """
    generator = np.random.default_rng(seed)
    total = sum(block[lead:].size for block, lead in zip(blocks, leads, strict=True))
    share = min(1.0, count / total)
    parts, first = [], 0
    for block, lead in zip(blocks, leads, strict=True):
        *drawn, z = _draw_from(block, lead, architecture, share, generator)
        parts.append((*drawn, z + first))
        first += len(block)
    symbols, limits, contexts, slices = (
        np.concatenate(arrays, axis=-1) for arrays in zip(*parts, strict=True)
    )
    none, outside = np.array(NO_REFERENCE), contexts < 0
    reference = reference_of(contexts, outside, architecture.fallback, none).astype(np.int16)
    differences = np.where(contexts == OUTSIDE, 0, contexts - reference).astype(np.float32)
    slices = np.unique(slices, return_inverse=True)[1]
    floats = [part.astype(np.float32) for part in (symbols, limits, reference)]
    return Sample(floats[0], floats[1], floats[2], differences, slices)


def _draw_from(
    block: Volume,
    lead: int,
    architecture: LinearArchitecture,
    share: float,
    generator: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Symbols, levels, contexts and slices of a share of a block's voxels."""
    offsets = np.array(architecture.context)
    reach = np.abs(offsets).max(axis=0)
    tables = levels.choose(block)
    border = [(reach[0], 0), (reach[1], reach[1]), (reach[2], reach[2])]
    symbols = levels.symbols_of(block, tables).astype(np.int16)
    padded = np.pad(symbols, border, constant_values=OUTSIDE)
    depth, height, width = block.shape
    length = min(ROW_VOXELS, width)
    runs = width // length
    rows = (depth - lead) * height * runs
    chosen = np.sort(generator.choice(rows, max(1, round(rows * share)), replace=False))
    z, rest = chosen // (height * runs) + lead, chosen % (height * runs)
    y, x = rest // runs, rest % runs * length + int(generator.integers(width % length + 1))
    strides = np.array([padded.shape[1] * padded.shape[2], padded.shape[2], 1])
    first = np.stack([z, y, x], axis=1) @ strides + reach @ strides
    place = (first[:, None] + np.arange(length)).ravel()
    flat = padded.ravel()
    contexts = np.stack([flat[place + lag] for lag in offsets @ strides])
    limits = np.repeat(levels.sizes(tables)[z], length)
    return flat[place], limits, contexts, np.repeat(z, length)
