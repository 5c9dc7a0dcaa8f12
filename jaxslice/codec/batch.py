"""A batch of blocks through an engine: voxels to messages and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from jaxslice.codec import level_tables, linear_choice, network_difference, payload, slices
from jaxslice.codec.body import CodedBody
from jaxslice.codec.draft import Draft
from jaxslice.codec.engines.interface import engine_named
from jaxslice.codec.network import IntegerNetwork, Model
from jaxslice.core.box import Triple
from jaxslice.core.types import Device


@dataclasses.dataclass(frozen=True)
class CoderInputs:
    """What an engine encodes of a block.

    Attributes:
      symbols: [z, y, x] of the coded slices, in the voxels' dtype.
      tables: their level tables; see `level_tables`.
      extent: (z, y, x) of the symbols.
      difference: of the block network, or None.
      choices: uint8 [z], which of several linear predictors each slice has, or None.
    """

    symbols: np.ndarray
    tables: level_tables.Tables
    extent: Triple
    difference: bytes | None
    choices: np.ndarray | None


def coder_inputs(draft: Draft, difference: bytes | None, model: Model) -> CoderInputs:
    """Chooses level tables and predictors, and finds the symbols of the coded slices."""
    voxels = draft.coded_voxels
    levels = level_tables.of(voxels.dtype)
    tables = levels.choose(voxels)
    depth, height, width = voxels.shape
    symbols, choices = levels.symbols_of(voxels, tables), None
    if model.architecture.predictors > 1:
        choices = linear_choice.choose(symbols, model)
    return CoderInputs(symbols, tables, (depth, height, width), difference, choices)


def networks_of(
    differences: Sequence[bytes | None], batch: int, model: Model
) -> list[IntegerNetwork]:
    """The network of each block of a batch: its block network, or else the model's network."""
    base = model.network
    networks = [
        base if data is None else network_difference.decode(data, base, model.architecture)
        for data in differences
    ]
    return networks + [base] * (batch - len(networks))


def _alphabet_sizes(tables: level_tables.Tables, depth: int, dtype: np.dtype) -> np.ndarray:
    """int32 [depth]: alphabet size of each slice, 0 for slices beyond the extent."""
    return np.pad(level_tables.of(dtype).sizes(tables), (0, depth - len(tables)))


def _choices(items: Sequence[CoderInputs | CodedBody], batch: int, depth: int) -> np.ndarray | None:
    """uint8 [block, z]: the predictor of each slice, or None where there are not several."""
    if all(item.choices is None for item in items):
        return None
    choices = np.zeros((batch, depth), np.uint8)
    for row, item in zip(choices, items, strict=False):
        if item.choices is not None:
            row[: len(item.choices)] = item.choices
    return choices


def _together(items: list[CoderInputs], batch: int, shape: Triple, dtype: np.dtype) -> np.ndarray:
    """The symbols of all items, [block, z, y, x]; 0 beyond their extents."""
    if batch == 1 and items[0].extent == shape:
        return items[0].symbols[np.newaxis]
    symbols = np.zeros((batch, *shape), dtype)
    for index, item in enumerate(items):
        symbols[(index, *payload.within(item.extent))] = item.symbols
    return symbols


def run_encoder(
    items: list[CoderInputs],
    batch: int,
    shape: Triple,
    model: Model,
    networks: list[IntegerNetwork] | None,
    device: Device | None,
    engine: str,
) -> list[np.ndarray]:
    """Encodes the items; returns their messages. The batch is padded with blocks of extent 0."""
    architecture = model.architecture
    symbols = _together(items, batch, shape, architecture.dtype)
    sizes, extents = np.zeros((batch, shape[0]), np.int32), np.zeros((batch, 3), np.int32)
    for index, item in enumerate(items):
        extents[index] = item.extent
        sizes[index] = _alphabet_sizes(item.tables, shape[0], architecture.dtype)
    choices = _choices(items, batch, shape[0])
    return engine_named(engine, device).encode(
        symbols, sizes, extents, model, networks, device, choices
    )


def run_decoder(
    items: list[CodedBody],
    batch: int,
    shape: Triple,
    model: Model,
    block_networks: bool,
    device: Device | None,
    engine: str,
) -> list[np.ndarray]:
    """Decodes the voxels of each item's extent. The batch is padded with blocks of extent 0."""
    sizes, extents = np.zeros((batch, shape[0]), np.int32), np.zeros((batch, 3), np.int32)
    messages, dtype = [np.zeros(0, np.uint32)] * batch, model.architecture.dtype
    for index, item in enumerate(items):
        messages[index], extents[index] = item.message, item.extent
        sizes[index] = _alphabet_sizes(item.tables, shape[0], dtype)
    networks = None
    if block_networks:
        networks = networks_of([item.difference for item in items], batch, model)
    runner = engine_named(engine, device)
    choices = _choices(items, batch, shape[0])
    symbols = runner.decode(messages, sizes, extents, shape, model, networks, device, choices)
    decoded = []
    for item, found in zip(items, symbols, strict=False):
        voxels = level_tables.of(dtype).voxels_of(found[payload.within(item.extent)], item.tables)
        decoded.append(voxels if item.slices is None else slices.restored(voxels, item.slices))
    return decoded
