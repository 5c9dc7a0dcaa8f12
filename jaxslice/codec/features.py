"""Inputs of the network: differences of the context to a reference, and the local activity.

All values are integers. The differences are stored as float32 for the matrix product that follows.
Features do not depend on weights, so training and coding use the same functions.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxslice.codec.architecture import Architecture
from jaxslice.codec.bins import Bins, shifted, wide_extras, wide_features
from jaxslice.core.jax_types import Contexts, Integers

NO_REFERENCE = 128
"""Value of the fallback voxel where it is outside."""

REFERENCE_SHARES = (0.375, 0.375, 0.125, 0.125)
"""Weights of the four nearest neighbours in the reference, which is rounded down."""


class Features(NamedTuple):
    """Inputs of the network for n voxels.

    Attributes:
      differences: float32 [c, n], integers within [-255, 255]: context minus reference, 0 where a
        context voxel is outside. Of 16-bit voxels they are shifted by `shift` bits.
      reference: int32 [n] within [0, 255], a weighted mean of the four nearest context voxels; of
        16-bit voxels within [0, 65535].
      activity: int32 [n] within [16, 4096], the architecture's offset plus the sum of the absolute
        differences of the nearest context voxels. Of 16-bit voxels it is shifted too.
      bins: of 16-bit voxels only.
    """

    differences: Contexts
    reference: Integers
    activity: Integers
    bins: Bins | None = None

    def difference_of(self, symbol: Integers) -> jax.Array:
        """The difference of other symbols to the reference, float32 [n], in units of the inputs."""
        difference = symbol - self.reference
        if self.bins is not None:
            difference = shifted(difference, self.bins.shift[0])
        return difference.astype(jnp.float32)

    @property
    def gain(self) -> jax.Array:
        """float32 [n]: see `gain_of`."""
        return gain_of(self.activity)

    @property
    def extras(self) -> jax.Array:
        """float32 [2, n]: see `extras_of`."""
        extras = extras_of(self.reference, self.activity)
        if self.bins is not None:
            extras = wide_extras(self.bins, log2_sixteenths(self.activity))
        return jnp.stack(extras).astype(jnp.float32)


def features_of(
    contexts: Contexts, architecture: Architecture, limit: Integers | None = None
) -> Features:
    """Computes the features of n voxels.

    Args:
      contexts: [c, n], symbols or OUTSIDE.
      architecture: architecture of the network (static).
      limit: int32 [n], alphabet size of each voxel; needed for 16-bit voxels only.
    """
    if architecture.is_wide:
        assert limit is not None, "bins depend on the alphabet's size"
        return Features(*wide_features(contexts, architecture, limit))
    contexts = contexts.astype(jnp.float32)
    first, second, third, fourth = contexts[:4]
    fallback = contexts[architecture.fallback]
    # A matrix product, because XLA would recompute a sum for each context voxel.
    nearest = jnp.stack(nearest_of(first, second, third, fourth, fallback))
    shares = jnp.array(REFERENCE_SHARES, jnp.float32)
    reference = jnp.floor(jnp.dot(shares, nearest, precision=jax.lax.Precision.HIGHEST))
    differences = difference_to(reference[None], contexts)
    # A sum of integers, because XLA's CPU backend distributes sums of floats over threads.
    sizes = jnp.abs(differences[: architecture.activity_count].astype(jnp.int32))
    activity = sizes.sum(axis=0, dtype=jnp.int32) + architecture.activity_offset
    return Features(differences, reference.astype(jnp.int32), activity)


def nearest_of(
    first: jax.Array, second: jax.Array, third: jax.Array, fourth: jax.Array, fallback: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """The four nearest neighbours, float32 [n], with replacements for those that are outside."""
    fallback = jnp.where(fallback < 0, jnp.float32(NO_REFERENCE), fallback)
    first_or = jnp.where(first < 0, jnp.where(second < 0, fallback, second), first)
    second_or = jnp.where(second < 0, first_or, second)
    third_or = jnp.where(third < 0, second_or, third)
    fourth_or = jnp.where(fourth < 0, first_or, fourth)
    return first_or, second_or, third_or, fourth_or


def difference_to(reference: jax.Array, contexts: jax.Array) -> jax.Array:
    """Contexts minus the reference, float32 of the same rank; 0 where a context is outside."""
    return jnp.where(contexts < 0, jnp.float32(0), contexts - reference)


def gain_of(activity: Integers) -> jax.Array:
    """An approximation of 2**16 / activity, float32 [n] within [16, 4096].

    The bits of a float are nearly linear in its logarithm, so subtracting them from a constant
    gives the reciprocal: exact at powers of two and linear in between. All but the leading bits are
    cleared, which leaves a factor of 6 bits, so that products with the gain are exact.
    """
    bits = jax.lax.bitcast_convert_type(activity.astype(jnp.float32), jnp.int32)
    bits = (((127 + 16) << 23) - (bits - (127 << 23))) & ~0x3FFFF
    return jax.lax.bitcast_convert_type(bits, jnp.float32)


def extras_of(reference: Integers, activity: Integers) -> tuple[Integers, Integers]:
    """The reference minus 128, and an approximation of 16 log2(activity / 128); int32 [n] each."""
    return reference - 128, log2_sixteenths(activity) - 112


def log2_sixteenths(value: jax.Array) -> jax.Array:
    """16 log2(value) for int32 `value` within [1, 2**24), linear between powers of two, floored.

    This is the exponent and the upper mantissa bits of the float32 with this value. Integers below
    2**24 are exact in float32, so the result is the same on every device.
    """
    bits = jax.lax.bitcast_convert_type(value.astype(jnp.float32), jnp.int32)
    return (bits >> 19) - (127 << 4)


def exp2_sixteenths(exponent: jax.Array) -> jax.Array:
    """16 * 2**(exponent / 16), linear between powers of two, for int32 within [0, 127]."""
    return (16 + (exponent & 15)) << (exponent >> 4)
