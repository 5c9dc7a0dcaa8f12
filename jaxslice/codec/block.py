"""Encoding and decoding of blocks: from voxels to payloads and back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jaxslice.codec import body, payload
from jaxslice.codec.batch import coder_inputs, networks_of, run_decoder, run_encoder
from jaxslice.codec.draft import draft_of, shortest
from jaxslice.codec.engines.interface import AUTO, engine_named
from jaxslice.codec.network import AnyArchitecture, Model
from jaxslice.codec.place import NOWHERE, Place
from jaxslice.codec.versions import ARCHIVE_VERSION
from jaxslice.core.box import Triple
from jaxslice.core.errors import UsageError, VersionError
from jaxslice.core.types import Device
from jaxslice.core.voxel_types import check_voxel_type


def encode_block(
    block: np.ndarray,
    model: Model,
    device: Device | None = None,
    *,
    place: Place = NOWHERE,
    engine: str = AUTO,
) -> bytes:
    """Encodes one block; see `encode_blocks`."""
    return encode_blocks([block], model, device, places=[place], engine=engine)[0]


def decode_block(
    data: bytes,
    block_shape: Triple,
    model: Model,
    device: Device | None = None,
    *,
    block_networks: bool = False,
    engine: str = AUTO,
    format_version: int = ARCHIVE_VERSION,
) -> np.ndarray:
    """Decodes one block; see `decode_blocks`."""
    return decode_blocks(
        [data], block_shape, model, device,
        block_networks=block_networks, engine=engine, format_version=format_version,
    )[0]  # fmt: skip


def encode_blocks(
    blocks: Sequence[np.ndarray],
    model: Model,
    device: Device | None = None,
    *,
    places: Sequence[Place] | None = None,
    differences: Sequence[bytes | None] | None = None,
    block_networks: bool = False,
    engine: str = AUTO,
    format_version: int = ARCHIVE_VERSION,
) -> list[bytes]:
    """Encodes a batch of blocks of one shape.

    Args:
      blocks: [z, y, x] each, not empty, of the dtype of the model's architecture.
      model: the network that predicts, with its architecture.
      device: the JAX device; the engine's default if None.
      places: of each block: the identity of its array and its index. None for blocks that belong
        to no archive.
      differences: for each block the difference of its block network to the model's network, from
        `network_difference.encode`, or None. Constant and stored blocks ignore it.
      block_networks: whether to run the program for block networks even without differences.
      engine: `auto`, or the name of an engine; see `engines.interface`.
      format_version: of the archive. Before version 4 payloads do not know their place.

    Returns:
      For each block a payload for `decode_blocks`, at most `payload.OVERHEAD_BYTES` longer than the
      block.

    Raises:
      UsageError: a block has another dtype or number of axes, or is empty; the blocks, the places
        or the differences do not match; or the engine cannot be used.
      FormatError: a difference is not one to the model's network.

    >>> import jaxslice
    >>> import numpy as np
    >>> blocks = [np.full((2, 4, 6), 7, np.uint8), np.arange(48, dtype=np.uint8).reshape(2, 4, 6)]
    >>> model = jaxslice.load_model("default").model
    >>> payloads = jaxslice.encode_blocks(blocks, model)
    >>> [len(payload) for payload in payloads]
    [50, 98]
    """
    _check_counts(blocks, places, differences)
    dtype = model.architecture.dtype
    known: list[Place | None] = list(places or [NOWHERE] * len(blocks))
    if format_version < ARCHIVE_VERSION:
        known = [None] * len(blocks)
    drafts = [
        draft_of(_checked(block, dtype), place) for block, place in zip(blocks, known, strict=True)
    ]
    if len({block.shape for block in blocks}) > 1:
        raise UsageError(
            f"Got blocks of shapes {[block.shape for block in blocks]}, expected one shape."
        )
    own = differences or [None] * len(blocks)
    coded = [i for i, draft in enumerate(drafts) if draft.has_coded_slices]
    inputs = [coder_inputs(drafts[i], own[i], model) for i in coded]
    messages = []
    if coded:
        networks = None
        if block_networks or differences is not None:
            networks = networks_of([item.difference for item in inputs], len(blocks), model)
        messages = run_encoder(
            inputs, len(blocks), blocks[0].shape, model, networks, device, engine
        )
    bodies = {
        i: body.coded_body(
            item.tables, message, item.difference, drafts[i].slices, dtype, item.choices
        )
        for i, item, message in zip(coded, inputs, messages, strict=False)
    }
    return [
        payload.pack(shortest(draft, bodies.get(i), own[i] is not None))
        for i, draft in enumerate(drafts)
    ]


def decode_blocks(
    payloads: Sequence[bytes],
    block_shape: Triple,
    model: Model,
    device: Device | None = None,
    *,
    places: Sequence[Place] | None = None,
    placeless: bool = False,
    block_networks: bool = False,
    engine: str = AUTO,
    format_version: int = ARCHIVE_VERSION,
) -> list[np.ndarray]:
    """Decodes a batch of payloads of blocks of one shape.

    Args:
      payloads: payloads from `encode_blocks`.
      block_shape: (z, y, x) of a block, in voxels.
      model: the model that the blocks were encoded with.
      device: the JAX device; the engine's default if None.
      places: where each payload belongs. None checks no place; an index of None is not checked.
      placeless: whether payloads are taken that do not know their index.
      block_networks: whether payloads may contain block networks.
      engine: `auto`, or the name of an engine; see `engines.interface`.
      format_version: of the archive. Before version 4 payloads do not know their place.

    Returns:
      For each payload the block [z, y, x].

    Raises:
      FormatError: a payload is damaged, or of another place, block shape, model or version.
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
    if places is not None and len(places) != len(payloads):
        raise UsageError(f"Got {len(places)} places of {len(payloads)} payloads, expected as many.")
    dtype = model.architecture.dtype
    parsed = [payload.unpack(data, block_shape, dtype) for data in payloads]
    for item, place in zip(parsed, places or [None] * len(parsed), strict=True):
        _check_version(item, block_networks, format_version)
        if place is not None and item.place is not None:
            payload.check_place(item, place, placeless)
    voxels: dict[int, np.ndarray] = {}
    split = {
        i: body.split_coded_body(item, dtype, model.architecture.predictors)
        for i, item in enumerate(parsed)
        if item.mode == payload.CODED
    }
    if split:
        decoded = run_decoder(
            list(split.values()), len(payloads), block_shape, model, block_networks, device,
            engine,
        )  # fmt: skip
        voxels = dict(zip(split, decoded, strict=True))
    for i, item in enumerate(parsed):
        if item.mode == payload.STORED:
            voxels[i] = body.stored_voxels(item, dtype)
    return [
        payload.whole_block(voxels.get(i), item, block_shape, dtype)
        for i, item in enumerate(parsed)
    ]


def compile_for(
    block_shape: Triple,
    architecture: AnyArchitecture,
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


def _check_counts(
    blocks: Sequence[np.ndarray],
    places: Sequence[Place] | None,
    differences: Sequence[bytes | None] | None,
) -> None:
    for what, items in (("places", places), ("networks", differences)):
        if items is not None and len(items) != len(blocks):
            raise UsageError(
                f"Got {len(items)} {what} of {len(blocks)} blocks, expected one for each."
            )


def _checked(block: np.ndarray, dtype: np.dtype) -> np.ndarray:
    check_voxel_type(block.dtype, "a block")
    if block.dtype != dtype or block.ndim != 3 or 0 in block.shape:
        raise UsageError(
            f"Got a block of {block.dtype} and shape {block.shape}, expected {dtype} [z, y, x] as "
            "the model; model.of_voxels(dtype) is one for other voxels."
        )
    return block


def _check_version(item: payload.Payload, block_networks: bool, format_version: int) -> None:
    """Refuses payloads that an archive of this version cannot hold."""
    if (item.place is None) != (format_version < ARCHIVE_VERSION):
        raise VersionError(
            f"Got a block of format version {item.version} in an archive of version "
            f"{format_version}, expected another version."
        )
    if item.block_network and not block_networks:
        if item.place is None:
            raise VersionError("Got a block of format version 2, expected 1 as the archive says.")
        raise VersionError("Got a block network, expected none as the archive says.")
