"""Blocks: whatever goes in comes out, bytes depend on nothing else, and damage is noticed."""

import dataclasses
import struct

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models_for_tests import (
    EARLIER,
    IN_SLICE,
    SHAPE,
    TINY,
    TINY_MODEL,
    coded_anyway,
    extreme_network,
    narrow_network,
    noise_block,
    random_network,
    smooth_block,
)

from jaxslice.codec import block as blocks
from jaxslice.codec import body, levels, payload
from jaxslice.codec.block import decode_block, decode_blocks, encode_block, encode_blocks
from jaxslice.codec.engines import xla
from jaxslice.codec.network import Model
from jaxslice.codec.place import NOWHERE, digest_of
from jaxslice.core.checksum import crc32c
from jaxslice.core.errors import FormatError, UsageError
from jaxslice.models.presets import CONTEXTS

VOXELS = int(np.prod(SHAPE))
MODE = 1
BODY = payload.BODY_START
"""Where in a payload its mode is, and its body begins."""


pytestmark = pytest.mark.usefixtures("each_engine")


def bordered(block: np.ndarray) -> np.ndarray:
    """Black beyond the far edges and in some rows and columns."""
    block = block.copy()
    block[2:], block[:, 6:], block[:, :, 20:], block[:, 0] = 0, 0, 0, 0
    return block


SMOOTH = smooth_block(SHAPE)
COMB = (4 * (SMOOTH // 16) + np.arange(SHAPE[0])[:, None, None]).astype(np.uint8)
RAMP = (np.arange(VOXELS) * 256 // VOXELS).astype(np.uint8).reshape(SHAPE)
SAMPLES = {
    "smooth": SMOOTH,
    "black borders": bordered(SMOOTH),
    "two levels": np.where(SMOOTH > 128, 200, 20).astype(np.uint8),
    "all levels": RAMP,
    "comb per slice": COMB,
    "comb": COMB - np.arange(SHAPE[0], dtype=np.uint8)[:, None, None],
    "constant": np.full(SHAPE, 77, np.uint8),
    "noise": noise_block(SHAPE),
    "one voxel": np.pad(np.full((1, 1, 1), 9, np.uint8), [(0, n - 1) for n in SHAPE]),
    "last voxel": np.pad(np.full((1, 1, 1), 9, np.uint8), [(n - 1, 0) for n in SHAPE]),
}


def sealed(data: bytes) -> bytes:
    return data + struct.pack("<I", crc32c(data))


@pytest.fixture
def always_coded(monkeypatch):
    """Tiny blocks would be stored as they are; this has them coded at any price."""
    monkeypatch.setattr(blocks, "shortest", coded_anyway)


@pytest.mark.parametrize("name", SAMPLES)
def test_blocks_come_back(name):
    block = SAMPLES[name]
    data = encode_block(block, TINY_MODEL)
    assert len(data) <= block.size + payload.OVERHEAD_BYTES
    back = decode_block(data, SHAPE, TINY_MODEL)
    assert back.dtype == np.uint8
    np.testing.assert_array_equal(back, block)


def test_samples_take_every_mode_and_kind_of_table():
    data = {name: encode_block(block, TINY_MODEL) for name, block in SAMPLES.items()}
    modes = {name: item[MODE] for name, item in data.items()}
    assert modes["constant"] == payload.CONSTANT
    assert modes["noise"] == payload.STORED
    assert modes["smooth"] == payload.CODED
    kinds = {item[BODY] for item in data.values() if item[MODE] == payload.CODED}
    assert kinds >= {levels.ALL, levels.PER_BLOCK}
    assert len(data["constant"]) == payload.OVERHEAD_BYTES
    assert len(data["noise"]) == VOXELS + payload.OVERHEAD_BYTES
    assert len(data["two levels"]) < len(data["smooth"]) < VOXELS


def test_blocks_with_a_table_for_each_slice_come_back(always_coded):
    tables = levels.choose(COMB)
    assert np.any(tables != tables[0])
    data = encode_block(COMB, TINY_MODEL)
    assert data[BODY] == levels.PER_SLICE
    np.testing.assert_array_equal(decode_block(data, SHAPE, TINY_MODEL), COMB)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 7), (3, 5, 1), (2, 9, 1), (1, 40, 3)])
def test_degenerate_shapes_come_back(shape, always_coded):
    block = smooth_block(shape)
    block[-1, -1, -1] = 0
    block.flat[0] = 255
    data = encode_block(block, TINY_MODEL)
    assert data[MODE] == (payload.CONSTANT if block.size == 1 else payload.CODED)
    np.testing.assert_array_equal(decode_block(data, shape, TINY_MODEL), block)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 7), (3, 5, 1)])
def test_tiny_blocks_never_grow_by_more_than_64_bytes(shape):
    for block in (smooth_block(shape), noise_block(shape), np.zeros(shape, np.uint8)):
        data = encode_block(block, TINY_MODEL)
        assert len(data) <= block.size + 64
        np.testing.assert_array_equal(decode_block(data, shape, TINY_MODEL), block)


@pytest.mark.parametrize("architecture", [IN_SLICE, EARLIER], ids=["in-slice", "earlier"])
def test_contexts_of_one_kind_alone(architecture, always_coded):
    block = SMOOTH // 4
    for network in (narrow_network(architecture), random_network(architecture, 1, 2)):
        model = Model(architecture, network)
        data = encode_block(block, model)
        assert data[MODE] == payload.CODED
        np.testing.assert_array_equal(decode_block(data, SHAPE, model), block)


@pytest.mark.slow
@pytest.mark.parametrize("name", CONTEXTS)
def test_the_presets_on_larger_blocks(name):
    shape = (6, 40, 50)
    model = Model(CONTEXTS[name], narrow_network(CONTEXTS[name]))
    for block in (smooth_block(shape), smooth_block(shape, 1) // 3 * 3, noise_block(shape)):
        data = encode_block(block, model)
        np.testing.assert_array_equal(decode_block(data, shape, model), block)


def test_bad_networks_cost_space_and_never_the_block():
    for network in (random_network(TINY, 0, 127), extreme_network(TINY, 0)):
        model = Model(TINY, network)
        data = encode_block(SMOOTH, model)
        assert len(data) <= VOXELS + payload.OVERHEAD_BYTES
        np.testing.assert_array_equal(decode_block(data, SHAPE, model), SMOOTH)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.tuples(*[st.integers(1, n) for n in SHAPE]),
    st.integers(1, 256),
    st.integers(0, 255),
)
def test_any_extent_and_alphabet_comes_back(seed, extent, alphabet, fill):
    rng = np.random.default_rng(seed)
    used = rng.choice(256, alphabet, replace=False).astype(np.uint8)
    block = np.full(SHAPE, fill, np.uint8)
    block[payload.within(extent)] = used[smooth_block(extent, seed).astype(int) % alphabet]
    data = encode_block(block, TINY_MODEL)
    np.testing.assert_array_equal(decode_block(data, SHAPE, TINY_MODEL), block)


@pytest.mark.parametrize("batch", [3, 8])
def test_bytes_do_not_depend_on_what_else_is_encoded(batch):
    together = [*SAMPLES.values()][:batch]
    if batch == 3:
        together = [SAMPLES["constant"], *together, SAMPLES["noise"]]
    alone = [encode_block(block, TINY_MODEL) for block in together]
    assert encode_blocks(together, TINY_MODEL) == alone
    assert encode_blocks(together[::-1], TINY_MODEL) == alone[::-1]
    for back, block in zip(decode_blocks(alone, SHAPE, TINY_MODEL), together, strict=True):
        np.testing.assert_array_equal(back, block)


def test_no_blocks_at_all():
    assert encode_blocks([], TINY_MODEL) == []
    assert decode_blocks([], SHAPE, TINY_MODEL) == []


def test_blocks_that_are_views_encode_as_copies_do():
    view = np.ascontiguousarray(SMOOTH.transpose(2, 1, 0)).transpose(2, 1, 0)
    assert not view.flags.c_contiguous
    assert encode_block(view, TINY_MODEL) == encode_block(SMOOTH, TINY_MODEL)


def test_one_program_serves_every_extent_and_network():
    data = encode_block(SMOOTH, TINY_MODEL, engine="xla")
    decode_block(data, SHAPE, TINY_MODEL, engine="xla")
    programs = xla.programs_of(SHAPE, TINY, 1, False, jax.default_backend())
    misses = [make.cache_info().misses for make in (xla.encoder_program, xla.decoder_program)]
    sizes = [program._cache_size() for program in programs]
    other = Model(TINY, random_network(TINY, 77, 1))
    for model in (TINY_MODEL, other):
        for extent in ((1, 8, 24), (3, 5, 24), (2, 7, 20)):
            block = np.zeros(SHAPE, np.uint8)
            block[payload.within(extent)] = SMOOTH[payload.within(extent)] | 1
            data = encode_block(block, model, engine="xla")
            decoded = decode_block(data, SHAPE, model, engine="xla")
            np.testing.assert_array_equal(decoded, block)
    assert [program._cache_size() for program in programs] == sizes
    assert sizes[0] >= 1
    assert [
        make.cache_info().misses for make in (xla.encoder_program, xla.decoder_program)
    ] == misses


def test_compiling_ahead_leaves_nothing_to_compile(monkeypatch):
    shape = (1, 3, 40)
    blocks.compile_for(shape, TINY, engine="xla")
    programs = xla.programs_of(shape, TINY, 1, False, jax.default_backend())
    sizes = [program._cache_size() for program in programs]
    assert min(sizes) >= 1
    monkeypatch.setattr(blocks, "shortest", coded_anyway)
    for device in jax.local_devices():
        data = encode_block(smooth_block(shape), TINY_MODEL, device, engine="xla")
        decode_block(data, shape, TINY_MODEL, device, engine="xla")
    assert [program._cache_size() for program in programs] == sizes


@pytest.mark.slow
def test_without_jit_the_bytes_are_the_same(always_coded):
    # Few steps: each takes hundreds of single operations.
    shape = (2, 2, 2)
    block = smooth_block(shape)
    data = encode_block(block, TINY_MODEL)
    assert data[MODE] == payload.CODED
    with jax.disable_jit():
        assert encode_block(block, TINY_MODEL) == data
        np.testing.assert_array_equal(decode_block(data, shape, TINY_MODEL), block)


def test_strict_dtypes_and_no_64_bit_elsewhere():
    with jax.numpy_dtype_promotion("strict"):
        data = encode_block(SMOOTH, TINY_MODEL)
        np.testing.assert_array_equal(decode_block(data, SHAPE, TINY_MODEL), SMOOTH)
    assert not jax.config.jax_enable_x64


@pytest.mark.parametrize(
    "block",
    [
        np.zeros((2, 3), np.uint8),
        np.zeros((1, 2, 3, 4), np.uint8),
        np.zeros((2, 0, 3), np.uint8),
        np.zeros((2, 3, 4), np.int16),
        np.zeros((2, 3, 4), np.float32),
    ],
)
def test_what_is_no_block_is_refused(block):
    with pytest.raises(UsageError, match=r"expected uint8 (\[z, y, x\]|or uint16)"):
        encode_block(block, TINY_MODEL)


def test_blocks_of_several_shapes_are_refused():
    with pytest.raises(UsageError, match="expected one shape"):
        encode_blocks([SMOOTH, SMOOTH[:2]], TINY_MODEL)


def outcome(data: bytes, shape: tuple[int, int, int] = SHAPE, model: Model = TINY_MODEL):
    """The decoded block, or None where it was refused. Any other error fails the test."""
    try:
        return decode_block(data, shape, model, block_networks=True)
    except FormatError:
        return None


def test_every_flipped_byte_is_noticed():
    data = encode_block(SMOOTH, TINY_MODEL)
    for at in range(len(data)):
        damaged = data[:at] + bytes([data[at] ^ (1 << at % 8)]) + data[at + 1 :]
        assert outcome(damaged) is None


@pytest.mark.parametrize("name", ["smooth", "two levels", "black borders", "constant", "noise"])
def test_flipped_bytes_under_a_valid_checksum_are_an_error_or_the_right_block(name):
    data = encode_block(SAMPLES[name], TINY_MODEL)[:-4]
    refused = 0
    for at in range(0, len(data), 1 if name == "smooth" else 3):
        damaged = data[:at] + bytes([data[at] ^ (1 << at % 8)]) + data[at + 1 :]
        back = outcome(sealed(damaged))
        refused += back is None
        if back is not None:
            np.testing.assert_array_equal(back, SAMPLES[name])
    assert refused > 0


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_hostile_payloads_are_an_error_or_a_block(data):
    """Headers and bodies at will, all under a valid checksum."""
    good = encode_block(SAMPLES["two levels"], TINY_MODEL)
    rest = data.draw(st.one_of(st.binary(max_size=200), st.just(good[BODY:-4])))
    cut = data.draw(st.integers(0, len(rest)))
    item = payload.Payload(
        mode=data.draw(st.sampled_from([payload.CODED, payload.STORED, payload.CONSTANT])),
        fill=data.draw(st.integers(0, 255)),
        extent=data.draw(st.tuples(*[st.integers(0, n + 1) for n in SHAPE])),
        digest=data.draw(st.integers(0, 2**32 - 1)),
        body=rest[:cut] + data.draw(st.binary(max_size=8)) + rest[cut:],
        block_network=data.draw(st.booleans()),
        slice_table=data.draw(st.booleans()),
        place=NOWHERE,
    )
    back = outcome(payload.pack(item))
    assert back is None or digest_of(back, NOWHERE) == item.digest


def rebuilt(name: str, change) -> bytes:
    """The payload of a sample with its message changed, under valid checksums."""
    item = payload.unpack(encode_block(SAMPLES[name], TINY_MODEL), SHAPE)
    assert item.mode == payload.CODED
    parts = body.split_coded_body(item)
    changed = body.coded_body(parts.tables, change(parts.message))
    return payload.pack(dataclasses.replace(item, body=changed))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda words: words[:-1], "left a lane unfinished"),
        (lambda words: np.append(words, np.uint32(0)), "left a lane unfinished"),
        (lambda words: np.append(words, words[-1:]), "left a lane unfinished"),
        (lambda words: words[:15], "Got a message of 15 words, expected at least 16 for 8 lanes"),
        (lambda words: words[:0], "Got a message of 0 words"),
        (lambda words: words * np.uint32(0), "head out of range"),
        (lambda words: np.tile(words, 9), "words, expected at most 145"),
    ],
)
def test_messages_too_short_or_too_long_are_refused(change, message):
    assert rebuilt("smooth", lambda words: words) == encode_block(SMOOTH, TINY_MODEL)
    with pytest.raises(FormatError, match=message):
        decode_block(rebuilt("smooth", change), SHAPE, TINY_MODEL)


@pytest.mark.parametrize("size", [0, VOXELS - 1, VOXELS + 1])
def test_stored_voxels_of_another_size_are_refused(size):
    item = payload.unpack(encode_block(SAMPLES["noise"], TINY_MODEL), SHAPE)
    item = dataclasses.replace(item, body=(item.body + b"\0")[:size])
    with pytest.raises(FormatError, match=f"Got {size} bytes of stored voxels, expected {VOXELS}"):
        decode_block(payload.pack(item), SHAPE, TINY_MODEL)


def test_another_network_or_shape_is_noticed():
    data = encode_block(SMOOTH, TINY_MODEL)
    assert outcome(data, model=Model(TINY, random_network(TINY, 9))) is None
    assert outcome(data, model=Model(IN_SLICE, narrow_network(IN_SLICE))) is None
    assert outcome(data, (2, 8, 24)) is None
    assert outcome(data, (3, 8, 25)) is None
