"""The start-up probe of linear predictors; see `probe`. It runs only where an archive has them."""

from __future__ import annotations

import functools

import numpy as np

from jaxslice.codec.engines.interface import AUTO, Engine, engine_named
from jaxslice.codec.linear import LinearArchitecture, LinearNumbers
from jaxslice.codec.march import OUTSIDE
from jaxslice.codec.network import Model
from jaxslice.codec.probe_sample import ProbeSample
from jaxslice.core.errors import DeviceError
from jaxslice.core.types import Device

_ARCHITECTURE = LinearArchitecture(
    context=(
        *((0, 0, -1), (0, -1, 0), (0, -1, 1), (0, -1, -1), (0, 0, -2), (0, -2, 0), (0, -2, 3)),
        *((-1, 0, 0), (-1, 0, 1), (-1, 1, 0), (-1, 2, 2), (-2, 0, 0)),
    ),
    fallback=7,
    shear=3,
    scales=24,
    phases=4,
    predictors=3,
)
"""Independent of the fast level's own, so that this can change without the probe."""

_BLOCK_SHAPE = (3, 136, 16)
_EXTENTS = np.array([_BLOCK_SHAPE, (2, 100, 9)], np.int32)
_SIZES = np.array([(256, 100, 30), (255, 2, 0)], np.int32)
_CHOICES = np.array([(0, 2, 1), (2, 1, 0)], np.uint8)
_EXPECTED_CRC = 0x48AAD8CA


def check_devices(engine: str = AUTO) -> None:
    """Runs the probe on every device of an engine, once per device, engine and process.

    Raises:
      DeviceError: a device's results differ.
      UsageError: the engine cannot be used.
    """
    for device in engine_named(engine).devices():
        _check_device(device, engine)


@functools.cache
def _check_device(device: Device | None, engine: str) -> None:
    chosen = engine_named(engine, device)
    got = sample().checksum(chosen, device)
    if got != _EXPECTED_CRC or not sample().decodes(chosen, device):
        raise DeviceError(
            f"Got {got:#010x} or other symbols from the start-up probe of linear predictors on "
            f"{device or 'the default device'} with the engine {chosen.name!r}, expected "
            f"{_EXPECTED_CRC:#010x}: it does not compute exactly, so it must not encode or decode "
            "archives of the fast level."
        )


def passes(engine: Engine, device: Device | None = None) -> bool:
    """Whether an engine computes exactly on a device."""
    return sample().checksum(engine, device) == _EXPECTED_CRC and sample().decodes(engine, device)


@functools.cache
def sample() -> ProbeSample:
    """Two blocks with smooth parts, strong noise and steps, and a model."""
    symbols = np.full((len(_EXTENTS), *_BLOCK_SHAPE), OUTSIDE, np.int16)
    for block, (depth, height, width) in enumerate(_EXTENTS):
        z, y, x = np.indices((depth, height, width))
        noise = (z * 7919 + y * 104729 + x * 1299709 + block) * 2654435761 % 2**32 >> 20
        values = 40 + 3 * z + y // 2 + x + noise % np.where(y % 32 < 20, 6, 60)
        inside = values % _SIZES[block, :depth, None, None]
        symbols[block, :depth, :height, :width] = inside
    predictors, context = _ARCHITECTURE.predictors, len(_ARCHITECTURE.context)
    order = np.arange(predictors * context).reshape(predictors, context)
    scales = np.arange(_ARCHITECTURE.scales)
    curve = [(3 * scales) % 17, 256 - scales, 118 - 3 * scales, 100 - 3 * scales, 90 + 5 * scales]
    numbers = LinearNumbers(
        np.array([(7, 30, 900), (6, 28, 400), (5, 32, 77)], np.int32),
        (order * 37 % 41 - 20).astype(np.int8),
        (order * 29 % 64).astype(np.uint8),
        np.broadcast_to(np.stack(curve, axis=1) % 256, (predictors, len(scales), 5)).astype(
            np.uint8
        ),
    )
    return ProbeSample(symbols, _SIZES, _EXTENTS, Model(_ARCHITECTURE, numbers), _CHOICES)
