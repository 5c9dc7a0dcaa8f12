"""The start-up probe: tests whether an engine computes exactly on a device.

Fixed blocks are encoded with a fixed network and decoded again, with the same functions that code
archives. The checksum of the messages must equal the stored one, and decoding must return the
symbols. So a device or compiler with inexact arithmetic is detected before it is used.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from jaxslice.codec.architecture import Architecture
from jaxslice.codec.engines.interface import AUTO, Engine, engine_named
from jaxslice.codec.march import OUTSIDE
from jaxslice.codec.network import IntegerNetwork, Model
from jaxslice.codec.probe_sample import ProbeSample
from jaxslice.core.errors import DeviceError
from jaxslice.core.types import Device

_NEAREST = ((0, 0, -1), (0, -1, 0), (0, -1, 1), (0, -1, -1))
_ROWS = ((0, -6, -1), (-1, -4, 2), (-2, -4, 4), (-3, -3, 3), (-4, -1, 1))
_IN_SLICE = tuple((0, dy, dx) for dy, first, last in _ROWS for dx in range(first, last + 1))
_ARCHITECTURE = Architecture(
    context=(
        *_NEAREST,
        *(offset for offset in _IN_SLICE if offset not in _NEAREST),
        *((-1, dy, dx) for dy in range(-2, 3) for dx in range(-2, 3) if abs(dy) + abs(dx) < 4),
        *((-2, 0, 0), (-2, -1, 0), (-2, 0, -1), (-2, 0, 1), (-2, 1, 0)),
    ),
    activity_count=12,
    fallback=32,
    hidden=(32, 16),
    components=2,
    shear=3,
)
"""Independent of the shipped models, so that these can change without the probe."""

_BLOCK_SHAPE = (2, 136, 16)
"""More than 128 lanes, so that a GPU kernel has to synchronise 8 warps."""

_EXTENTS = np.array([_BLOCK_SHAPE, (2, 100, 9)], np.int32)
"""The extent of the second block is smaller than the block's shape."""

_EXPECTED_CRC = 0x02B6FCAA


@functools.cache
def check_device(device: Device | None = None, engine: str = AUTO) -> None:
    """Runs the probe, once per device, engine and process.

    Raises:
      DeviceError: the device's results differ.
      UsageError: the engine cannot be used.
    """
    chosen = engine_named(engine, device)
    where = f"{device or 'the default device'} with the engine {chosen.name!r}"
    got = sample().checksum(chosen, device)
    if got != _EXPECTED_CRC:
        raise DeviceError(
            f"Got {got:#010x} from the start-up probe on {where}, expected {_EXPECTED_CRC:#010x}: "
            "this device or JAX version does not compute exactly, so it must not encode or decode "
            "archives."
        )
    if not sample().decodes(chosen, device):
        raise DeviceError(
            f"Got other symbols than were encoded from the start-up probe on {where}, expected the "
            "same: it does not compute exactly, so it must not decode archives."
        )


def check_devices(engine: str = AUTO) -> None:
    """Runs the probe on every device of an engine; see `check_device`."""
    for device in engine_named(engine).devices():
        check_device(device, engine)


def passes(engine: Engine, device: Device | None = None) -> bool:
    """Whether an engine computes exactly on a device, its default one if None."""
    return sample().checksum(engine, device) == _EXPECTED_CRC and sample().decodes(engine, device)


def _network(draws: Callable[[int], np.ndarray]) -> IntegerNetwork:
    weights, biases = [], []
    for outputs, inputs in _ARCHITECTURE.layer_shapes:
        weights.append((draws(outputs * inputs) % 255 - 127).reshape(outputs, inputs))
        biases.append(draws(outputs) - (1 << 15))
    # The last layer's weights are small. Otherwise most symbols would be in the tails of mixtures,
    # where all intervals have the minimum width and errors would not show.
    weights[-1] //= 64
    biases[-1] //= 8
    return IntegerNetwork(
        tuple(w.astype(np.int8) for w in weights), tuple(b.astype(np.int32) for b in biases)
    )


@functools.cache
def sample() -> ProbeSample:
    """The blocks and the model of the probe."""
    draws = _draws(sum(out * (inputs + 1) for out, inputs in _ARCHITECTURE.layer_shapes))
    model = Model(_ARCHITECTURE, _network(draws))
    blocks, (depth, height, width) = len(_EXTENTS), _BLOCK_SHAPE
    sizes = np.array([[256, 100], [2, 255]], np.int32)
    # Constant parts and parts with weak and strong noise along x, so that the activity varies.
    scale = np.array([1, 4, 16, 64])[draws(blocks * depth * height * 4) % 4]
    scale = np.repeat(scale.reshape(blocks, depth, height, 4), width // 4, axis=-1)
    level = draws(blocks * depth).reshape(blocks, depth, 1, 1)
    noise = draws(blocks * depth * height * width).reshape(blocks, *_BLOCK_SHAPE)
    values = (level + noise % scale) % sizes[:, :, None, None]
    symbols = np.full(values.shape, OUTSIDE, np.int16)
    for block, (z, y, x) in enumerate(_EXTENTS):
        symbols[block, :z, :y, :x] = values[block, :z, :y, :x]
    return ProbeSample(symbols, sizes, _EXTENTS, model)


def _draws(seed: int):
    """Pseudo-random integers below 2**16 from a linear congruential generator: the same on every
    machine and in every version of every library.
    """
    state = seed

    def draw(count: int) -> np.ndarray:
        nonlocal state
        values = np.empty(count, np.int64)
        for index in range(count):
            state = (state * 1103515245 + 12345) % (1 << 31)
            values[index] = state >> 15
        return values

    return draw
