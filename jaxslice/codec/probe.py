"""The start-up probe: does this device compute the integers that the format prescribes?

A fixed network predicts from fixed contexts, and fixed symbols are looked up, encoded and found
again. The results' checksum must be the one stored here. A device (or a compiler) that rounds a
product, fuses what must not be fused or gets a shift wrong is refused before it touches an archive.
Where the environment asks for decoding by one kernel (`fused`), whole blocks are decoded as well.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxslice.codec import intervals, rans
from jaxslice.codec.architecture import Architecture
from jaxslice.codec.engines import xla, xla_options
from jaxslice.codec.geometry import Geometry
from jaxslice.codec.network import IntegerNetwork, Model, mixture_of
from jaxslice.core.checksum import crc32c
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
"""Of no model, so that models may change without the probe."""

_EXPECTED_CRC = 0xD6FF29DC
_VOXELS = 128

_BLOCK_SHAPE = (2, 136, 16)
"""More lanes than half of 256, so that a GPU has 8 groups of threads to keep in step."""

_BLOCKS = 2
_WORDS = 512
_EXPECTED_BLOCKS_CRC = 0xD8D66463


@functools.cache
def check_device(device: Device | None = None) -> None:
    """Runs the probe, once per device and process.

    Raises:
      DeviceError: the device's integers differ.
    """
    got = _checksum(device)
    if got != _EXPECTED_CRC:
        raise DeviceError(
            f"Got {got:#010x} from the start-up probe on {device or jax.devices()[0]}, expected "
            f"{_EXPECTED_CRC:#010x}: this device or JAX version does not compute exactly, so it "
            "must not encode or decode archives."
        )
    if xla_options.is_fused_decode_asked():
        got = _blocks_checksum(device)
        if got != _EXPECTED_BLOCKS_CRC:
            raise DeviceError(
                f"Got {got:#010x} from blocks decoded by one kernel on "
                f"{device or jax.devices()[0]}, expected {_EXPECTED_BLOCKS_CRC:#010x}: this device "
                f"must decode without {xla_options.FUSED_DECODE}=1."
            )


def _network(draws: Callable[[int], np.ndarray]) -> IntegerNetwork:
    weights, biases = [], []
    for outputs, inputs in _ARCHITECTURE.layer_shapes:
        weights.append((draws(outputs * inputs) % 255 - 127).reshape(outputs, inputs))
        biases.append(draws(outputs) - (1 << 15))
    # Small ones in the last layer, or most voxels would lie in a tail where nothing can differ.
    weights[-1] //= 32
    biases[-1] //= 4
    return IntegerNetwork(
        tuple(w.astype(np.int8) for w in weights), tuple(b.astype(np.int32) for b in biases)
    )


def _checksum(device: Device | None) -> int:
    draws = _draws(sum(out * (inputs + 1) for out, inputs in _ARCHITECTURE.layer_shapes))
    network = _network(draws)
    # Quiet, lively and border voxels; scales 0 and up keep some contexts nearly constant.
    scale = np.array([1, 4, 32, 256])[draws(_VOXELS) % 4]
    contexts = draws(len(_ARCHITECTURE.context) * _VOXELS).reshape(-1, _VOXELS) % scale
    contexts[draws(contexts.size).reshape(contexts.shape) % 16 == 0] = -1
    symbol, limit = draws(_VOXELS) % 100, np.full(_VOXELS, 100)
    head = (draws(_VOXELS).astype(np.uint64) << np.uint64(40)) | np.uint64(rans.LOWER_BOUND)
    with jax.enable_x64(True):
        arguments = jax.device_put(
            (
                network,
                contexts.astype(np.float32),
                symbol.astype(np.int32),
                limit.astype(np.int32),
                head,
            ),
            device,
        )
        results = jax.device_get(_probe(*arguments))
    return crc32c(b"".join(np.asarray(r).astype("<i8").tobytes() for r in results))


def _blocks_checksum(device: Device | None) -> int:
    """Of what whole blocks decode to, one of them smaller than the other, from any words."""
    draws = _draws(_WORDS)
    model = Model(_ARCHITECTURE, _network(draws))
    halves = lambda *shape: draws(int(np.prod(shape))).reshape(shape)
    words = (halves(_BLOCKS, _WORDS) << 16 | halves(_BLOCKS, _WORDS)).astype(np.uint32)
    heads = halves(_BLOCKS, _BLOCK_SHAPE[1]).astype(np.uint64) << np.uint64(40)
    sizes = halves(_BLOCKS, _BLOCK_SHAPE[0]) % 256 + 1
    extents = np.array([_BLOCK_SHAPE, (2, 100, 9)])
    steps = max(Geometry.of(_BLOCK_SHAPE, _ARCHITECTURE).steps_for(e) for e in extents)
    results = xla.launch_decoder(
        heads | np.uint64(rans.LOWER_BOUND),
        words,
        sizes,
        extents,
        steps,
        _BLOCK_SHAPE,
        model,
        device,
    )
    return crc32c(b"".join(np.asarray(r).astype("<i8").tobytes() for r in results))


@jax.jit
def _probe(network, contexts, symbol, limit, head):
    mixture = mixture_of(network, contexts, _ARCHITECTURE)
    start, freq = intervals.interval_of(mixture, symbol, limit)
    pushed, word, full = rans.push(head, start, freq, intervals.PRECISION)
    position = rans.peek(pushed, intervals.PRECISION)
    found, *_ = intervals.find_interval(mixture, position, limit)
    popped, cursor = rans.pop(
        pushed,
        start,
        freq,
        word[jnp.argsort(~full, stable=True)],
        jnp.int32(0),
        intervals.PRECISION,
    )
    return (*mixture, start, freq, pushed, word, full, found, popped, cursor)


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
