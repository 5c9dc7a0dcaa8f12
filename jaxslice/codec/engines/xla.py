"""The march compiled: blocks of symbols to messages and back, on the device.

Both directions walk the same geometry and call the same `integer.mixture_of`. Encoding knows every
context from the start, so it predicts many time steps at once and then pushes them in reverse;
decoding is one step after the other. A program is compiled once for a block shape, an architecture
and a batch size; smaller extents, as at the volume's edges, are run by the same program.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxslice.codec import intervals, rans
from jaxslice.codec.architecture import Architecture
from jaxslice.codec.engines.xla_options import compiler_options, is_fused_decode_asked
from jaxslice.codec.geometry import Geometry
from jaxslice.codec.march import OUTSIDE, contexts_of, rows_of, shear, unshear, voxels_of
from jaxslice.codec.network import IntegerNetwork, Model, mixture_of
from jaxslice.core.box import Triple
from jaxslice.core.types import Device


def launch_encoder(
    symbols: np.ndarray,
    sizes: np.ndarray,
    extents: np.ndarray,
    steps: int,
    model: Model,
    device: Device | None,
    networks: Sequence[IntegerNetwork] | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Encodes a batch of blocks.

    Args:
      symbols: int16 [block, z, y, x], OUTSIDE beyond each block's extent.
      sizes: int32 [block, z], symbols in each slice's alphabet.
      extents: int32 [block, 3].
      steps: time steps to run; enough for the largest extent.
      model: whose network predicts.
      device: where to run; JAX's default if None.
      networks: one for each block, in place of the model's own.

    Returns:
      The heads uint64 [block, lane]; words uint32 [block, t, lane] in decoding order; and bool
      [block, t, lane], which of the words belong to the message.
    """
    batch, depth, height, width = symbols.shape
    geometry = Geometry.of_encoder((depth, height, width), model.architecture, batch)
    program = _encoder(geometry, model.architecture, networks is not None, _platform(device))
    network = model.network if networks is None else _stacked(networks)
    sheared, limits = shear(symbols, geometry), _sheared_limits(sizes, extents, geometry)
    with jax.enable_x64(True):
        arguments = (network, sheared, limits, np.int32(steps))
        heads, words, emitted = jax.device_get(program(*jax.device_put(arguments, device)))
    return heads[:, :height], words.transpose(1, 0, 2), emitted.transpose(1, 0, 2)


def launch_decoder(
    heads: np.ndarray,
    words: np.ndarray,
    sizes: np.ndarray,
    extents: np.ndarray,
    steps: int,
    shape: Triple,
    model: Model,
    device: Device | None,
    networks: Sequence[IntegerNetwork] | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Decodes a batch of blocks.

    Args:
      heads: uint64 [block, lane].
      words: uint32 [block, word], the tails, filled up with anything.
      sizes: as for `launch_encoder`.
      extents: as for `launch_encoder`.
      steps: as for `launch_encoder`.
      shape: of the blocks.
      model: whose network predicts.
      device: where to run; JAX's default if None.
      networks: as for `launch_encoder`.

    Returns:
      Symbols int16 [block, z, y, x]; the final heads; and how many words each block used.
    """
    batch = len(heads)
    geometry = Geometry.of(shape, model.architecture, batch)
    program = _decoder(geometry, model.architecture, networks is not None, _platform(device))
    network = model.network if networks is None else _stacked(networks)
    resting = geometry.lanes - shape[1]
    places = np.pad(heads, ((0, 0), (0, resting)), constant_values=rans.LOWER_BOUND)
    limits = _sheared_limits(sizes, extents, geometry)
    with jax.enable_x64(True):
        arguments = (network, places, words, limits, np.int32(steps))
        sheared, last, used = jax.device_get(program(*jax.device_put(arguments, device)))
    return unshear(sheared, geometry), last[:, : shape[1]], used


def _platform(device: Device | None) -> str:
    return device.platform if device else jax.default_backend()


def _stacked(networks: Sequence[IntegerNetwork]) -> IntegerNetwork:
    return jax.tree.map(lambda *leaves: np.stack(leaves), *networks)


def _sheared_limits(sizes: np.ndarray, extents: np.ndarray, geometry: Geometry) -> np.ndarray:
    """int16 [t, block, lane]: the alphabet size of a voxel, 0 where a lane rests. Read-only."""
    key = sizes.astype(np.int32), extents.astype(np.int32)
    return _remembered_limits(*(part.tobytes() for part in key), geometry)


@functools.lru_cache(maxsize=2)
def _remembered_limits(sizes: bytes, extents: bytes, geometry: Geometry) -> np.ndarray:
    """`_sheared_limits` of the last blocks to encode and to decode, which others mostly share."""
    alphabets = np.frombuffer(sizes, np.int32).reshape(geometry.blocks, -1)
    limits = np.zeros((geometry.num_rows, geometry.blocks, geometry.lanes), np.int16)
    voxels = voxels_of(limits, geometry)
    for block, extent in enumerate(np.frombuffer(extents, np.int32).reshape(-1, 3)):
        depth, height, width = extent
        voxels[block, :depth, :height, :width] = alphabets[block, :depth, None, None]
    limits.flags.writeable = False
    return limits


def _compile(function, platform: str, **static: Any):
    options = compiler_options(platform)
    return jax.jit(functools.partial(function, **static), compiler_options=options)


@functools.lru_cache(maxsize=32)
def _encoder(geometry: Geometry, architecture: Architecture, own_networks: bool, platform: str):
    predict = functools.partial(
        _predict, geometry=geometry, architecture=architecture, own_networks=own_networks
    )
    return _compile(_encode_lanes, platform, geometry=geometry, predict=predict)


@functools.lru_cache(maxsize=32)
def _decoder(geometry: Geometry, architecture: Architecture, own_networks: bool, platform: str):
    if is_fused_decode_asked():
        from jaxslice.codec.engines.pallas import decoder  # Pallas takes long to load

        if decoder.supports(geometry, platform):
            return _compile(
                decoder.decode_lanes,
                platform,
                geometry=geometry,
                architecture=architecture,
                own_networks=own_networks,
                interpret=platform == "cpu",
            )
    predict = functools.partial(
        _predict, geometry=geometry, architecture=architecture, own_networks=own_networks
    )
    return _compile(_decode_lanes, platform, geometry=geometry, predict=predict)


def programs_of(
    shape: Triple, architecture: Architecture, batch: int, own_networks: bool, platform: str
) -> tuple[Any, Any]:
    """The encoder and the decoder of batches of blocks: functions that `jax.jit` returned."""
    key = architecture, own_networks, platform
    encoder = _encoder(Geometry.of_encoder(shape, architecture, batch), *key)
    return encoder, _decoder(Geometry.of(shape, architecture, batch), *key)


def _predict(
    network: IntegerNetwork,
    contexts: jax.Array,
    *,
    geometry: Geometry,
    architecture: Architecture,
    own_networks: bool,
) -> intervals.Mixture:
    """The mixtures of all lanes at some time steps, n = t * block * lane of them.

    Args:
      network: one for all blocks or, with `own_networks`, one for each (a leading axis).
      contexts: int16 [c, t, block, lane].
      geometry: static.
      architecture: static.
      own_networks: static.
    """
    count = len(contexts)
    if own_networks and geometry.blocks == 1:
        network, own_networks = jax.tree.map(lambda leaf: leaf[0], network), False
    if not own_networks:
        return mixture_of(network, contexts.reshape(count, -1), architecture)
    by_block = contexts.transpose(2, 0, 1, 3).reshape(geometry.blocks, count, -1)
    mixtures = jax.vmap(lambda own, seen: mixture_of(own, seen, architecture))(network, by_block)
    back = lambda part: (
        part.reshape(geometry.blocks, part.shape[1], -1, geometry.lanes)
        .transpose(1, 2, 0, 3)
        .reshape(part.shape[1], -1)
    )
    return jax.tree.map(back, mixtures)


def _encode_lanes(
    network: IntegerNetwork,
    sheared: jax.Array,
    limits: jax.Array,
    steps: jax.Array,
    *,
    geometry: Geometry,
    predict: Callable[[IntegerNetwork, jax.Array], intervals.Mixture],
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The final heads, and the words in decoding order [t, block, lane] with a mask."""
    chunk = geometry.steps_predicted
    row, none = (geometry.blocks, geometry.lanes), jnp.int32(0)
    before = jnp.full((geometry.lead, *sheared.shape[1:]), OUTSIDE, jnp.int16)
    history = jnp.concatenate([before, sheared])

    def push_step(head, edges):
        start, end = edges
        head, word, full = rans.push(head, start, end - start, intervals.PRECISION)
        return head, (word, full)

    def encode_chunk(index, state):
        head, words, emitted, room = state
        time = jnp.int32((geometry.num_rows // chunk - 1 - index) * chunk)
        part = lambda array, place: jax.lax.dynamic_slice(
            array, (time, none, jnp.int32(place)), (chunk, *row)
        )
        contexts = contexts_of(room, history, time + geometry.lead, chunk, geometry, slice(None))
        mixture = predict(network, contexts)
        symbol = jnp.maximum(part(sheared, geometry.margin), 0).reshape(-1).astype(jnp.int32)
        limit = jnp.maximum(part(limits, 0), 1).reshape(-1).astype(jnp.int32)
        # The difference is left to the loop: outside, XLA would compute one of the edges twice.
        edges = [
            intervals.cumulative(mixture, index, limit).reshape(chunk, *row)
            for index in (symbol, symbol + 1)
        ]
        head, (word, full) = jax.lax.scan(push_step, head, edges, reverse=True)
        words = jax.lax.dynamic_update_slice(words, word, (time, none, none))
        emitted = jax.lax.dynamic_update_slice(emitted, full, (time, none, none))
        return head, words, emitted, contexts

    chunks = jnp.int32(geometry.num_rows // chunk)
    head, words, emitted, _ = jax.lax.fori_loop(
        chunks - (steps + (chunk - 1)) // chunk,
        chunks,
        encode_chunk,
        (
            jnp.full(row, rans.LOWER_BOUND, jnp.uint64),
            jnp.zeros(limits.shape, jnp.uint32),
            jnp.zeros(limits.shape, bool),
            jnp.zeros((len(geometry.context), chunk, *row), jnp.int16),
        ),
    )
    return head, words, emitted


def _decode_lanes(
    network: IntegerNetwork,
    head: jax.Array,
    words: jax.Array,
    limits: jax.Array,
    steps: jax.Array,
    *,
    geometry: Geometry,
    predict: Callable[[IntegerNetwork, jax.Array], intervals.Mixture],
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Symbols [t, block, lane], the final heads, and how many words each block used.

    The history moves past instead of being indexed: every context voxel then is a slice at a fixed
    place, and nothing larger than a few slices of the block is ever copied.
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
        mixture = predict(network, contexts)
        used = jnp.maximum(limit, 1).reshape(-1).astype(jnp.int32)
        position = rans.peek(head, intervals.PRECISION).reshape(-1)
        found = intervals.find_interval(mixture, position, used)
        symbol, start, freq = (part.reshape(row) for part in found)
        head, cursor = rans.pop(head, start, freq, words, cursor, intervals.PRECISION)
        lanes = jnp.where(limit > 0, symbol.astype(jnp.int16), jnp.int16(OUTSIDE))
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
            jnp.full((lead + chunk, geometry.blocks, geometry.lane_pitch), OUTSIDE, jnp.int16),
            jnp.full(limits.shape, OUTSIDE, jnp.int16),
            head,
            firsts,
            jnp.zeros((len(geometry.context) - in_slice, chunk, *row), jnp.int16),
            jnp.zeros((len(geometry.context), 1, *row), jnp.int16),
        ),
    )
    return sheared, head, cursor - firsts
