"""The start-up probe of 16-bit voxels; see `probe`. It runs only where an archive has them."""

from __future__ import annotations

import functools

import numpy as np

from jaxslice.codec import probe
from jaxslice.codec.engines.interface import AUTO, Engine, engine_named
from jaxslice.codec.march import OUTSIDE
from jaxslice.codec.probe_sample import ProbeSample
from jaxslice.core.errors import DeviceError
from jaxslice.core.types import Device

_BLOCK_SHAPE = (3, 136, 16)
_EXTENTS = np.array([_BLOCK_SHAPE, (2, 100, 9)], np.int32)
_SIZES = np.array([(65536, 4096, 300), (40000, 2, 0)], np.int32)
"""Alphabets of all sizes: with and without plain low bits."""

_EXPECTED_CRC = 0x770DF385


def check_devices(engine: str = AUTO) -> None:
    """Runs the probe on every device of an engine, once per device, engine and process.

    Raises:
      DeviceError: a device's results differ.
      UsageError: the engine cannot be used, or not for 16-bit voxels.
    """
    for device in engine_named(engine).devices():
        _check_device(device, engine)


@functools.cache
def _check_device(device: Device | None, engine: str) -> None:
    chosen = engine_named(engine, device)
    got = sample().checksum(chosen, device)
    if got != _EXPECTED_CRC or not sample().decodes(chosen, device):
        raise DeviceError(
            f"Got {got:#010x} or other symbols from the start-up probe of 16-bit voxels on "
            f"{device or 'the default device'} with the engine {chosen.name!r}, expected "
            f"{_EXPECTED_CRC:#010x}: it does not compute exactly, so it must not encode or decode "
            "archives of 16-bit voxels."
        )


def passes(engine: Engine, device: Device | None = None) -> bool:
    """Whether an engine computes exactly on a device."""
    return sample().checksum(engine, device) == _EXPECTED_CRC and sample().decodes(engine, device)


@functools.cache
def sample() -> ProbeSample:
    """Slopes with weak and strong noise, over alphabets of all sizes."""
    model = probe.sample().model.of_voxels(np.uint16)
    symbols = np.full((len(_EXTENTS), *_BLOCK_SHAPE), OUTSIDE, model.architecture.symbol_dtype)
    for block, (depth, height, width) in enumerate(_EXTENTS):
        z, y, x = np.indices((depth, height, width))
        noise = (z * 7919 + y * 104729 + x * 1299709 + block) * 2654435761 % 2**32 >> 12
        strength = np.array([3, 40, 700, 20000])[y // 8 % 4]
        sizes = _SIZES[block, :depth, None, None]
        values = sizes // 3 + 11 * z + 5 * y + x + noise % strength
        symbols[block, :depth, :height, :width] = values % sizes
    return ProbeSample(symbols, _SIZES, _EXTENTS, model)
