"""`mixture.mixture_of` inside a Pallas kernel, written as Triton can have it.

Triton neither slices nor stacks arrays, so that an axis of a few (neighbours, components) is a
sequence of arrays [n] here, and one of many (units of a layer) a sequence of arrays [TILE, n]. What
works voxel by voxel is called from `features` and `mixture`, not repeated. Written a second time
are the matrix products, the sum that is the reference, and the division of components' shares. All
of them are sums of integers, or of eighths, that `network.prove` keeps where float32 is exact, so
that their order does not matter. There is no product that a matrix unit could take (and round).
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
"""Units of a layer that are one array, [TILE, n]."""

WEIGHTS_TOGETHER = 128
"""Weights that a thread reads ahead. The compiler moves all reads of a loop's body to its start, so
that those of longer bodies would not fit into a thread's 255 registers."""

MOST_TOGETHER = 4
"""Rows of weights that a thread reads ahead."""

Ref = Any
"""A piece of the device's memory, read and written by indexing it."""


class Weights(NamedTuple):
    """A network in float32; with a leading axis if blocks have networks of their own.

    Attributes:
      first: [c, unit], of the first layer, zeros for context voxels that only fill a round.
      extras: [2, unit], of the first layer.
      later: of each further layer, [unit, input].
      biases: of each layer, [unit]. Units of hidden layers are padded with zeros to whole tiles,
        where they are inputs too.
    """

    first: Any
    extras: Any
    later: tuple[Any, ...]
    biases: tuple[Any, ...]


def carried(network: IntegerNetwork) -> Weights:
    """What a kernel takes of a network, or of several along a leading axis."""

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
    """How many rows of weights of some width a thread takes at once, to hold them in registers."""
    return max(1, min(MOST_TOGETHER, WEIGHTS_TOGETHER // width))


def mixture_of(
    weights: Weights,
    context_of: Callable[[int | jax.Array], jax.Array],
    architecture: Architecture,
) -> Mixture:
    """The mixtures of n voxels, each of their components' parameters a list of int32 [n].

    Args:
      weights: references to those that `carried` made.
      context_of: reads a context voxel by its number: float32 [n], symbols or OUTSIDE. Of numbers
        that only fill a round it may read anything.
      architecture: static.
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
    # Lists in place of arrays: `intervals.cumulative` goes through components one by one.
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
      weights: of the network.
      reference: of the features.
      activity: of the features.
      context_of: as for `mixture_of`.
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
    """Sums of a layer's units from those [TILE, n] of the layer before.

    Args:
      weights: float32 [unit, input].
      biases: float32 [unit].
      sums: of the layer before.
      outputs: what to fill: arrays of one unit each, [n], or of TILE units, [TILE, n].
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
    """`outputs` with other values, [n], of one unit."""
    if outputs[0].ndim == 1:
        return [jnp.where(number == unit, values, part) for number, part in enumerate(outputs)]
    units = jax.lax.broadcasted_iota(jnp.int32, outputs[0].shape, 0)
    return [
        jnp.where(units + TILE * tile == unit, values[None, :], part)
        for tile, part in enumerate(outputs)
    ]


def _sum(terms: Sequence[jax.Array]) -> jax.Array:
    return functools.reduce(operator.add, terms)
