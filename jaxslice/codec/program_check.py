"""Tries the programs that will code an archive; `probe` tries others of the same engine.

Programs are compiled for each block shape, network and batch size, and a compiler may round in one
of them and not in another. So small blocks are coded with those of the archive, on every device.
"""

from __future__ import annotations

import numpy as np

from jaxslice.codec.engines.interface import AUTO, Engine, engine_named
from jaxslice.codec.march import OUTSIDE
from jaxslice.codec.network import Model
from jaxslice.codec.probe_sample import ProbeSample
from jaxslice.core.box import Triple
from jaxslice.core.errors import DeviceError, FormatError, UsageError
from jaxslice.core.types import Device, Words

_EXTENT = (3, 40, 24)
"""Largest part of a block that is coded: a program runs as many steps as that takes."""


def check_programs(
    model: Model,
    block_shape: Triple,
    batch: int = 1,
    engine: str = AUTO,
    *,
    block_networks: bool = False,
    decoder: bool = True,
) -> None:
    """Codes small blocks with the programs of an archive on every device.

    The messages must be those of another engine, where the native one can run, and of all other
    devices; and they must decode to the symbols that were encoded.

    Args:
      model: of the archive.
      block_shape: of its blocks.
      batch: blocks that run together on a device.
      engine: what will code them.
      block_networks: whether blocks may have networks of their own.
      decoder: whether the decoder will be used, and is to be tried.

    Raises:
      DeviceError: a device computes otherwise.
    """
    made = sample_of(model, block_shape, batch)
    chosen, expected, source = engine_named(engine), *_expected(made, engine)
    for device in chosen.devices():
        networks = [model.network] * batch if block_networks else None
        messages = chosen.encode(
            made.symbols, made.sizes, made.extents, model, networks, device, made.choices
        )
        where = f"{device or 'this machine'} with the engine {chosen.name!r}"
        if expected is None:
            expected, source = messages, where
        if not _are_equal(messages, expected):
            raise DeviceError(
                f"Got other bytes for the archive's network on {where} than on {source}, expected "
                "the same: one of them does not compute exactly, so nothing is written."
            )
        if decoder and not _decodes(chosen, made, messages, block_shape, networks, device):
            raise DeviceError(
                f"Got other symbols than were encoded with the archive's network on {where}, "
                "expected the same: it does not compute exactly, so nothing is written."
            )


def sample_of(model: Model, block_shape: Triple, batch: int) -> ProbeSample:
    """Small blocks, for the programs of whole blocks. They are not alike."""
    architecture = model.architecture
    largest = 4096 if architecture.is_wide else 256
    depth, height, width = (min(a, b) for a, b in zip(_EXTENT, block_shape, strict=True))
    symbols = np.full((batch, *block_shape), OUTSIDE, architecture.symbol_dtype)
    sizes = np.zeros((batch, block_shape[0]), np.int32)
    z, y, x = np.indices((depth, height, width))
    noise = (z * 7919 + y * 104729 + x * 1299709) * 2654435761 % 2**32 >> 16
    for block in range(batch):
        values = largest // 3 + 3 * z + 2 * y + x + (noise >> block % 8) % (1 + largest // 16)
        symbols[block, :depth, :height, :width] = values % largest
        sizes[block, :depth] = largest
    extents = np.array([(depth, height, width)] * batch, np.int32)
    choices = None
    if architecture.predictors > 1:
        choices = np.zeros((batch, block_shape[0]), np.uint8)
        choices[:, :depth] = np.arange(depth) % architecture.predictors
    return ProbeSample(symbols, sizes, extents, model, choices)


def _expected(made: ProbeSample, engine: str) -> tuple[list[Words] | None, str]:
    """The messages of another engine, and its name; None where there is none."""
    try:
        other = engine_named("native")
    except UsageError:
        return None, ""
    if engine_named(engine).name == other.name:
        return None, ""
    return made.messages(other), f"the engine {other.name!r}"


def _are_equal(messages: list[Words], expected: list[Words]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(messages, expected, strict=True))


def _decodes(
    engine: Engine,
    made: ProbeSample,
    messages: list[Words],
    block_shape: Triple,
    networks: list | None,
    device: Device | None,
) -> bool:
    depth, height, width = (int(n) for n in made.extents[0])
    voxel_bytes = made.model.architecture.dtype.itemsize
    # Of a network that expects something else a message may be longer than the format allows.
    longest = 2 * height + depth * height * width * voxel_bytes // 4
    kept = np.array([message.size <= longest for message in messages])
    messages = [m if keep else m[:0] for m, keep in zip(messages, kept, strict=True)]
    sizes = np.where(kept[:, None], made.sizes, 0).astype(np.int32)
    extents = np.where(kept[:, None], made.extents, 0).astype(np.int32)
    try:
        decoded = engine.decode(
            messages, sizes, extents, block_shape, made.model, networks, device, made.choices
        )
    except FormatError:
        return False
    return all(
        np.array_equal(made.symbols[block, :depth, :height, :width], found)
        for block, found in enumerate(decoded[:, :depth, :height, :width])
        if kept[block]
    )
