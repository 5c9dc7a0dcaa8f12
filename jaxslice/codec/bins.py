"""16-bit voxels: inputs that fit 8 bits, and the bins that are coded in place of symbols.

The noise of 16-bit voxels covers many levels. A shift s is chosen for each voxel from the activity
around it, such that the differences of its neighbours to the reference fit 8 bits after a shift by
s bits; these are the inputs of the network. The network predicts in units of 2**s symbols.

    symbol = bin << r | low        r = clip(s - FINER, 0, bits)

The bin is coded by the mixture. The r low bits are coded plainly: a bin is so much narrower than
the noise that they are evenly distributed.

All numbers are integers. In int32 and float32 they are exact: symbols and references are below
2**16, the sum of up to 16 absolute differences below 2**20, edges 16 * symbol below 2**20 in size.
Shifted differences are within -128..127, where 8-bit voxels have -255..255; the activity is at most
255 * A plus the offset, as for 8 bits; the extras are within -176..208 and -128..127, so that
127 * (208 + 128) and a bias below 2**22 add less than 2**23 to a product of at most 2**23. An edge
and a mean are at most 2**13 apart, and an inverse scale is at most 2**17: distances stay within
2**30.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxslice.codec.architecture import ACTIVITY_HIGH, Architecture
from jaxslice.codec.curve import PRECISION
from jaxslice.core.jax_types import Contexts, Integers

SHIFT_HIGH = 8
FINER = 1
"""A bin is this many bits narrower than the unit of the inputs."""

MEAN_LOW, MEAN_HIGH = -2048, 2047
"""Range of a component's mean, relative to the reference, in 1/16 of 2**s symbols."""

EDGE_LOW, EDGE_HIGH = -6144, 6143
"""Range of an edge relative to the reference, in the same unit. Further edges count as this far."""

LOSS_SHIFT = 10
WIDTH_BITS = 14


class Bins(NamedTuple):
    """How the symbols of n voxels are divided into bins.

    Attributes:
      reference: int32 [1, n] within [0, 65535], a multiple of 2**shift.
      shift: int32 [1, n] within [0, SHIFT_HIGH].
      bits: int32 [1, n] within [0, 16], bits of the largest symbol of the voxel's slice.
    """

    reference: jax.Array
    shift: jax.Array
    bits: jax.Array


def bit_length(value: jax.Array) -> jax.Array:
    """Bits of an int32 of at least 0: 0 has none."""
    return 32 - jax.lax.clz(value)


def wide_features(
    contexts: Contexts, architecture: Architecture, limit: Integers
) -> tuple[Contexts, Integers, Integers, Bins]:
    """The fields of `features.Features` for 16-bit voxels; see `features.features_of`."""
    contexts = contexts.astype(jnp.int32)
    first, second, third, fourth = contexts[:4]
    reference = _reference(first, second, third, fourth, contexts[architecture.fallback], limit)
    inside = contexts >= 0
    nearest = contexts[: architecture.activity_count]
    sizes = jnp.where(inside[: len(nearest)], jnp.abs(nearest - reference[None]), 0)
    total = sizes.sum(axis=0, dtype=jnp.int32)
    shift = jnp.minimum(bit_length(total >> 8), SHIFT_HIGH)
    reference = (reference >> shift) << shift
    inputs = jnp.where(inside, shifted(contexts - reference[None], shift[None]), 0)
    near = total >> shift
    offset = architecture.activity_offset
    more = jnp.where(shift > 0, (near * offset) >> 8, offset)
    activity = jnp.minimum(near + more, ACTIVITY_HIGH)
    found = Bins(reference[None], shift[None], bit_length(limit - 1)[None])
    return inputs.astype(jnp.float32), reference, activity, found


def shifted(differences: jax.Array, shift: jax.Array) -> jax.Array:
    """Differences to the reference as inputs: shifted, rounded and clipped to 8 bits."""
    half = (1 << shift) >> 1
    return jnp.clip((differences + half) >> shift, -128, 127)


def _reference(
    first: jax.Array,
    second: jax.Array,
    third: jax.Array,
    fourth: jax.Array,
    fallback: jax.Array,
    limit: jax.Array,
) -> jax.Array:
    """A weighted mean of the four nearest voxels, with replacements for those outside."""
    fallback = jnp.where(fallback < 0, limit >> 1, fallback)
    first_or = jnp.where(first < 0, jnp.where(second < 0, fallback, second), first)
    second_or = jnp.where(second < 0, first_or, second)
    third_or = jnp.where(third < 0, second_or, third)
    fourth_or = jnp.where(fourth < 0, first_or, fourth)
    return (3 * first_or + 3 * second_or + third_or + fourth_or) >> 3


def wide_extras(bins: Bins, loglevel: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The two inputs beside the differences, as if symbols had been brought to 8 bits."""
    beyond = jnp.maximum(bins.bits[0] - 8, 0)
    tone = (bins.reference[0] >> beyond) - 128
    return tone, loglevel + 16 * (bins.shift[0] - beyond) - 112


def offset_mean(offset: jax.Array) -> jax.Array:
    """Means of the components, relative to the reference."""
    return jnp.clip(offset, MEAN_LOW, MEAN_HIGH)


def low_bits_of(bins: Bins) -> Integers:
    """int32 [n]: r, the low bits of symbols that are coded plainly."""
    return jnp.clip(bins.shift[0] - FINER, 0, bins.bits[0])


def count_of(bins: Bins, limit: Integers) -> Integers:
    """int32 [n]: number of bins, given the alphabet sizes."""
    return ((limit - 1) >> low_bits_of(bins)) + 1


def edges_of(bins: Bins, index: Integers) -> Integers:
    """int32 [n]: the lower edge of bin `index`, in 1/16 of 2**s symbols from the reference."""
    edge = 16 * ((index << low_bits_of(bins)) - bins.reference[0]) - 8
    return jnp.clip(edge >> bins.shift[0], EDGE_LOW, EDGE_HIGH)


def widths_of(bins: Bins) -> tuple[Integers, Integers]:
    """How every bin gets a width of at least 1, int32 [n] each.

    There are at most 2**k bins. Each gets 2**(14 - k), or 1 if k is larger, and the mixture's
    widths are reduced by as much as that takes.

    Returns:
      (loss, width_bits): the mixture's widths are reduced by the factor 1 - 2**-loss, and a bin
      gets 2**width_bits.
    """
    k = bins.bits[0] - low_bits_of(bins)
    return jnp.minimum(LOSS_SHIFT, PRECISION - k), jnp.maximum(WIDTH_BITS - k, 0)


def widened(bins: Bins, index: Integers, total: Integers) -> Integers:
    """C(index) from the mixture's cumulative distribution."""
    loss, width_bits = widths_of(bins)
    return total - (total >> loss) + (index << width_bits)


def most_rounds(count: Integers) -> jax.Array:
    """int32: rounds of bisection that find any of the largest number of bins."""
    return bit_length(count.max() - 1)
