"""The march compiled: blocks of symbols to messages and back, on the device.

Both directions walk the same geometry and call the same `integer.mixture_of`. Encoding knows every
context from the start, so it predicts many time steps at once and then pushes them in reverse;
decoding is one step after the other. A program is compiled once for a block shape, an architecture
and a batch size; smaller extents, as at the volume's edges, are run by the same program.
"""

import dataclasses
import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxslice import intervals, rans
from jaxslice.box import Triple
from jaxslice.config import Architecture, Geometry
from jaxslice.integer import IntegerNetwork, mixture_of
from jaxslice.march import OUTSIDE, contexts_of, shear, unshear, with_borders
from jaxslice.types import Device


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """A network and its architecture: with the block's shape, all that decoding needs."""

    architecture: Architecture
    network: IntegerNetwork


def launch_encoder(
    symbols: np.ndarray,
    sizes: np.ndarray,
    extents: np.ndarray,
    steps: int,
    model: Model,
    device: Device | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Encodes a batch of blocks.

    Args:
      symbols: int16 [block, z, y, x], OUTSIDE beyond each block's extent.
      sizes: int32 [block, z], symbols in each slice's alphabet.
      extents: int32 [block, 3].
      steps: time steps to run; enough for the largest extent.
      model: whose network predicts.
      device: where to run; JAX's default if None.

    Returns:
      The heads uint64 [block, lane]; words uint32 [block, t, lane] in decoding order; and bool
      [block, t, lane], which of the words belong to the message.
    """
    batch, *shape = symbols.shape
    depth, height, width = shape
    geometry = Geometry((depth, height, width), model.architecture.context)
    with jax.enable_x64(True):
        program = _encoder(geometry, model.architecture, batch, _platform(device))
        arguments = (model.network, symbols, sizes, extents, np.int32(steps))
        return jax.device_get(program(*jax.device_put(arguments, device)))


def launch_decoder(
    heads: np.ndarray,
    words: np.ndarray,
    sizes: np.ndarray,
    extents: np.ndarray,
    steps: int,
    shape: Triple,
    model: Model,
    device: Device | None,
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

    Returns:
      Symbols int16 [block, z, y, x]; the final heads; and how many words each block used.
    """
    geometry = Geometry(shape, model.architecture.context)
    with jax.enable_x64(True):
        program = _decoder(geometry, model.architecture, len(heads), _platform(device))
        arguments = (model.network, heads, words, sizes, extents, np.int32(steps))
        return jax.device_get(program(*jax.device_put(arguments, device)))


def most_words(shape: Triple) -> int:
    """A message is never longer than the voxels it stands for, or they would have been stored."""
    depth, height, width = shape
    return depth * height * width // 4 + 1


def _platform(device: Device | None) -> str:
    return device.platform if device else jax.default_backend()


def _compile(function, batch: int, batched: Sequence[int | None], platform: str):
    """jit, over a leading axis of blocks. XLA's own threads only get in the way of steps this
    small, so on a CPU each program keeps to one thread and other threads run other blocks.
    """
    options = {"xla_cpu_multi_thread_eigen": False} if platform == "cpu" else None
    if batch == 1:
        lone = lambda *args: tuple(
            result[None]
            for result in function(
                *(arg if axis is None else arg[0] for arg, axis in zip(args, batched, strict=True))
            )
        )
        return jax.jit(lone, compiler_options=options)
    return jax.jit(jax.vmap(function, in_axes=tuple(batched)), compiler_options=options)


@functools.lru_cache(maxsize=32)
def _encoder(geometry: Geometry, architecture: Architecture, batch: int, platform: str):
    function = functools.partial(_encode_lanes, geometry=geometry, architecture=architecture)
    return _compile(function, batch, (None, 0, 0, 0, None), platform)


@functools.lru_cache(maxsize=32)
def _decoder(geometry: Geometry, architecture: Architecture, batch: int, platform: str):
    function = functools.partial(_decode_lanes, geometry=geometry, architecture=architecture)
    return _compile(function, batch, (None, 0, 0, 0, 0, None), platform)


def _sheared_limits(sizes: jax.Array, extent: jax.Array, geometry: Geometry) -> jax.Array:
    """int16 [t, lane]: the alphabet size of the voxel coded there, 0 where a lane rests."""
    z, y, x = (jax.lax.broadcasted_iota(jnp.int32, geometry.block_shape, axis) for axis in range(3))
    inside = (z < extent[0]) & (y < extent[1]) & (x < extent[2])
    limits = jnp.where(inside, sizes[:, None, None], 0).astype(jnp.int16)
    return jnp.maximum(shear(limits, geometry), 0)


def _encode_lanes(
    network: IntegerNetwork,
    symbols: jax.Array,
    sizes: jax.Array,
    extent: jax.Array,
    steps: jax.Array,
    *,
    geometry: Geometry,
    architecture: Architecture,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Encodes one block: the final heads, and the words in decoding order [t, lane] with a mask."""
    lanes, chunk = geometry.block_shape[1], geometry.steps_together
    limits = _whole_chunks(_sheared_limits(sizes, extent, geometry), geometry, 0)
    sheared = _whole_chunks(shear(symbols, geometry), geometry, OUTSIDE)
    history = with_borders(sheared, geometry)
    first = jnp.int32(0)

    def push_step(head, interval):
        start, freq = interval
        head, word, full = rans.push(head, start, freq, intervals.PRECISION)
        return head, (word, full)

    def encode_chunk(index, state):
        head, words, emitted = state
        time = jnp.int32((len(limits) // chunk - 1 - index) * chunk)
        rows = (geometry.lead + chunk, history.shape[1])
        window = jax.lax.dynamic_slice(history, (time, first), rows)
        contexts = contexts_of(window, chunk, geometry, slice(None))
        contexts = contexts.transpose(1, 0, 2).reshape(-1, chunk * lanes)
        symbol = jax.lax.dynamic_slice(sheared, (time, first), (chunk, lanes)).reshape(-1)
        limit = jax.lax.dynamic_slice(limits, (time, first), (chunk, lanes)).reshape(-1)
        start, freq = intervals.interval_of(
            mixture_of(network, contexts, architecture),
            jnp.maximum(symbol, 0).astype(jnp.int32),
            jnp.maximum(limit, 1).astype(jnp.int32),
        )
        interval = start.reshape(chunk, lanes), freq.reshape(chunk, lanes)
        head, (word, full) = jax.lax.scan(push_step, head, interval, reverse=True)
        words = jax.lax.dynamic_update_slice(words, word, (time, first))
        return head, words, jax.lax.dynamic_update_slice(emitted, full, (time, first))

    chunks = jnp.int32(len(limits) // chunk)
    return jax.lax.fori_loop(
        chunks - (steps + (chunk - 1)) // chunk,
        chunks,
        encode_chunk,
        (
            jnp.full(lanes, rans.LOWER_BOUND, jnp.uint64),
            jnp.zeros(limits.shape, jnp.uint32),
            jnp.zeros(limits.shape, bool),
        ),
    )


def _decode_lanes(
    network: IntegerNetwork,
    head: jax.Array,
    words: jax.Array,
    sizes: jax.Array,
    extent: jax.Array,
    steps: jax.Array,
    *,
    geometry: Geometry,
    architecture: Architecture,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Decodes one block: its symbols [z, y, x], the final heads, and how many words were used.

    The history moves past instead of being indexed: every context voxel then is a slice at a fixed
    place, and nothing larger than a few slices of the block is ever copied.
    """
    lanes, chunk = geometry.block_shape[1], geometry.steps_together
    limits = _whole_chunks(_sheared_limits(sizes, extent, geometry), geometry, 0)
    in_slice = sum(dz == 0 for dz, _, _ in geometry.context)
    reach = max((-lag for lag in geometry.lags[:in_slice]), default=1)

    def decode_step(state, inputs):
        recent, head, cursor = state
        earlier, limit = inputs
        window = jnp.pad(recent, ((geometry.lead - reach, 1), (0, 0)))
        present = contexts_of(window, 1, geometry, slice(in_slice))[0]
        mixture = mixture_of(network, jnp.concatenate([present, earlier]), architecture)
        used = jnp.maximum(limit, 1).astype(jnp.int32)
        symbol = intervals.find_symbol(mixture, rans.peek(head, intervals.PRECISION), used)
        interval = intervals.interval_of(mixture, symbol, used)
        head, cursor = rans.pop(head, *interval, words, cursor, intervals.PRECISION)
        row = jnp.where(limit > 0, symbol.astype(jnp.int16), jnp.int16(OUTSIDE))[None]
        recent = jnp.concatenate([recent[1:], _with_margin(row, geometry)])
        return (recent, head, cursor), row[0]

    def decode_chunk(index, state):
        history, sheared, head, cursor = state
        start = (jnp.int32(index * chunk), jnp.int32(0))
        window = jnp.pad(history, ((0, chunk), (0, 0)))
        earlier = contexts_of(window, chunk, geometry, slice(in_slice, None))
        limit = jax.lax.dynamic_slice(limits, start, (chunk, lanes))
        (_, head, cursor), rows = jax.lax.scan(
            decode_step, (history[-reach:], head, cursor), (earlier, limit)
        )
        history = jnp.concatenate([history, _with_margin(rows, geometry)])[chunk:]
        return history, jax.lax.dynamic_update_slice(sheared, rows, start), head, cursor

    width = lanes + 2 * geometry.margin
    _, sheared, head, cursor = jax.lax.fori_loop(
        jnp.int32(0),
        (steps + (chunk - 1)) // chunk,
        decode_chunk,
        (
            jnp.full((geometry.lead, width), OUTSIDE, jnp.int16),
            jnp.full(limits.shape, OUTSIDE, jnp.int16),
            head,
            jnp.int32(0),
        ),
    )
    return unshear(sheared[: geometry.num_steps], geometry), head, cursor


def _with_margin(rows: jax.Array, geometry: Geometry) -> jax.Array:
    return jnp.pad(rows, ((0, 0), (geometry.margin,) * 2), constant_values=OUTSIDE)


def _whole_chunks(sheared: jax.Array, geometry: Geometry, fill: int) -> jax.Array:
    after = -len(sheared) % geometry.steps_together
    return jnp.pad(sheared, ((0, after), (0, 0)), constant_values=fill)
