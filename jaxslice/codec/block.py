"""Encoding and decoding of blocks: from voxels to payloads and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from jaxslice.codec import levels, network_difference, payload
from jaxslice.codec.architecture import Architecture
from jaxslice.codec.engines.interface import AUTO, engine_named
from jaxslice.codec.march import OUTSIDE
from jaxslice.codec.network import IntegerNetwork, Model
from jaxslice.core.box import Triple
from jaxslice.core.errors import FormatError, UsageError, VersionError
from jaxslice.core.types import Device, Volume


def encode_block(
    block: np.ndarray, model: Model, device: Device | None = None, *, engine: str = AUTO
) -> bytes:
    """Encodes one block; see `encode_blocks`."""
    return encode_blocks([block], model, device, engine=engine)[0]


def decode_block(
    data: bytes,
    block_shape: Triple,
    model: Model,
    device: Device | None = None,
    *,
    block_networks: bool = False,
    engine: str = AUTO,
) -> Volume:
    """Decodes one block; see `decode_blocks`."""
    return decode_blocks(
        [data], block_shape, model, device, block_networks=block_networks, engine=engine
    )[0]


def encode_blocks(
    blocks: Sequence[np.ndarray],
    model: Model,
    device: Device | None = None,
    *,
    differences: Sequence[bytes | None] | None = None,
    block_networks: bool = False,
    engine: str = AUTO,
) -> list[bytes]:
    """Encodes a batch of blocks of one shape.

    Args:
      blocks: uint8 [z, y, x] each, not empty.
      model: the network that predicts, with its architecture.
      device: the JAX device; the engine's default if None.
      differences: for each block the difference of its block network to the model's network, from
        `network_difference.encode`, or None. Constant and stored blocks ignore it.
      block_networks: whether to run the program for block networks even without differences.
      engine: `auto`, or the name of an engine; see `engines.interface`.

    Returns:
      For each block a payload for `decode_blocks`, at most `payload.OVERHEAD_BYTES` longer than the
      block.

    Raises:
      UsageError: a block is not a uint8 array of three axes, or is empty; the blocks or the
        differences do not match; or the engine cannot be used.
      FormatError: a difference is not one to the model's network.

    >>> import jaxslice
    >>> import numpy as np
    >>> blocks = [np.full((2, 4, 6), 7, np.uint8), np.arange(48, dtype=np.uint8).reshape(2, 4, 6)]
    >>> model = jaxslice.load_model("default").model
    >>> payloads = jaxslice.encode_blocks(blocks, model)
    >>> [len(payload) for payload in payloads]
    [24, 72]
    """
    if differences is not None and len(differences) != len(blocks):
        raise UsageError(
            f"Got {len(differences)} networks of {len(blocks)} blocks, expected one for each."
        )
    drafts = [_draft(_checked(block)) for block in blocks]
    if len({block.shape for block in blocks}) > 1:
        raise UsageError(
            f"Got blocks of shapes {[block.shape for block in blocks]}, expected one shape."
        )
    coded = [index for index, draft in enumerate(drafts) if draft.mode == payload.CODED]
    results = {}
    if coded:
        own = differences or [None] * len(blocks)
        inputs = [_coder_inputs(blocks[i], drafts[i], own[i]) for i in coded]
        networks = None
        if block_networks or differences is not None:
            networks = _networks([item.difference for item in inputs], len(blocks), model)
        messages = _run_encoder(
            inputs, len(blocks), blocks[0].shape, model, networks, device, engine
        )
        for index, item, message in zip(coded, inputs, messages, strict=False):
            body = payload.coded_body(item.tables, message, item.difference)
            has_network = item.difference is not None
            results[index] = dataclasses.replace(
                drafts[index], body=body, block_network=has_network
            )
    return [
        payload.pack(_shorter(results.get(index, draft), block))
        for index, (draft, block) in enumerate(zip(drafts, blocks, strict=True))
    ]


def decode_blocks(
    payloads: Sequence[bytes],
    block_shape: Triple,
    model: Model,
    device: Device | None = None,
    *,
    block_networks: bool = False,
    engine: str = AUTO,
) -> list[Volume]:
    """Decodes a batch of payloads of blocks of one shape.

    Args:
      payloads: payloads from `encode_blocks`.
      block_shape: (z, y, x) of a block, in voxels.
      model: the model that the blocks were encoded with.
      device: the JAX device; the engine's default if None.
      block_networks: whether payloads may contain block networks.
      engine: `auto`, or the name of an engine; see `engines.interface`.

    Returns:
      For each payload the block, uint8 [z, y, x].

    Raises:
      FormatError: a payload is damaged, or of another block shape, model or version.
      UsageError: the engine cannot be used.

    >>> import jaxslice
    >>> import numpy as np
    >>> block = np.arange(48, dtype=np.uint8).reshape(2, 4, 6)
    >>> model = jaxslice.load_model("default").model
    >>> payloads = jaxslice.encode_blocks([block], model)
    >>> (decoded,) = jaxslice.decode_blocks(payloads, (2, 4, 6), model)
    >>> bool((decoded == block).all())
    True
    """
    parsed = [payload.unpack(data, block_shape) for data in payloads]
    if not block_networks and any(item.block_network for item in parsed):
        raise VersionError("Got a block of format version 2, expected 1 as the archive says.")
    coded = [index for index, item in enumerate(parsed) if item.mode == payload.CODED]
    voxels: dict[int, Volume] = {}
    if coded:
        items = [parsed[index] for index in coded]
        decoded = _run_decoder(
            items, len(payloads), block_shape, model, block_networks, device, engine
        )
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
    block_networks: bool = False,
    engine: str = AUTO,
) -> int:
    """Compiles the programs of an engine before they are needed.

    Args:
      block_shape: (z, y, x) of the blocks.
      architecture: architecture of the networks.
      batch: number of blocks in a batch.
      encoder: whether `encode_blocks` will be called.
      decoder: whether `decode_blocks` will be called.
      block_networks: the argument of these functions.
      engine: the argument of these functions.

    Returns:
      Bytes of device memory that a batch takes while it runs.
    """
    return engine_named(engine).compile_for(
        block_shape, architecture, batch,
        encoder=encoder, decoder=decoder, block_networks=block_networks,
    )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class _CoderInputs:
    symbols: np.ndarray
    tables: np.ndarray
    extent: Triple
    difference: bytes | None


def _checked(block: np.ndarray) -> Volume:
    if block.dtype != np.uint8 or block.ndim != 3 or 0 in block.shape:
        raise UsageError(
            f"Got a block of {block.dtype} and shape {block.shape}, expected uint8 [z, y, x]."
        )
    return block


def _draft(block: Volume) -> payload.Payload:
    """The block's payload, with an empty body if the mode is CODED."""
    fill = int(block[-1, -1, -1])
    extent = payload.extent_of(block, fill)
    mode = payload.CODED if extent[0] else payload.CONSTANT
    return payload.Payload(mode, fill, extent, payload.crc32c(block), b"")


def _shorter(item: payload.Payload, block: Volume) -> payload.Payload:
    """The payload, or a STORED payload if that is shorter."""
    if item.mode == payload.CONSTANT or len(item.body) < np.prod(item.extent):
        return item
    body = block[payload.within(item.extent)].tobytes()
    return dataclasses.replace(item, mode=payload.STORED, body=body, block_network=False)


def _stored_voxels(item: payload.Payload) -> Volume:
    if len(item.body) != np.prod(item.extent):
        raise FormatError(
            f"Got {len(item.body)} stored voxels, expected {np.prod(item.extent)} of {item.extent}."
        )
    return np.frombuffer(item.body, np.uint8).reshape(item.extent)


def _coder_inputs(block: Volume, draft: payload.Payload, difference: bytes | None) -> _CoderInputs:
    voxels = block[payload.within(draft.extent)]
    tables = levels.choose(voxels)
    return _CoderInputs(levels.symbols_of(voxels, tables), tables, draft.extent, difference)


def _networks(
    differences: Sequence[bytes | None], batch: int, model: Model
) -> list[IntegerNetwork]:
    """The network of each block of a batch: its block network, or else the model's network."""
    base = model.network
    networks = [
        base if data is None else network_difference.decode(data, base, model.architecture)
        for data in differences
    ]
    return networks + [base] * (batch - len(networks))


def _alphabet_sizes(tables: np.ndarray, depth: int) -> np.ndarray:
    """int32 [depth]: alphabet size of each slice, 0 for slices beyond the extent."""
    return np.pad(levels.sizes(tables), (0, depth - len(tables)))


def _run_encoder(
    items: list[_CoderInputs],
    batch: int,
    shape: Triple,
    model: Model,
    networks: list[IntegerNetwork] | None,
    device: Device | None,
    engine: str,
) -> list[np.ndarray]:
    """Encodes the items; returns their messages. The batch is padded with blocks of extent 0."""
    symbols = np.full((batch, *shape), OUTSIDE, np.int16)
    sizes, extents = np.zeros((batch, shape[0]), np.int32), np.zeros((batch, 3), np.int32)
    for index, item in enumerate(items):
        symbols[(index, *payload.within(item.extent))] = item.symbols
        extents[index] = item.extent
        sizes[index] = _alphabet_sizes(item.tables, shape[0])
    return engine_named(engine, device).encode(symbols, sizes, extents, model, networks, device)


def _run_decoder(
    items: list[payload.Payload],
    batch: int,
    shape: Triple,
    model: Model,
    block_networks: bool,
    device: Device | None,
    engine: str,
) -> list[Volume]:
    """Decodes the voxels of each item's extent. The batch is padded with blocks of extent 0."""
    sizes, extents = np.zeros((batch, shape[0]), np.int32), np.zeros((batch, 3), np.int32)
    messages = [np.zeros(0, np.uint32)] * batch
    differences, tables = [], []
    for index, item in enumerate(items):
        difference, table, messages[index] = payload.split_coded_body(item)
        sizes[index], extents[index] = _alphabet_sizes(table, shape[0]), item.extent
        differences.append(difference)
        tables.append(table)
    networks = _networks(differences, batch, model) if block_networks else None
    runner = engine_named(engine, device)
    symbols = runner.decode(messages, sizes, extents, shape, model, networks, device)
    return [
        levels.voxels_of(decoded[payload.within(item.extent)], table)
        for item, decoded, table in zip(items, symbols, tables, strict=False)
    ]
