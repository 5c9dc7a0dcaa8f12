"""A mixture given by integers, and the interval of each symbol under it.

    0        C(1)     C(2)                C(i)  C(i+1)            C(n) = 2**24
    |---------|--------|------- ... -------|------|------- ... ----|
      symbol 0  symbol 1                   symbol i

C is the mixture's cumulative distribution, in units of 2**-24, at the edges i - 1/2 between
symbols, plus a share for every symbol so that none has width zero. Nothing but integers, no table:
products stay below 2**31, so every device agrees.

The component's cumulative distribution is a polynomial close to the normal one: with u the distance
to the mean in standard deviations, the tail is (1 - 0.1 u - 0.02 u**2)**8 / 2.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxslice.codec.architecture import SYMBOL_LIMIT
from jaxslice.codec.curve import (
    CURVE_TOTAL,
    DISTANCE_HIGH,
    LOSS_SHIFT,
    MINIMUM_WIDTH,
    TAIL_LINEAR,
    TAIL_SQUARE,
    TOTAL,
)
from jaxslice.core.jax_types import ComponentIntegers, Integers


class Mixture(NamedTuple):
    """A mixture for each of n voxels.

    Attributes:
      mean: in 1/16 symbol, within [MEAN_LOW, MEAN_HIGH].
      inverse_scale: 2**14 / (standard deviation in symbols), within [1, INVERSE_SCALE_HIGH].
      weight: sums to WEIGHT_TOTAL over the components.
    """

    mean: ComponentIntegers
    inverse_scale: ComponentIntegers
    weight: ComponentIntegers


def component_cumulative(distance: jax.Array) -> jax.Array:
    """One component's cumulative distribution, times 2**16.

    Args:
      distance: int32, from the mean, in 1/256 standard deviation.

    Returns:
      int32 within [0, 2**16], never decreasing in `distance`.
    """
    size = jnp.minimum(jnp.abs(distance), DISTANCE_HIGH)
    drop = ((TAIL_LINEAR + TAIL_SQUARE * size) * size) >> 10
    root = jnp.maximum(CURVE_TOTAL - 1 - drop, 0).astype(jnp.uint32)
    for _ in range(3):
        root = (root * root) >> 16
    tail = (root >> 1).astype(jnp.int32)
    return jnp.where(distance < 0, tail, CURVE_TOTAL - tail)


def cumulative(mixture: Mixture, index: jax.Array, limit: jax.Array) -> Integers:
    """C(index): where the interval of symbol `index` begins.

    Args:
      mixture: for n voxels.
      index: int32 [n], at least 0.
      limit: int32 [n], the number of symbols of each voxel's alphabet, 1 to 256.
    """
    edge = index * 16 - 8
    total = jnp.zeros_like(index)
    for mean, inverse_scale, weight in zip(*mixture, strict=True):
        distance = ((edge - mean) * inverse_scale) >> 10
        total = total + weight * component_cumulative(distance)
    value = total - (total >> LOSS_SHIFT) + index * MINIMUM_WIDTH
    return jnp.where(index <= 0, 0, jnp.where(index >= limit, TOTAL, value))


def interval_of(mixture: Mixture, symbol: jax.Array, limit: jax.Array) -> tuple[Integers, Integers]:
    """(start, freq) of `symbol`; `limit` as in `cumulative`."""
    start = cumulative(mixture, symbol, limit)
    return start, cumulative(mixture, symbol + 1, limit) - start


def find_interval(
    mixture: Mixture, position: jax.Array, limit: jax.Array
) -> tuple[Integers, Integers, Integers]:
    """The symbol whose interval holds `position` (int32 [n] within [0, TOTAL)), by bisection.

    Returns:
      Symbol, start and freq, int32 [n].
    """

    def halve(index, symbol):
        middle = symbol + (jnp.int32(SYMBOL_LIMIT // 2) >> index)
        return jnp.where(cumulative(mixture, middle, limit) <= position, middle, symbol)

    def next_edge(index, edges):
        return edges[1], cumulative(mixture, symbol + index, limit)

    # Both are loops because XLA evaluates what a loop yields once, and what is merely used by
    # several operations several times.
    none = jnp.zeros_like(position)
    symbol = jax.lax.fori_loop(jnp.int32(0), jnp.int32(8), halve, none)
    start, end = jax.lax.fori_loop(jnp.int32(0), jnp.int32(2), next_edge, (none, none))
    return symbol, start, end - start
