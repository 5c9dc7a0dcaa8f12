"""Blocks to bytes and back: `encode_blocks` and `decode_blocks`, the march compiled.

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

from jaxslice import intervals, levels, payload, rans
from jaxslice.box import Triple
from jaxslice.config import Architecture, Geometry
from jaxslice.errors import FormatError, UsageError
from jaxslice.integer import IntegerNetwork, mixture_of
from jaxslice.march import OUTSIDE, contexts_of, shear, unshear, with_borders
from jaxslice.types import Device, Volume


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """A network and its architecture: with the block's shape, all that decoding needs."""

    architecture: Architecture
    network: IntegerNetwork


def encode_block(block: Volume, model: Model, device: Device | None = None) -> bytes:
    """Compresses one block: uint8 [z, y, x], to a payload that `decode_block` reads.

    Never longer than the block by more than `payload.OVERHEAD_BYTES`.

    Args:
      block: any shape without empty axes.
      model: whose network predicts.
      device: where to run; JAX's default if not given.

    Raises:
      UsageError: the block is not a uint8 array of three axes, or is empty.
    """
    return encode_blocks([block], model, device)[0]


def decode_block(
    data: bytes, block_shape: Triple, model: Model, device: Device | None = None
) -> Volume:
    """The block that `encode_block` made `data` of.

    Raises:
      FormatError: the bytes are damaged, or of another block shape, model or version.
    """
    return decode_blocks([data], block_shape, model, device)[0]


def encode_blocks(
    blocks: Sequence[Volume], model: Model, device: Device | None = None
) -> list[bytes]:
    """`encode_block` of several blocks of one shape, which run together on the device."""
    drafts = [_draft(_checked(block)) for block in blocks]
    coded = [index for index, draft in enumerate(drafts) if draft.mode == payload.CODED]
    if len({block.shape for block in blocks}) > 1:
        raise UsageError(
            f"Got blocks of shapes {[block.shape for block in blocks]}, expected one shape."
        )
    results = {}
    if coded:
        inputs = [_coder_inputs(blocks[index], drafts[index]) for index in coded]
        messages = _run_encoder(inputs, blocks[0].shape, model, device)
        for index, inputs_of_block, message in zip(coded, inputs, messages, strict=True):
            body = payload.coded_body(inputs_of_block.tables, message)
            results[index] = dataclasses.replace(drafts[index], body=body)
    return [
        payload.pack(_shorter(results.get(index, draft), block))
        for index, (draft, block) in enumerate(zip(drafts, blocks, strict=True))
    ]


def decode_blocks(
    payloads: Sequence[bytes],
    block_shape: Triple,
    model: Model,
    device: Device | None = None,
) -> list[Volume]:
    """`decode_block` of several payloads, which run together on the device."""
    parsed = [payload.unpack(data, block_shape) for data in payloads]
    coded = [index for index, item in enumerate(parsed) if item.mode == payload.CODED]
    voxels: dict[int, Volume] = {}
    if coded:
        decoded = _run_decoder([parsed[index] for index in coded], block_shape, model, device)
        voxels = dict(zip(coded, decoded, strict=True))
    for index, item in enumerate(parsed):
        if item.mode == payload.STORED:
            voxels[index] = _stored_voxels(item)
    return [
        payload.place(voxels.get(index), item, block_shape) for index, item in enumerate(parsed)
    ]


def compile_for(
    block_shape: Triple, model: Model, batch: int = 1, *, encoder: bool = True, decoder: bool = True
) -> None:
    """Compiles the programs for blocks of one shape, on every device, before they are needed."""
    sizes = np.zeros((batch, block_shape[0]), np.int32)
    extents = np.zeros((batch, 3), np.int32)
    for device in jax.local_devices():
        if encoder:
            symbols = np.full((batch, *block_shape), OUTSIDE, np.int16)
            _launch_encoder(symbols, sizes, extents, 0, model, device)
        if decoder:
            heads = np.full((batch, block_shape[1]), rans.LOWER_BOUND, np.uint64)
            words = np.zeros((batch, _most_words(block_shape)), np.uint32)
            _launch_decoder(heads, words, sizes, extents, 0, block_shape, model, device)


@dataclasses.dataclass(frozen=True)
class _CoderInputs:
    symbols: np.ndarray
    tables: np.ndarray
    extent: Triple


def _checked(block: Volume) -> Volume:
    if block.dtype != np.uint8 or block.ndim != 3 or 0 in block.shape:
        raise UsageError(
            f"Got a block of {block.dtype} and shape {block.shape}, expected uint8 [z, y, x]."
        )
    return block


def _draft(block: Volume) -> payload.Payload:
    """The block's payload but for the body, which only a CODED one still lacks."""
    fill = int(block[-1, -1, -1])
    extent = payload.extent_of(block, fill)
    mode = payload.CODED if extent[0] else payload.CONSTANT
    return payload.Payload(mode, fill, extent, payload.crc32c(block), b"")


def _shorter(item: payload.Payload, block: Volume) -> payload.Payload:
    """The payload itself, or the voxels as they are where those are shorter."""
    if item.mode == payload.CONSTANT or len(item.body) < np.prod(item.extent):
        return item
    body = block[payload.within(item.extent)].tobytes()
    return dataclasses.replace(item, mode=payload.STORED, body=body)


def _stored_voxels(item: payload.Payload) -> Volume:
    if len(item.body) != np.prod(item.extent):
        raise FormatError(
            f"Got {len(item.body)} stored voxels, expected {np.prod(item.extent)} of {item.extent}."
        )
    return np.frombuffer(item.body, np.uint8).reshape(item.extent)


def _coder_inputs(block: Volume, draft: payload.Payload) -> _CoderInputs:
    inside = payload.within(draft.extent)
    tables = levels.choose(block[inside])
    symbols = np.full(block.shape, OUTSIDE, np.int16)
    symbols[inside] = levels.symbols_of(block[inside], tables)
    return _CoderInputs(symbols, tables, draft.extent)


def _alphabet_sizes(tables: np.ndarray, depth: int) -> np.ndarray:
    """int32 [depth]: symbols of each slice's alphabet, 0 for slices beyond the extent."""
    return np.pad(levels.sizes(tables), (0, depth - len(tables)))


def _run_encoder(
    items: list[_CoderInputs], shape: Triple, model: Model, device: Device | None
) -> list[np.ndarray]:
    geometry = Geometry(shape, model.architecture.context)
    symbols = np.stack([item.symbols for item in items])
    sizes = np.stack([_alphabet_sizes(item.tables, shape[0]) for item in items])
    extents = np.array([item.extent for item in items], np.int32)
    steps = max(geometry.steps_for(item.extent) for item in items)
    heads, words, emitted = _launch_encoder(symbols, sizes, extents, steps, model, device)
    return [
        rans.flatten(head[: item.extent[1]], word[full])
        for item, head, word, full in zip(items, heads, words, emitted, strict=True)
    ]


def _run_decoder(
    items: list[payload.Payload], shape: Triple, model: Model, device: Device | None
) -> list[Volume]:
    geometry = Geometry(shape, model.architecture.context)
    heads = np.full((len(items), shape[1]), rans.LOWER_BOUND, np.uint64)
    tails, tables = [], []
    for index, item in enumerate(items):
        table, message = payload.split_coded_body(item.body, item.extent[0])
        lanes = item.extent[1]
        heads[index, :lanes], tail = rans.unflatten(message, lanes)
        tails.append(tail)
        tables.append(table)
    words = np.zeros((len(items), _most_words(shape)), np.uint32)
    for row, tail in zip(words, tails, strict=True):
        if tail.size > row.size:
            raise FormatError(f"Got a message of {tail.size} words, expected at most {row.size}.")
        row[: tail.size] = tail
    sizes = np.stack([_alphabet_sizes(table, shape[0]) for table in tables])
    extents = np.array([item.extent for item in items], np.int32)
    steps = max(geometry.steps_for(item.extent) for item in items)
    symbols, heads, used = _launch_decoder(
        heads, words, sizes, extents, steps, shape, model, device
    )
    results = []
    for index, item in enumerate(items):
        if used[index] != tails[index].size or np.any(heads[index] != rans.LOWER_BOUND):
            raise FormatError(
                f"Got a message that used {used[index]} of {tails[index].size} words or left a "
                "lane unfinished: damaged, or coded with another network."
            )
        inside = payload.within(item.extent)
        results.append(levels.voxels_of(symbols[index][inside], tables[index]))
    return results


def _launch_encoder(
    symbols: np.ndarray,
    sizes: np.ndarray,
    extents: np.ndarray,
    steps: int,
    model: Model,
    device: Device | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    batch, *shape = symbols.shape
    depth, height, width = shape
    geometry = Geometry((depth, height, width), model.architecture.context)
    with jax.enable_x64(True):
        program = _encoder(geometry, model.architecture, batch, _platform(device))
        arguments = (model.network, symbols, sizes, extents, np.int32(steps))
        return jax.device_get(program(*jax.device_put(arguments, device)))


def _launch_decoder(
    heads: np.ndarray,
    words: np.ndarray,
    sizes: np.ndarray,
    extents: np.ndarray,
    steps: int,
    shape: Triple,
    model: Model,
    device: Device | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    geometry = Geometry(shape, model.architecture.context)
    with jax.enable_x64(True):
        program = _decoder(geometry, model.architecture, len(heads), _platform(device))
        arguments = (model.network, heads, words, sizes, extents, np.int32(steps))
        return jax.device_get(program(*jax.device_put(arguments, device)))


def _most_words(shape: Triple) -> int:
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
        time = (len(limits) // chunk - 1 - index) * chunk
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
        start = (index * chunk, jnp.int32(0))
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
