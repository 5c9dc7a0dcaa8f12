"""Blocks of 16-bit voxels: the same bytes from every engine, and the voxels from every decoder."""

import numpy as np
import pytest
from models_for_tests import EARLIER, TINY, coded_anyway, narrow_network, random_network
from native.test_exact import configuration_of, rounded

from jaxslice import reference
from jaxslice.codec import block, network_difference, payload, wide_levels
from jaxslice.codec.architecture import Architecture
from jaxslice.codec.engines import native
from jaxslice.codec.engines.interface import engine_named
from jaxslice.codec.network import Model
from jaxslice.core.errors import ChecksumError, FormatError, UsageError
from jaxslice.models import model_file
from jaxslice.native import library

SHAPE = (3, 70, 24)
SETS = library.instruction_sets()
assert SETS, "the native engine was not built: python -m jaxslice.native.build"
WIDE = rounded(Model(TINY, random_network(TINY, seed=2, spread=2))).of_voxels(np.uint16)


def plain(architecture: Architecture, bias: int = -5120) -> Model:
    """No weights: a distribution around the reference; `bias` says how wide."""
    network, count = narrow_network(architecture), architecture.components
    network.biases[-1][count : 2 * count] = bias
    return Model(architecture, network).of_voxels(np.uint16)


PLAIN = plain(TINY)


def walk(high: int, noise: float, seed: int = 0) -> np.ndarray:
    """Levels below `high` that wander along every axis, with noise."""
    draws = np.random.default_rng(seed)
    wave = 0.5 + 0.4 * np.sin(0.1 * np.indices(SHAPE).sum(axis=0))
    return np.clip(high * wave + draws.normal(0, noise, SHAPE), 0, high - 1).astype(np.uint16)


def blocks() -> dict[str, np.ndarray]:
    """Blocks as detectors make them, and as nothing makes them, by name."""
    draws = np.random.default_rng(4)
    half = walk(4096, 30.0)
    half[:, 30:] = 4000
    return {
        "12 bits": walk(4096, 30.0),
        "16 bits": walk(65536, 900.0),
        "a few levels": walk(9, 1.0),
        "quiet": (30000 + draws.integers(0, 9, SHAPE)).astype(np.uint16),
        "two levels": (draws.integers(0, 2, SHAPE) * 65535).astype(np.uint16),
        "saturated": np.minimum(walk(5000, 200.0), 4095),
        "multiples": walk(4096, 30.0) * np.uint16(16),
        "each slice its own step": walk(700, 9.0) * np.array([4, 16, 81], np.uint16)[:, None, None],
        "half constant": half,
        "full range": draws.integers(0, 65536, SHAPE).astype(np.uint16),
    }


BLOCKS = blocks()


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("model", [WIDE, PLAIN], ids=["random", "plain"])
def test_engines_agree(name, model):
    voxels = BLOCKS[name]
    tables = wide_levels.choose(voxels)
    symbols, sizes = wide_levels.symbols_of(voxels, tables), wide_levels.sizes(tables)
    extents, whole = np.array([SHAPE], np.int32), np.int32(sizes)[None]
    (message,) = engine_named("xla").encode(symbols[None], whole, extents, model)
    for number in SETS:
        ours = native.encode(symbols, SHAPE, sizes, model, number)
        np.testing.assert_array_equal(ours, message)
        decoded = native.decode(message, SHAPE, SHAPE, sizes, model, number)
        np.testing.assert_array_equal(decoded, symbols)
    if message.size - 2 * SHAPE[1] <= voxels.size // 2:
        decoded = engine_named("xla").decode([message], whole, extents, SHAPE, model)
        np.testing.assert_array_equal(decoded[0], symbols)


@pytest.mark.parametrize("count", [1, 2, 3, 255, 256, 257, 32768, 32769, 65535, 65536])
def test_any_number_of_levels(count):
    draws = np.random.default_rng(count)
    symbols = (draws.random((2, 66, 20)) * count).astype(np.int64)
    symbols[0, 0, :2] = 0, count - 1
    sizes = np.full(2, count)
    messages = [native.encode(symbols, symbols.shape, sizes, WIDE, number) for number in SETS]
    for number in SETS:
        np.testing.assert_array_equal(messages[number], messages[0])
        decoded = native.decode(messages[0], symbols.shape, symbols.shape, sizes, WIDE, number)
        np.testing.assert_array_equal(decoded, symbols)


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("16 bits", payload.CODED),
        ("each slice its own step", payload.CODED),
        ("two levels", payload.CODED),
        ("full range", payload.STORED),
    ],
)
def test_payloads_decode_everywhere(name, mode):
    voxels, configuration = BLOCKS[name], configuration_of(PLAIN)
    (data,) = block.encode_blocks([voxels], PLAIN)
    assert data[1] == mode
    assert len(data) <= voxels.nbytes + 64
    (decoded,) = block.decode_blocks([data], SHAPE, PLAIN)
    assert decoded.dtype == np.uint16
    np.testing.assert_array_equal(decoded, voxels)
    found = reference.decode_block(data, SHAPE, configuration, dtype="uint16")
    np.testing.assert_array_equal(found, voxels)
    with pytest.raises(FormatError, match="network for other than uint8"):
        reference.decode_block(data, SHAPE, configuration)


def test_the_reference_decodes_earlier_slices_alone(monkeypatch):
    monkeypatch.setattr(block, "shortest", coded_anyway)
    model, voxels = plain(EARLIER), BLOCKS["12 bits"][:, :20, :20]
    (data,) = block.encode_blocks([np.ascontiguousarray(voxels)], model)
    assert data[1] == payload.CODED
    found = reference.decode_block(data, voxels.shape, configuration_of(model), dtype="uint16")
    np.testing.assert_array_equal(found, voxels)


def test_a_block_network(monkeypatch):
    own = plain(TINY, -5120 + 640).network
    difference, _ = network_difference.encode(PLAIN.network, own, PLAIN.architecture)
    monkeypatch.setattr(block, "shortest", coded_anyway)
    voxels = BLOCKS["12 bits"]
    payloads = block.encode_blocks([voxels], PLAIN, differences=[difference])
    (decoded,) = block.decode_blocks(payloads, SHAPE, PLAIN, block_networks=True)
    np.testing.assert_array_equal(decoded, voxels)


def test_rates_follow_the_scale():
    """A model for 8 bits suits 16: noise 16 times as strong costs 4 bits more, or nearly so."""
    model = model_file.load("default").model
    shape = (4, 128, 256)
    wave = 128 + 60 * np.sin(0.05 * np.indices(shape).sum(axis=0))
    levels = np.rint(np.random.default_rng(0).normal(wave, 9)).astype(np.uint8)
    low = np.random.default_rng(1).integers(0, 16, shape)
    narrow = native.encode(levels, shape, np.full(4, 256), model)
    wide = 16 * levels.astype(int) + low
    wide = native.encode(wide, shape, np.full(4, 4096), model.of_voxels(np.uint16))
    assert abs(32 * (wide.size - narrow.size) / levels.size - 4) < 0.1


@pytest.mark.parametrize("flip", [30, 60, 200, 1000])
def test_damage_is_found(flip):
    (data,) = block.encode_blocks([BLOCKS["12 bits"]], PLAIN)
    damaged = bytearray(data)
    damaged[flip] ^= 4
    with pytest.raises(ChecksumError):
        block.decode_blocks([bytes(damaged)], SHAPE, PLAIN)


@pytest.mark.parametrize("number", SETS)
def test_what_does_not_fit_is_refused(number):
    symbols = np.zeros(SHAPE, np.uint16)
    symbols[1, 2, 3] = 700
    with pytest.raises(library.NativeError, match="beyond its slice's levels"):
        native.encode(symbols, SHAPE, np.full(3, 700), WIDE, number)
    with pytest.raises(library.NativeError, match="without levels"):
        native.encode(symbols, SHAPE, np.full(3, 65537), WIDE, number)
    call = native.BlockCall(WIDE, SHAPE, SHAPE, np.full(3, 700), number)
    call.task.voxel_bits = 12
    with pytest.raises(library.NativeError, match="out of its ranges"):
        call.run("encode", symbols, np.empty(symbols.size, np.uint32))


def test_messages_cut_short_are_refused():
    voxels = BLOCKS["12 bits"]
    tables = wide_levels.choose(voxels)
    sizes = wide_levels.sizes(tables)
    message = native.encode(wide_levels.symbols_of(voxels, tables), SHAPE, sizes, WIDE)
    for number in SETS:
        for bad in (message[:-1], np.append(message, np.uint32(7))):
            with pytest.raises(FormatError):
                native.decode(bad, SHAPE, SHAPE, sizes, WIDE, number)


def test_the_model_says_which_voxels():
    with pytest.raises(UsageError, match="expected uint8"):
        block.encode_blocks([BLOCKS["quiet"]], Model(TINY, WIDE.network))
    sizes, extents = np.full((1, 3), 9, np.int32), np.array([SHAPE], np.int32)
    with pytest.raises(UsageError, match="'pallas' for 16-bit voxels"):
        engine_named("pallas").decode([np.zeros(200, np.uint32)], sizes, extents, SHAPE, WIDE)


def test_a_constant_block_and_its_fill():
    voxels = np.full(SHAPE, 65535, np.uint16)
    (data,) = block.encode_blocks([voxels], WIDE)
    assert len(data) == payload.OVERHEAD_BYTES
    np.testing.assert_array_equal(block.decode_blocks([data], SHAPE, WIDE)[0], voxels)
