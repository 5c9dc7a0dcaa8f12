"""What is coded of each voxel, in NumPy: an interval between two edges, and bits that are plain.

Of 8-bit voxels the interval is that of the symbol, of 16-bit voxels that of its bin; see `bins`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jaxslice.codec import curve
from jaxslice.codec.architecture import Architecture
from jaxslice.codec.numpy_features import bit_length
from jaxslice.training.batch import Batch

FINER = 1
WIDE_MEAN_LOW, WIDE_MEAN_HIGH = -2048, 2047
WIDE_EDGE_LOW, WIDE_EDGE_HIGH = -6144, 6143
WIDE_WIDTH_BITS = 14
"""Of 16-bit voxels, as in `bins`, where they are explained."""


class Target(NamedTuple):
    """What is coded of n voxels. Edges and means are in 1/16 of 2**shift symbols, relative to the
    reference; numbers are float32.

    Attributes:
      low: [n], the interval's lower edge.
      high: [n], the interval's upper edge.
      number: [n], of the interval in its alphabet.
      is_first: bool [n], whether it is the alphabet's first.
      is_last: bool [n], whether it is the alphabet's last.
      kept: the factor of the mixture's widths, [n] or scalar.
      width: what is added to each interval's width, as a share of the total; [n] or scalar.
      plain_bits: bits that are coded without a model, [n] or scalar.
      mean_low: least mean of a component, [n] or scalar.
      mean_high: largest mean of a component, [n] or scalar.
    """

    low: np.ndarray
    high: np.ndarray
    number: np.ndarray
    is_first: np.ndarray
    is_last: np.ndarray
    kept: np.ndarray | np.float32
    width: np.ndarray | np.float32
    plain_bits: np.ndarray | np.float32
    mean_low: np.ndarray | np.float32
    mean_high: np.ndarray | np.float32


def target_of(batch: Batch, architecture: Architecture) -> Target:
    """What is coded of the voxels of a batch."""
    return _wide(batch) if architecture.is_wide else _narrow(batch)


def _narrow(batch: Batch) -> Target:
    symbols, reference = batch.symbols.astype(np.float32), 16 * batch.features.reference
    low = 16 * symbols - 8 - reference
    return Target(
        low, low + 16, symbols, batch.symbols <= 0, batch.symbols + 1 >= batch.limits,
        np.float32(1 - 2.0**-curve.LOSS_SHIFT), np.float32(curve.MINIMUM_WIDTH / curve.TOTAL),
        np.float32(0), curve.MEAN_LOW - reference, curve.MEAN_HIGH - reference,
    )  # fmt: skip


def _wide(batch: Batch) -> Target:
    shift, bits = batch.features.shift, bit_length(batch.limits - 1)
    plain = np.clip(shift - FINER, 0, bits)
    index, last = batch.symbols >> plain, (batch.limits - 1) >> plain
    reference = batch.features.reference.astype(np.int32)
    low, high = (
        np.clip((16 * ((i << plain) - reference) - 8) >> shift, WIDE_EDGE_LOW, WIDE_EDGE_HIGH)
        for i in (index, index + 1)
    )
    used = bits - plain
    loss = np.minimum(curve.LOSS_SHIFT, curve.PRECISION - used).astype(np.float32)
    width = np.exp2(np.maximum(WIDE_WIDTH_BITS - used, 0).astype(np.float32)) / curve.TOTAL
    low, high, number = (part.astype(np.float32) for part in (low, high, index))
    return Target(
        low, high, number, index <= 0, index >= last, 1 - np.exp2(-loss), width,
        plain.astype(np.float32), np.float32(WIDE_MEAN_LOW), np.float32(WIDE_MEAN_HIGH),
    )  # fmt: skip
