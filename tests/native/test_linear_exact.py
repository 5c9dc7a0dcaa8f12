"""Linear predictors: the native engine against the other decoders, bit for bit."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from linear_cases import TINY_LINEAR, configuration_of, linear_models, numbers_of
from models_for_tests import strange_blocks
from native.cases import symbols_below

from jaxslice import reference
from jaxslice.codec import body, levels, payload
from jaxslice.codec.engines import native, xla
from jaxslice.codec.network import Model
from jaxslice.codec.place import NOWHERE
from jaxslice.native import library

SETS = library.instruction_sets()
assert SETS, "the native engine was not built: python -m jaxslice.native.build"


@settings(max_examples=60, deadline=None)
@given(
    model=linear_models(),
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
    choices = rng.integers(0, model.architecture.predictors, depth).astype(np.uint8)
    message = native.encode(symbols, shape, sizes, model, library.PORTABLE, choices)
    for number in SETS:
        again = native.encode(symbols, shape, sizes, model, number, choices)
        assert np.array_equal(again, message)
        decoded = native.decode(message, shape, extent, sizes, model, number, choices)
        assert np.array_equal(decoded, symbols)


@settings(max_examples=12, deadline=None)
@given(
    model=linear_models(),
    shape=st.tuples(st.integers(1, 4), st.integers(1, 70), st.integers(2, 20)),
    kind=st.integers(0, 7),
)
def test_the_reference_decodes_what_every_set_encodes(model, shape, kind):
    model.network.weights[...] //= 12
    block = list(strange_blocks((5, *shape[1:])).values())[kind][: shape[0]]
    block[-1, -1, -1] = 3
    block[0, 0, 0] = 4
    predictors = model.architecture.predictors
    choices = np.arange(len(block)).astype(np.uint8)[::-1] % predictors
    fill, tables = 3, levels.choose(block)
    extent = payload.extent_of(block, fill)
    block_inside = block[payload.within(extent)]
    tables, choices = levels.choose(block_inside), choices[: extent[0]]
    symbols = levels.symbols_of(block_inside, tables).astype(np.uint8)
    for number in SETS:
        message = native.encode(symbols, shape, levels.sizes(tables), model, number, choices)
        if message.size - 2 * extent[1] > np.prod(extent) // 4:
            continue  # a block so hard to predict is stored
        stored = choices if predictors > 1 else None
        coded = body.coded_body(tables, message, choices=stored)
        digest = payload.block_digest(block, NOWHERE)
        data = payload.pack(payload.Payload(2, fill, extent, digest, coded, place=NOWHERE))
        assert np.array_equal(reference.decode_block(data, shape, configuration_of(model)), block)


@pytest.mark.parametrize("predictors", [1, 3])
@pytest.mark.parametrize(("seed", "largest"), [(1, False), (2, True), (3, False)])
def test_xla_gives_the_same_messages(predictors, seed, largest):
    architecture = dataclasses.replace(TINY_LINEAR, predictors=predictors)
    model = Model(architecture, numbers_of(architecture, seed, largest))
    extents = np.array([(3, 70, 21), (2, 33, 17)], np.int32)
    shape, sizes = (3, 70, 21), np.array([(256, 100, 3), (255, 7, 0)], np.int32)
    symbols = np.full((2, *shape), -1, np.int16)
    choices = np.array([(0, 1, 2), (2, 0, 0)], np.uint8) % predictors
    for block, (z, y, x) in enumerate(extents):
        symbols[block, :z, :y, :x] = symbols_below(sizes[block, :z], y, x, seed)
    arguments = (sizes, extents)
    messages = native.ENGINE.encode(symbols, *arguments, model, choices=choices)
    for ours, theirs in zip(
        messages, xla.ENGINE.encode(symbols, *arguments, model, choices=choices), strict=True
    ):
        assert np.array_equal(ours, theirs)


def test_xla_decodes_what_native_encodes():
    numbers = numbers_of(TINY_LINEAR, 5)
    numbers.weights[...] //= 20
    numbers.curves[..., 2:4] = 70
    model = Model(TINY_LINEAR, numbers)
    extents, shape = np.array([(3, 70, 21), (2, 33, 17)], np.int32), (3, 70, 21)
    sizes = np.array([(256, 60, 100), (255, 40, 0)], np.int32)
    choices = np.array([(0, 1, 2), (2, 0, 0)], np.uint8)
    symbols = np.full((2, *shape), -1, np.int16)
    for block, (z, y, x) in enumerate(extents):
        ramps = np.indices((z, y, x)).sum(axis=0) // 3
        noise = symbols_below(np.full(z, 4), y, x, block)
        symbols[block, :z, :y, :x] = np.minimum(ramps + noise, sizes[block, :z, None, None] - 1)
    messages = native.ENGINE.encode(symbols, sizes, extents, model, choices=choices)
    decoded = xla.ENGINE.decode(messages, sizes, extents, shape, model, choices=choices)
    for block, (z, y, x) in enumerate(extents):
        assert np.array_equal(decoded[block, :z, :y, :x], symbols[block, :z, :y, :x])
