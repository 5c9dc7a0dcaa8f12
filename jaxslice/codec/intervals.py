"""Mixtures with integer parameters, and the interval of each symbol under a mixture.

    0        C(1)     C(2)                C(i)  C(i+1)            C(n) = 2**24
    |---------|--------|------- ... -------|------|------- ... ----|
      symbol 0  symbol 1                   symbol i

C(i) is the cumulative distribution of the mixture at the edge i - 1/2 between symbols, in units of
2**-24, plus a constant width for each symbol so that no interval is empty. All operations are on
integers below 2**31, so that every device computes the same result.

The cumulative distribution of a component approximates the normal one. For a distance of u standard
deviations from the mean, its tail is (1 - 0.1 u - 0.02 u**2)**8 / 2.
"""

from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from jaxslice.codec.architecture import SYMBOL_LIMIT
from jaxslice.codec.bins import Bins, edges_of, most_rounds, widened
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
    """A mixture for each of n voxels, with k components.

    Attributes:
      mean: int32 [k, n] in 1/16 symbol, within [MEAN_LOW, MEAN_HIGH].
      inverse_scale: int32 [k, n], 2**14 / (standard deviation in symbols), within
        [1, INVERSE_SCALE_HIGH].
      weight: int32 [k, n]; the sum over the components is WEIGHT_TOTAL.
    """

    mean: ComponentIntegers
    inverse_scale: ComponentIntegers
    weight: ComponentIntegers


class WideMixture(NamedTuple):
    """A mixture for each of n 16-bit voxels. Symbols in this module are then bins; see `bins`.

    Attributes:
      mean: as in `Mixture`, but relative to the reference, in 1/16 of 2**shift symbols, and within
        [bins.MEAN_LOW, bins.MEAN_HIGH].
      inverse_scale: as in `Mixture`, but with the standard deviation in 2**shift symbols.
      weight: as in `Mixture`.
      bins: of the voxels.
    """

    mean: ComponentIntegers
    inverse_scale: ComponentIntegers
    weight: ComponentIntegers
    bins: Bins


AnyMixture: TypeAlias = Mixture | WideMixture


def component_cumulative(distance: jax.Array) -> jax.Array:
    """Cumulative distribution of one component, times 2**16.

    Args:
      distance: int32, distance from the mean in 1/256 standard deviation.

    Returns:
      int32 within [0, 2**16], monotone in `distance`.
    """
    size = jnp.minimum(jnp.abs(distance), DISTANCE_HIGH)
    drop = ((TAIL_LINEAR + TAIL_SQUARE * size) * size) >> 10
    root = jnp.maximum(CURVE_TOTAL - 1 - drop, 0).astype(jnp.uint32)
    for _ in range(3):
        root = (root * root) >> 16
    tail = (root >> 1).astype(jnp.int32)
    return jnp.where(distance < 0, tail, CURVE_TOTAL - tail)


def cumulative(mixture: AnyMixture, index: jax.Array, limit: jax.Array) -> Integers:
    """C(index): the start of the interval of symbol `index`.

    Args:
      mixture: mixtures of n voxels.
      index: int32 [n], at least 0.
      limit: int32 [n], alphabet size of each voxel, 1 to 256; of a `WideMixture` the number of
        bins.

    Returns:
      int32 [n] within [0, TOTAL]; TOTAL where `index` is at least `limit`.
    """
    is_wide = isinstance(mixture, WideMixture)
    edge = edges_of(mixture.bins, index) if is_wide else index * 16 - 8
    total = jnp.zeros_like(index)
    for mean, inverse_scale, weight in zip(*mixture[:3], strict=True):
        distance = ((edge - mean) * inverse_scale) >> 10
        total = total + weight * component_cumulative(distance)
    if is_wide:
        value = widened(mixture.bins, index, total)
    else:
        value = total - (total >> LOSS_SHIFT) + index * MINIMUM_WIDTH
    return jnp.where(index <= 0, 0, jnp.where(index >= limit, TOTAL, value))


def interval_of(
    mixture: AnyMixture, symbol: jax.Array, limit: jax.Array
) -> tuple[Integers, Integers]:
    """(start, freq) of the interval of `symbol`, int32 [n] each; for `limit` see `cumulative`."""
    start = cumulative(mixture, symbol, limit)
    return start, cumulative(mixture, symbol + 1, limit) - start


def find_interval(
    mixture: AnyMixture, position: jax.Array, limit: jax.Array
) -> tuple[Integers, Integers, Integers]:
    """Finds the symbol whose interval contains a position, by bisection.

    Args:
      mixture: mixtures of n voxels.
      position: int32 [n] within [0, TOTAL).
      limit: int32 [n], alphabet size of each voxel, 1 to 256; of a `WideMixture` the number of
        bins.

    Returns:
      (symbol, start, freq), int32 [n] each.
    """
    rounds, first = jnp.int32(8), jnp.int32(SYMBOL_LIMIT // 2)
    if isinstance(mixture, WideMixture):
        rounds = most_rounds(limit)
        first = (jnp.int32(1) << rounds) >> 1

    def halve(index, symbol):
        middle = symbol + (first >> index)
        return jnp.where(cumulative(mixture, middle, limit) <= position, middle, symbol)

    def next_edge(index, edges):
        return edges[1], cumulative(mixture, symbol + index, limit)

    # Loops, because XLA evaluates the result of a loop once. It would fuse other intermediate
    # results into each operation that uses them, and evaluate them again.
    none = jnp.zeros_like(position)
    symbol = jax.lax.fori_loop(jnp.int32(0), rounds, halve, none)
    start, end = jax.lax.fori_loop(jnp.int32(0), jnp.int32(2), next_edge, (none, none))
    return symbol, start, end - start
