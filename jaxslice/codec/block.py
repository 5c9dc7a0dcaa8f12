"""Blocks to bytes and back: voxels, level tables and payloads around the coder's messages."""

import dataclasses
from collections.abc import Sequence

import jax
import numpy as np

from jaxslice.codec import levels, network_difference, payload, rans
from jaxslice.codec.architecture import Architecture
from jaxslice.codec.engines.xla import launch_decoder, launch_encoder
from jaxslice.codec.geometry import Geometry
from jaxslice.codec.march import OUTSIDE
from jaxslice.codec.network import IntegerNetwork, Model, blank
from jaxslice.core.box import Triple
from jaxslice.core.errors import FormatError, UsageError, VersionError
from jaxslice.core.types import Device, Volume


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
    data: bytes,
    block_shape: Triple,
    model: Model,
    device: Device | None = None,
    *,
    own_networks: bool | None = None,
) -> Volume:
    """The block that `encode_block` made `data` of.

    Args:
      data: the payload.
      block_shape: of the block.
      model: that it was encoded with.
      device: where to run; JAX's default if not given.
      own_networks: whether the archive's format version lets blocks have networks of their own. If
        so, one program decodes those that have and those that have not. If not given, the payloads
        are taken as they are, and which program runs depends on them.

    Raises:
      FormatError: the bytes are damaged, or of another block shape, model or version.
    """
    return decode_blocks([data], block_shape, model, device, own_networks=own_networks)[0]


def encode_blocks(
    blocks: Sequence[Volume],
    model: Model,
    device: Device | None = None,
    own: Sequence[bytes | None] | None = None,
) -> list[bytes]:
    """`encode_block` of several blocks of one shape, which run together on the device.

    Args:
      blocks: to encode.
      model: whose network predicts.
      device: where to run; JAX's default if not given.
      own: for each block what `network_difference.encode` gave for another network, or
        None. Blocks that come out constant or stored leave it away. With a list, even one of
        nothing but None, the program runs that takes a network for each block.

    Raises:
      UsageError: a block is not a uint8 array of three axes, or is empty, or they do not match.
      FormatError: a difference is none to the model's network.
    """
    if own is not None and len(own) != len(blocks):
        raise UsageError(f"Got {len(own)} networks of {len(blocks)} blocks, expected one for each.")
    drafts = [_draft(_checked(block)) for block in blocks]
    coded = [index for index, draft in enumerate(drafts) if draft.mode == payload.CODED]
    if len({block.shape for block in blocks}) > 1:
        raise UsageError(
            f"Got blocks of shapes {[block.shape for block in blocks]}, expected one shape."
        )
    results = {}
    if coded:
        inputs = [_coder_inputs(blocks[i], drafts[i], own[i] if own else None) for i in coded]
        networks = _networks([i.difference for i in inputs], len(blocks), model) if own else None
        messages = _run_encoder(inputs, len(blocks), blocks[0].shape, model, device, networks)
        for index, item, message in zip(coded, inputs, messages, strict=True):
            body = payload.coded_body(item.tables, message, item.difference)
            has_own = item.difference is not None
            results[index] = dataclasses.replace(drafts[index], body=body, own_network=has_own)
    return [
        payload.pack(_shorter(results.get(index, draft), block))
        for index, (draft, block) in enumerate(zip(drafts, blocks, strict=True))
    ]


def shorter_of(*candidates: Sequence[bytes]) -> list[bytes]:
    """For each block the shortest of its payloads, one from each list; of equal ones the first."""
    return [min(payloads, key=len) for payloads in zip(*candidates, strict=True)]


def decode_blocks(
    payloads: Sequence[bytes],
    block_shape: Triple,
    model: Model,
    device: Device | None = None,
    *,
    own_networks: bool | None = None,
) -> list[Volume]:
    """`decode_block` of several payloads, which run together on the device."""
    parsed = [payload.unpack(data, block_shape) for data in payloads]
    found = any(item.own_network for item in parsed)
    if found and own_networks is False:
        raise VersionError("Got a block of format version 2, expected 1 as the archive says.")
    coded = [index for index, item in enumerate(parsed) if item.mode == payload.CODED]
    voxels: dict[int, Volume] = {}
    if coded:
        items = [parsed[index] for index in coded]
        with_own = own_networks or found
        decoded = _run_decoder(items, len(payloads), block_shape, model, device, with_own)
        voxels = dict(zip(coded, decoded, strict=True))
    for index, item in enumerate(parsed):
        if item.mode == payload.STORED:
            voxels[index] = _stored_voxels(item)
    return [
        payload.place(voxels.get(index), item, block_shape) for index, item in enumerate(parsed)
    ]


def compile_for(
    block_shape: Triple,
    architecture: Architecture,
    batch: int = 1,
    *,
    encoder: bool = True,
    decoder: bool = True,
    own_networks: bool = False,
) -> None:
    """Compiles the programs for blocks of one shape, on every device, before they are needed.

    Args:
      block_shape: of the blocks.
      architecture: of the networks that will be used.
      batch: blocks that will run together.
      encoder: whether to compile that of `encode_blocks`.
      decoder: whether to compile that of `decode_blocks`.
      own_networks: whether it is those for blocks with networks of their own.
    """
    model = Model(architecture, blank(architecture))
    networks = _networks([], batch, model) if own_networks else None
    sizes = np.zeros((batch, block_shape[0]), np.int32)
    extents = np.zeros((batch, 3), np.int32)
    for device in jax.local_devices():
        if encoder:
            symbols = np.full((batch, *block_shape), OUTSIDE, np.int16)
            launch_encoder(symbols, sizes, extents, 0, model, device, networks)
        if decoder:
            heads = np.full((batch, block_shape[1]), rans.LOWER_BOUND, np.uint64)
            words = np.zeros((batch, payload.most_words(block_shape)), np.uint32)
            launch_decoder(heads, words, sizes, extents, 0, block_shape, model, device, networks)


@dataclasses.dataclass(frozen=True)
class _CoderInputs:
    symbols: np.ndarray
    tables: np.ndarray
    extent: Triple
    difference: bytes | None


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
    return dataclasses.replace(item, mode=payload.STORED, body=body, own_network=False)


def _stored_voxels(item: payload.Payload) -> Volume:
    if len(item.body) != np.prod(item.extent):
        raise FormatError(
            f"Got {len(item.body)} stored voxels, expected {np.prod(item.extent)} of {item.extent}."
        )
    return np.frombuffer(item.body, np.uint8).reshape(item.extent)


def _coder_inputs(block: Volume, draft: payload.Payload, own: bytes | None) -> _CoderInputs:
    voxels = block[payload.within(draft.extent)]
    tables = levels.choose(voxels)
    return _CoderInputs(levels.symbols_of(voxels, tables), tables, draft.extent, own)


def _networks(
    differences: Sequence[bytes | None], batch: int, model: Model
) -> list[IntegerNetwork]:
    """For each block of a batch its own network; the model's if it has none or is missing."""
    base = model.network
    networks = [
        base if data is None else network_difference.decode(data, base, model.architecture)
        for data in differences
    ]
    return networks + [base] * (batch - len(networks))


def _alphabet_sizes(tables: np.ndarray, depth: int) -> np.ndarray:
    """int32 [depth]: symbols of each slice's alphabet, 0 for slices beyond the extent."""
    return np.pad(levels.sizes(tables), (0, depth - len(tables)))


def _run_encoder(
    items: list[_CoderInputs],
    batch: int,
    shape: Triple,
    model: Model,
    device: Device | None,
    networks: list[IntegerNetwork] | None,
) -> list[np.ndarray]:
    """The message of each item. Whatever their number, the program for `batch` blocks runs."""
    geometry = Geometry.of(shape, model.architecture)
    symbols = np.full((batch, *shape), OUTSIDE, np.int16)
    sizes, extents = np.zeros((batch, shape[0]), np.int32), np.zeros((batch, 3), np.int32)
    for index, item in enumerate(items):
        symbols[(index, *payload.within(item.extent))] = item.symbols
        extents[index] = item.extent
        sizes[index] = _alphabet_sizes(item.tables, shape[0])
    steps = max(geometry.steps_for(item.extent) for item in items)
    heads, words, emitted = launch_encoder(symbols, sizes, extents, steps, model, device, networks)
    return [
        rans.flatten(head[: item.extent[1]], np.compress(full.ravel(), word.ravel()))
        for item, head, word, full in zip(items, heads, words, emitted, strict=False)
    ]


def _run_decoder(
    items: list[payload.Payload],
    batch: int,
    shape: Triple,
    model: Model,
    device: Device | None,
    own_networks: bool,
) -> list[Volume]:
    """The voxels of each item's extent, by the program for `batch` blocks."""
    geometry = Geometry.of(shape, model.architecture)
    heads = np.full((batch, shape[1]), rans.LOWER_BOUND, np.uint64)
    words = np.zeros((batch, payload.most_words(shape)), np.uint32)
    sizes, extents = np.zeros((batch, shape[0]), np.int32), np.zeros((batch, 3), np.int32)
    tails, tables, differences = [], [], []
    for index, item in enumerate(items):
        changes, table, message = payload.split_coded_body(item)
        lanes = item.extent[1]
        heads[index, :lanes], tail = rans.unflatten(message, lanes)
        if tail.size > words.shape[1]:
            raise FormatError(
                f"Got a message of {tail.size} words, expected at most {words.shape[1]}."
            )
        words[index, : tail.size] = tail
        sizes[index], extents[index] = _alphabet_sizes(table, shape[0]), item.extent
        tails.append(tail)
        tables.append(table)
        differences.append(changes)
    networks = _networks(differences, batch, model) if own_networks else None
    steps = max(geometry.steps_for(item.extent) for item in items)
    symbols, heads, used = launch_decoder(
        heads, words, sizes, extents, steps, shape, model, device, networks
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
