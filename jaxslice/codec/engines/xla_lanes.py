"""The march as JAX functions of all lanes: symbols to words, and words to symbols.

Both directions use the same geometry and the same `mixture.mixture_of`. Encoding knows all contexts
in advance, so it predicts several time steps at once and then pushes their symbols in reverse.
Decoding runs one time step after the other.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxslice.codec import bins, intervals, rans
from jaxslice.codec.architecture import Architecture
from jaxslice.codec.curve import PRECISION
from jaxslice.codec.geometry import Geometry
from jaxslice.codec.history import contexts_of, rows_of
from jaxslice.codec.linear import RESIDUALS, LinearArchitecture, LinearNumbers
from jaxslice.codec.linear_mixture import LinearPrediction, linear_prediction
from jaxslice.codec.march import OUTSIDE
from jaxslice.codec.message import LOWER_BOUND
from jaxslice.codec.mixture import mixture_of
from jaxslice.codec.network import IntegerNetwork


def predict(
    network: Any,
    contexts: jax.Array,
    limit: jax.Array,
    *,
    geometry: Geometry,
    architecture: Architecture | LinearArchitecture,
    block_networks: bool,
) -> intervals.AnyMixture | LinearPrediction:
    """Predicts the mixtures of all lanes at some time steps.

    Args:
      network: one network for all blocks or, with `block_networks`, one for each block (a leading
        axis [block]).
      contexts: int16 [c, t, block, lane]; int32 of 16-bit voxels, as are all symbols below.
      limit: int32 [t, block, lane], alphabet sizes, at least 1.
      geometry: geometry of the blocks (static).
      architecture: architecture of the network (static).
      block_networks: see `network` (static).

    Returns:
      Mixtures of n = t * block * lane voxels.
    """
    count = len(contexts)
    if isinstance(architecture, LinearArchitecture):
        flat = contexts.reshape(count, -1)
        return linear_prediction(network, flat, architecture, limit.reshape(-1))
    if block_networks and geometry.blocks == 1:
        network, block_networks = jax.tree.map(lambda leaf: leaf[0], network), False
    if not block_networks:
        return mixture_of(network, contexts.reshape(count, -1), architecture, limit.reshape(-1))
    by_block = contexts.transpose(2, 0, 1, 3).reshape(geometry.blocks, count, -1)
    limits = limit.transpose(1, 0, 2).reshape(geometry.blocks, -1)
    mixture = functools.partial(mixture_of, architecture=architecture)
    mixtures = jax.vmap(lambda own, seen, most: mixture(own, seen, limit=most))(
        network, by_block, limits
    )
    back = lambda part: (
        part.reshape(geometry.blocks, part.shape[1], -1, geometry.lanes)
        .transpose(1, 2, 0, 3)
        .reshape(part.shape[1], -1)
    )
    return jax.tree.map(back, mixtures)


def encode_lanes(
    network: IntegerNetwork | LinearNumbers,
    sheared: jax.Array,
    limits: jax.Array,
    steps: jax.Array,
    *,
    geometry: Geometry,
    predict: Callable[..., intervals.AnyMixture | LinearPrediction],
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Encodes a batch of blocks.

    Args:
      network: see `predict`.
      sheared: int16 [t, block, place], from `march.shear`.
      limits: int16 [t, block, lane], alphabet sizes, 0 where a lane is idle.
      steps: int32, number of time steps to run.
      geometry: geometry of the blocks (static).
      predict: the function `predict` with its static arguments.

    Returns:
      The final heads uint64 [block, lane], words uint32 [t, block, lane] in decoding order, and a
      bool mask of the same shape, True for the words of the messages.
    """
    chunk = geometry.steps_predicted
    row, none = (geometry.blocks, geometry.lanes), jnp.int32(0)
    before = jnp.full((geometry.lead, *sheared.shape[1:]), OUTSIDE, sheared.dtype)
    history = jnp.concatenate([before, sheared])

    def push_step(head, edges):
        start, end, *low = edges
        head, word, full = rans.push(head, start, end - start, PRECISION, *low[1:])
        return rans.with_low(head, *low) if low else head, (word, full)

    def encode_chunk(index, state):
        head, words, emitted, room = state
        time = jnp.int32((geometry.num_rows // chunk - 1 - index) * chunk)
        part = lambda array, place: jax.lax.dynamic_slice(
            array, (time, none, jnp.int32(place)), (chunk, *row)
        )
        contexts = contexts_of(room, history, time + geometry.lead, chunk, geometry, slice(None))
        limit = jnp.maximum(part(limits, 0), 1).astype(jnp.int32)
        mixture = predict(network, contexts, limit)
        symbol = jnp.maximum(part(sheared, geometry.margin), 0).reshape(-1).astype(jnp.int32)
        limit, low = limit.reshape(-1), []
        if isinstance(mixture, intervals.WideMixture):
            low_bits = bins.low_bits_of(mixture.bins)
            low = [symbol & ((1 << low_bits) - 1), low_bits]
            symbol, limit = symbol >> low_bits, bins.count_of(mixture.bins, limit)
            low = [part.reshape(chunk, *row) for part in low]
        if isinstance(mixture, LinearPrediction):
            # Idle lanes have a single residual, which takes no bits.
            live = part(limits, 0).reshape(-1) > 0
            symbol = jnp.where(live, mixture.index_of(symbol), 0)
            mixture, limit = mixture.residuals, jnp.where(live, jnp.int32(RESIDUALS), 1)
        # The loop computes end - start: outside of it, XLA would evaluate one of the edges twice.
        edges = [
            intervals.cumulative(mixture, index, limit).reshape(chunk, *row)
            for index in (symbol, symbol + 1)
        ]
        head, (word, full) = jax.lax.scan(push_step, head, edges + low, reverse=True)
        words = jax.lax.dynamic_update_slice(words, word, (time, none, none))
        emitted = jax.lax.dynamic_update_slice(emitted, full, (time, none, none))
        return head, words, emitted, contexts

    chunks = jnp.int32(geometry.num_rows // chunk)
    head, words, emitted, _ = jax.lax.fori_loop(
        chunks - (steps + (chunk - 1)) // chunk,
        chunks,
        encode_chunk,
        (
            jnp.full(row, LOWER_BOUND, jnp.uint64),
            jnp.zeros(limits.shape, jnp.uint32),
            jnp.zeros(limits.shape, bool),
            jnp.zeros((len(geometry.context), chunk, *row), sheared.dtype),
        ),
    )
    return head, words, emitted


def decode_lanes(
    network: IntegerNetwork | LinearNumbers,
    head: jax.Array,
    words: jax.Array,
    limits: jax.Array,
    steps: jax.Array,
    *,
    geometry: Geometry,
    predict: Callable[..., intervals.AnyMixture | LinearPrediction],
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Decodes a batch of blocks.

    The history is a window that moves by one row for each time step. So each context voxel is a
    slice at a constant place, and only a few slices of the block are copied.

    Args:
      network: see `predict`.
      head: uint64 [block, lane].
      words: uint32 [block, word], the tails.
      limits: int16 [t, block, lane], alphabet sizes, 0 where a lane is idle.
      steps: int32, number of time steps to run.
      geometry: geometry of the blocks (static).
      predict: the function `predict` with its static arguments.

    Returns:
      Symbols int16 [t, block, lane], the final heads uint64 [block, lane], and the number of words
      that each block used, int32 [block].
    """
    chunk, lead = geometry.steps_together, geometry.lead
    row, none = (geometry.blocks, geometry.lanes), jnp.int32(0)
    in_slice = sum(dz == 0 for dz, _, _ in geometry.context)
    reach = max((-lag for lag in geometry.lags[:in_slice]), default=1)

    firsts = jnp.arange(geometry.blocks, dtype=jnp.int32) * words.shape[1]
    words = words.reshape(-1)

    def decode_step(state, inputs):
        recent, head, cursor, room = state
        earlier, limit = inputs
        contexts = contexts_of(room, recent, reach, 1, geometry, slice(in_slice))
        below = (jnp.int32(in_slice), none, none, none)
        contexts = jax.lax.dynamic_update_slice(contexts, earlier[:, None], below)
        used = jnp.maximum(limit, 1).astype(jnp.int32)
        mixture = predict(network, contexts, used[None])
        count, low, low_bits = used.reshape(-1), None, None
        if isinstance(mixture, intervals.WideMixture):
            low_bits = bins.low_bits_of(mixture.bins).reshape(row)
            head, low = rans.without_low(head, low_bits)
            count = bins.count_of(mixture.bins, count)
        linear = None
        if isinstance(mixture, LinearPrediction):
            linear, mixture = mixture, mixture.residuals
            count = jnp.where(limit.reshape(-1) > 0, jnp.int32(RESIDUALS), 1)
        position = rans.peek(head, PRECISION).reshape(-1)
        found = intervals.find_interval(mixture, position, count)
        symbol, start, freq = (part.reshape(row) for part in found)
        if linear is not None:
            symbol = linear.symbol_of(found[0]).reshape(row)
        head, cursor = rans.pop(head, start, freq, words, cursor, PRECISION)
        if low is not None and low_bits is not None:
            symbol = jnp.minimum((symbol << low_bits) | low, used - 1)
        lanes = jnp.where(limit > 0, symbol.astype(limits.dtype), jnp.array(OUTSIDE, limits.dtype))
        recent = jnp.concatenate([recent[1:], rows_of(lanes, geometry)[None]])
        return (recent, head, cursor, contexts), lanes

    def decode_chunk(index, state):
        history, sheared, head, cursor, earlier, room = state
        start = (jnp.int32(index * chunk), none, none)
        earlier = contexts_of(earlier, history, lead, chunk, geometry, slice(in_slice, None))
        limit = jax.lax.dynamic_slice(limits, start, (chunk, *row))
        (_, head, cursor, room), lanes = jax.lax.scan(
            decode_step,
            (history[lead - reach : lead], head, cursor, room),
            (earlier.transpose(1, 0, 2, 3), limit),
        )
        history = jnp.concatenate([history[chunk:lead], rows_of(lanes, geometry), history[lead:]])
        sheared = jax.lax.dynamic_update_slice(sheared, lanes, start)
        return history, sheared, head, cursor, earlier, room

    _, sheared, head, cursor, _, _ = jax.lax.fori_loop(
        jnp.int32(0),
        (steps + (chunk - 1)) // chunk,
        decode_chunk,
        (
            jnp.full((lead + chunk, geometry.blocks, geometry.lane_pitch), OUTSIDE, limits.dtype),
            jnp.full(limits.shape, OUTSIDE, limits.dtype),
            head,
            firsts,
            jnp.zeros((len(geometry.context) - in_slice, chunk, *row), limits.dtype),
            jnp.zeros((len(geometry.context), 1, *row), limits.dtype),
        ),
    )
    return sheared, head, cursor - firsts
