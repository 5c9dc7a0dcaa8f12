"""`mixture.mixture_of` inside a Pallas kernel, for the Triton backend.

Triton cannot slice or stack arrays. So short axes (neighbours, components) are sequences of arrays
[n] here, and long axes (units of a layer) are sequences of arrays [TILE, n]. Computations on single
voxels are shared with `features` and `mixture`. Repeated here are the matrix products, the sum of
the reference, and the division of the components' shares. These are sums of integers or of eighths
within the range of `network.prove`, where float32 is exact, so their order does not matter. No
operation can be mapped to a matrix unit with lower precision.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxslice.codec import mixture
from jaxslice.codec.architecture import NUM_FEATURES, Architecture
from jaxslice.codec.curve import WEIGHT_TOTAL
from jaxslice.codec.features import REFERENCE_SHARES, difference_to, extras_of, gain_of, nearest_of
from jaxslice.codec.intervals import Mixture
from jaxslice.codec.network import IntegerNetwork
from jaxslice.core.jax_types import Integers

TILE = 8
"""Number of a layer's units in one array, [TILE, n]."""

WEIGHTS_TOGETHER = 128
"""Largest number of weights in the body of a loop. The compiler moves their reads to the start of
the body, and a thread has 255 registers to hold them."""

MOST_TOGETHER = 4
"""Largest number of rows of weights in the body of a loop."""

Ref = Any
"""A reference to device memory, read and written by indexing."""


class Weights(NamedTuple):
    """A network in float32, with a leading axis [block] if there are block networks.

    The units of hidden layers are padded with zeros to a multiple of TILE.

    Attributes:
      first: [c + padding, unit], weights of the first layer for the differences.
      extras: [2, unit], weights of the first layer for the extras.
      later: for each later layer its weights [unit, input].
      biases: for each layer [unit].
    """

    first: Any
    extras: Any
    later: tuple[Any, ...]
    biases: tuple[Any, ...]


def carried(network: IntegerNetwork) -> Weights:
    """Converts a network, or several along a leading axis, to the layout of the kernel."""

    def padded(array: jax.Array, *least: int) -> jax.Array:
        sizes = array.shape[-len(least) :]
        beside = [(0, 0)] * (array.ndim - len(least))
        beside += [(0, -size % multiple) for size, multiple in zip(sizes, least, strict=True)]
        return jnp.pad(array.astype(jnp.float32), beside)

    weights, biases = jax.tree.map(jnp.asarray, network)
    first = jnp.swapaxes(weights[0], -1, -2)
    units = -(-first.shape[-1] // TILE) * TILE
    *hidden, last = biases
    return Weights(
        padded(first[..., :-NUM_FEATURES, :], _together(units), TILE),
        padded(first[..., -NUM_FEATURES:, :], TILE),
        tuple(padded(layer, TILE) for layer in weights[1:]),
        (*(padded(layer, TILE) for layer in hidden), padded(last, 1)),
    )


def _together(width: int) -> int:
    """Number of rows of weights of some width in the body of a loop."""
    return max(1, min(MOST_TOGETHER, WEIGHTS_TOGETHER // width))


def mixture_of(
    weights: Weights,
    context_of: Callable[[int | jax.Array], jax.Array],
    architecture: Architecture,
) -> Mixture:
    """Predicts the mixtures of n voxels; each parameter is a list of int32 [n], by component.

    Args:
      weights: references to the result of `carried`.
      context_of: reads a context voxel by its index: float32 [n], symbols or OUTSIDE. For indices
        of padding it may return any value.
      architecture: architecture of the network (static).
    """
    near = [context_of(number) for number in range(max(4, architecture.activity_count))]
    fallback = context_of(architecture.fallback)
    nearest = nearest_of(near[0], near[1], near[2], near[3], fallback)
    parts = [share * value for share, value in zip(REFERENCE_SHARES, nearest, strict=True)]
    floored = jnp.floor(_sum(parts))
    sizes = [
        jnp.abs(difference_to(floored, value).astype(jnp.int32))
        for value in near[: architecture.activity_count]
    ]
    reference, activity = floored.astype(jnp.int32), _sum(sizes) + architecture.activity_offset

    sums = _first_layer(weights, reference, activity, context_of)
    for layer, biases in zip(weights.later[:-1], weights.biases[1:-1], strict=True):
        none = [jnp.zeros((TILE, *reference.shape), jnp.float32)] * (biases.shape[0] // TILE)
        sums = _further_layer(layer, biases, sums, none)
    none = [jnp.zeros(reference.shape, jnp.float32)] * (3 * architecture.components)
    sums = _further_layer(weights.later[-1], weights.biases[-1], sums, none)
    outputs = [part.astype(jnp.int32) for part in sums]
    count = architecture.components
    shares = [mixture.share_of(sums) for sums in outputs[2 * count :]]
    total = _sum(shares)
    all_but_last = [jax.lax.div(share * WEIGHT_TOTAL, total) for share in shares[:-1]]
    last = functools.reduce(operator.sub, all_but_last, jnp.full_like(total, WEIGHT_TOTAL))
    # Lists instead of arrays: `intervals.cumulative` only iterates over components.
    parameters: list[Any] = [
        [mixture.mean_of(sums, reference, activity) for sums in outputs[:count]],
        [mixture.inverse_scale_of(sums, gain_of(activity)) for sums in outputs[count : 2 * count]],
        [*all_but_last, last],
    ]
    return Mixture(*parameters)


def _first_layer(
    weights: Weights,
    reference: Integers,
    activity: Integers,
    context_of: Callable[[int | jax.Array], jax.Array],
) -> list[jax.Array]:
    """Sums [TILE, n] of the first layer's units.

    Args:
      weights: weights of the network.
      reference: int32 [n]; see `features.Features`.
      activity: int32 [n]; see `features.Features`.
      context_of: see `mixture_of`.
    """
    contexts, units = weights.first.shape
    together = _together(units)
    tiles = [slice(unit, unit + TILE) for unit in range(0, units, TILE)]

    def add(index, sums):
        for number in range(together):
            number = index * together + number
            difference = difference_to(reference.astype(jnp.float32), context_of(number))
            sums = [
                part + weights.first[number, tile][:, None] * difference[None, :]
                for tile, part in zip(tiles, sums, strict=True)
            ]
        return sums

    none = [jnp.zeros((TILE, *reference.shape), jnp.float32) for _ in tiles]
    sums = jax.lax.fori_loop(jnp.int32(0), jnp.int32(contexts // together), add, none)
    sums = [mixture.scaled(part, gain_of(activity)[None, :]) for part in sums]
    for number, extra in enumerate(extras_of(reference, activity)):
        extra = extra.astype(jnp.float32)
        sums = [
            part + weights.extras[number, tile][:, None] * extra[None, :]
            for tile, part in zip(tiles, sums, strict=True)
        ]
    return [part + weights.biases[0][tile][:, None] for tile, part in zip(tiles, sums, strict=True)]


def _further_layer(
    weights: Ref, biases: Ref, sums: Sequence[jax.Array], outputs: list[jax.Array]
) -> list[jax.Array]:
    """Sums of a layer's units from the sums [TILE, n] of the previous layer.

    Args:
      weights: float32 [unit, input].
      biases: float32 [unit].
      sums: sums of the previous layer.
      outputs: arrays to fill, of one unit each, [n], or of TILE units each, [TILE, n].
    """
    units, width = weights.shape
    together = math.gcd(_together(width), units)
    inputs = [mixture.activation(part) for part in sums]

    def fill(index, outputs):
        for unit in range(together):
            unit = index * together + unit
            products = [
                (weights[unit, TILE * tile : TILE * (tile + 1)][:, None] * part).sum(axis=0)
                for tile, part in enumerate(inputs)
            ]
            outputs = _with(outputs, unit, _sum(products) + biases[unit])
        return outputs

    return jax.lax.fori_loop(jnp.int32(0), jnp.int32(units // together), fill, outputs)


def _with(outputs: list[jax.Array], unit: jax.Array, values: jax.Array) -> list[jax.Array]:
    """Replaces the values [n] of one unit in `outputs`."""
    if outputs[0].ndim == 1:
        return [jnp.where(number == unit, values, part) for number, part in enumerate(outputs)]
    units = jax.lax.broadcasted_iota(jnp.int32, outputs[0].shape, 0)
    return [
        jnp.where(units + TILE * tile == unit, values[None, :], part)
        for tile, part in enumerate(outputs)
    ]


def _sum(terms: Sequence[jax.Array]) -> jax.Array:
    return functools.reduce(operator.add, terms)
