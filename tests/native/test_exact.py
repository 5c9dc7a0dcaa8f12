"""The native engine against the other decoders, bit for bit, each instruction set by itself."""

import dataclasses
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make_golden import GOLDEN, model_of
from models_for_tests import SHAPE, random_network, smooth_block, strange_blocks
from native.cases import FIXED, models, symbols_below

import jaxslice
from jaxslice import reference
from jaxslice.archive.store import open_archive
from jaxslice.codec import body, level_tables, levels, network_difference, payload, slices
from jaxslice.codec.block import encode_block
from jaxslice.codec.engines import native
from jaxslice.codec.network import IntegerNetwork, Model
from jaxslice.codec.place import NOWHERE
from jaxslice.models import model_file
from jaxslice.native import library

SETS = library.instruction_sets()
assert SETS, "the native engine was not built: python -m jaxslice.native.build"
FAST = [number for number in SETS if number != library.PORTABLE]


def test_the_dispatch_takes_what_the_core_has():
    flags = set()
    with open("/proc/cpuinfo") as info:
        for line in info:
            if line.startswith("flags"):
                flags = set(line.split())
    assert ("avx2" in flags) == (library.AVX2 in SETS)
    wanted = {"avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512_vnni"}
    assert (wanted <= flags) == (library.AVX512 in SETS)


@settings(max_examples=60, deadline=None)
@given(
    model=models(),
    extent=st.tuples(st.integers(1, 5), st.integers(1, 140), st.integers(1, 40)),
    larger=st.tuples(st.integers(0, 2), st.integers(0, 9), st.integers(0, 40)),
    counts=st.sampled_from(["all", "few", "mixed"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_set_gives_the_portable_bytes(model, extent, larger, counts, seed):
    depth, height, width = extent
    shape = tuple(n + more for n, more in zip(extent, larger, strict=True))
    rng = np.random.default_rng(seed)
    sizes = {
        "all": np.full(depth, 256),
        "few": rng.integers(1, 4, depth),
        "mixed": rng.integers(1, 257, depth),
    }[counts]
    symbols = symbols_below(sizes, height, width, seed)
    message = native.encode(symbols, shape, sizes, model, library.PORTABLE)
    for number in SETS:
        assert np.array_equal(native.encode(symbols, shape, sizes, model, number), message)
        decoded = native.decode(message, shape, extent, sizes, model, number)
        assert np.array_equal(decoded, symbols)


@settings(max_examples=40, deadline=None)
@given(
    model=models(),
    extent=st.tuples(st.integers(1, 3), st.integers(1, 140), st.integers(1, 30)),
    levels=st.sampled_from([2, 300, 4096, 65536]),
    noise=st.sampled_from([0, 3, 200, 5000]),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_set_gives_the_portable_bytes_of_16_bits(model, extent, levels, noise, seed):
    rng = np.random.default_rng(seed)
    model = model.of_voxels(np.uint16)
    sizes = rng.integers(1, levels + 1, extent[0])
    walk = rng.integers(-noise - 1, noise + 2, extent).cumsum(axis=2) + levels // 2
    symbols = np.clip(walk, 0, sizes[:, None, None] - 1).astype(np.uint16)
    message = native.encode(symbols, extent, sizes, model, library.PORTABLE)
    for number in SETS:
        assert np.array_equal(native.encode(symbols, extent, sizes, model, number), message)
        decoded = native.decode(message, extent, extent, sizes, model, number)
        assert np.array_equal(decoded, symbols)


@pytest.mark.parametrize("pattern", [(127,), (-127,), (127, 127, 0, 0), (64, 64), (64, 65), (1,)])
@pytest.mark.parametrize("architecture", FIXED)
def test_no_sum_of_products_saturates(architecture, pattern):
    """Weights at and beyond what 16 bits can add up, of extreme voxels."""
    shapes = architecture.layer_shapes
    weights = [np.resize(np.int8(pattern), shape) for shape in shapes]
    biases = [np.zeros(outputs, np.int32) for outputs, _ in shapes]
    model = Model(architecture, IntegerNetwork(tuple(weights), tuple(biases)))
    symbols = np.random.default_rng(1).choice(np.uint8([0, 255]), (3, 70, 40), p=[0.2, 0.8])
    sizes = np.full(3, 256)
    message = native.encode(symbols, symbols.shape, sizes, model, library.PORTABLE)
    for number in SETS:
        encoded = native.encode(symbols, symbols.shape, sizes, model, number)
        assert np.array_equal(encoded, message)


def configuration_of(model: Model) -> dict:
    """The codec's configuration as format version 4 wants it, for `reference`."""
    import base64

    from jaxslice.codec import network_bytes

    packed, _ = network_bytes.pack_coded(model.network, model.architecture)
    return {
        "format_version": 4,
        "identity": NOWHERE.identity.hex(),
        "sealed": False,
        "own_networks": False,
        "architecture": {"kind": "network", **model.architecture.to_json()},
        "network": base64.b64encode(packed).decode(),
    }


def payload_of(block: np.ndarray, model: Model, number: int) -> bytes:
    """A CODED payload, whatever its length."""
    fill = int(block[-1, -1, -1])
    extent = payload.extent_of(block, fill)
    voxels = block[payload.within(extent)]
    tables = levels.choose(voxels)
    symbols = levels.symbols_of(voxels, tables).astype(np.uint8)
    message = native.encode(symbols, block.shape, levels.sizes(tables), model, number)
    coded, digest = body.coded_body(tables, message), payload.block_digest(block, NOWHERE)
    return payload.pack(payload.Payload(2, fill, extent, digest, coded, place=NOWHERE))


def rounded(model: Model) -> Model:
    """With biases that a version 3 archive can hold."""
    biases = tuple(np.clip(b // 256, -127, 127) * 256 for b in model.network.biases)
    return Model(model.architecture, model.network._replace(biases=biases))


@settings(max_examples=8, deadline=None)
@given(
    model=models(),
    shape=st.tuples(st.integers(1, 4), st.integers(1, 70), st.integers(2, 20)),
    kind=st.integers(0, 7),
)
def test_the_reference_decodes_what_every_set_encodes(model, shape, kind):
    model = rounded(model)
    block = list(strange_blocks((5, *shape[1:])).values())[kind][: shape[0]]
    block[-1, -1, -1] = 3
    block[0, 0, 0] = 4
    for number in SETS:
        data = payload_of(block, model, number)
        # So small a message would be stored as voxels, and a decoder refuses so many words.
        with mock.patch("jaxslice.reference.limits.most_words", lambda size: 8 * size):
            decoded = reference.decode_block(data, shape, configuration_of(model))
        assert np.array_equal(decoded, block)


@pytest.mark.parametrize("number", SETS)
@pytest.mark.parametrize("index", range(len(FIXED)))
def test_xla_gives_the_same_payload(index, number):
    model = Model(FIXED[index], random_network(FIXED[index], seed=2, spread=2))
    coded = 0
    for block in [smooth_block(SHAPE), *strange_blocks((4, *SHAPE[1:])).values()]:
        block = np.ascontiguousarray(block[: SHAPE[0]])
        data = encode_block(block, model, engine="xla")
        if payload.unpack(data, SHAPE).mode == payload.CODED:
            coded += 1
            assert payload_of(block, model, number) == data
    assert coded


@pytest.mark.parametrize("number", FAST)
@pytest.mark.parametrize("name", model_file.names())
def test_shipped_models_are_exact(name, number):
    model = model_file.load(name).model
    symbols = smooth_block((4, 90, 50))
    sizes = np.full(4, 256)
    message = native.encode(symbols, symbols.shape, sizes, model, library.PORTABLE)
    assert np.array_equal(native.encode(symbols, symbols.shape, sizes, model, number), message)
    decoded = native.decode(message, symbols.shape, symbols.shape, sizes, model, number)
    assert np.array_equal(decoded, symbols)


@pytest.mark.parametrize("number", SETS)
@pytest.mark.parametrize(
    "path", sorted(GOLDEN.glob("v*/*.zarr")), ids=lambda p: f"{p.parent.name}-{p.stem}"
)
def test_golden_blocks_decode_and_encode_alike(path, number):
    opened = open_archive(str(path))
    model, voxels = model_of(opened.configuration), jaxslice.open(str(path))[...]
    architecture, dtype = model.architecture, opened.dtype
    for index in opened.blocks():
        item = payload.unpack(opened.read_payload(index), opened.block_shape, dtype)
        if item.mode != payload.CODED:
            continue
        found = body.split_coded_body(item, dtype, getattr(architecture, "predictors", 1))
        used = model
        if found.difference is not None:
            own = network_difference.decode(found.difference, model.network, architecture)
            used = dataclasses.replace(model, network=own)
        tables = level_tables.of(dtype)
        sizes, choices = tables.sizes(found.tables), found.choices
        symbols = native.decode(
            found.message, opened.block_shape, found.extent, sizes, used, number, choices=choices
        )
        decoded = tables.voxels_of(symbols, found.tables)
        if found.slices is not None:
            decoded = slices.restored(decoded, found.slices)
        block = payload.whole_block(decoded, item, opened.block_shape, dtype)
        part = voxels[opened.box_of(index).slices]
        assert np.array_equal(block[payload.within(part.shape)], part)
        again = native.encode(symbols, opened.block_shape, sizes, used, number, choices=choices)
        assert np.array_equal(again, found.message)
