"""Level tables of 16-bit voxels: small where levels are regular, and never trusted."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxslice.codec import wide_levels
from jaxslice.core.errors import FormatError
from jaxslice.reference.sixteen import read_wide_levels


def noise(shape=(2, 40, 50), low=0, high=4096, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).integers(low, high, shape).astype(np.uint16)


CASES = {
    "12 bits": (noise(), 4096, 9),
    "full range": (noise((2, 400, 400), 0, 65536), 65536, 10),
    "dark offset": (noise(low=500, high=1500), 1000, 9),
    "multiples of 16": (noise() * np.uint16(16), 4096, 9),
    "multiples of 257": (noise(high=256) * np.uint16(257), 256, 9),
    "two levels": (noise(high=2) * np.uint16(65535), 2, 7),
    "constant": (np.full((3, 4, 5), 700, np.uint16), 1, 7),
    "few bright ones": (np.where(noise(high=100) == 7, 65535, noise()).astype(np.uint16), 4097, 12),
}


@pytest.mark.parametrize("name", CASES)
def test_regular_levels_take_few_bytes(name):
    voxels, levels, most_bytes = CASES[name]
    tables = wide_levels.choose(voxels)
    packed = wide_levels.pack(tables)
    assert len(packed) <= most_bytes
    assert levels * 0.9 <= wide_levels.sizes(tables).max() <= levels
    symbols = wide_levels.symbols_of(voxels, tables)
    assert symbols.dtype == np.uint16
    assert symbols.min() >= 0
    assert np.all(symbols.max(axis=(1, 2)) < wide_levels.sizes(tables))
    np.testing.assert_array_equal(wide_levels.voxels_of(symbols, tables), voxels)


def test_each_slice_has_a_table_of_its_own_where_that_pays():
    voxels = noise((6, 64, 64), high=300)
    voxels[::2] *= 64
    voxels[1::2] *= 81
    tables = wide_levels.choose(voxels)
    assert wide_levels.sizes(tables).max() <= 300
    assert wide_levels.pack(tables)[0] == wide_levels.PER_SLICE


def test_gaps_by_chance_are_no_gaps():
    """A table of the levels that happen to occur would bend the distances between symbols."""
    voxels = np.rint(np.random.default_rng(1).normal(30000, 3000, (4, 64, 64))).astype(np.uint16)
    (table, *_) = wide_levels.choose(voxels)
    assert table.size == int(table[-1]) - int(table[0]) + 1


@st.composite
def any_tables(draw) -> list[np.ndarray]:
    seeds = st.integers(0, 2**32 - 1)
    tables = []
    for _ in range(draw(st.integers(1, 3))):
        rng = np.random.default_rng(draw(seeds))
        step, size = draw(st.sampled_from([1, 4, 257])), draw(st.sampled_from([1, 2, 50, 240]))
        levels = step * np.unique(rng.integers(0, 65536 // step, size))
        tables.append(levels.astype(np.uint16))
    return tables


@settings(max_examples=60, deadline=None)
@given(tables=any_tables(), rest=st.binary(max_size=4))
def test_both_readers_read_what_is_written(tables, rest):
    data = wide_levels.pack(tables)
    found, end = wide_levels.unpack(data + rest, len(tables))
    reference, left = read_wide_levels(data + rest, len(tables))
    assert end == len(data)
    assert left == rest
    for before, after, other in zip(tables, found, reference, strict=True):
        np.testing.assert_array_equal(before, after)
        np.testing.assert_array_equal(before, other)


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=24), depth=st.integers(1, 3))
def test_both_readers_refuse_the_same(data, depth):
    try:
        tables, end = wide_levels.unpack(data, depth)
    except FormatError:
        with pytest.raises(FormatError):
            read_wide_levels(data, depth)
        return
    reference, left = read_wide_levels(data, depth)
    assert left == data[end:]
    assert all(np.array_equal(a, b) for a, b in zip(tables, reference, strict=True))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x02\0\0\1\0\1\1",  # another kind
        b"\0\0\0",  # cut short
        b"\0\0\0\1\0\1",  # no length
        b"\0\0\0\0\0\1\1",  # a step of 0
        b"\0\0\0\1\0\0",  # no runs
        b"\0\0\0\1\0\1\0",  # an empty run
        b"\0\0\0\1\0\2\1\0\1",  # an empty gap
        b"\0\xff\xff\1\0\1\2",  # beyond 65535
        b"\0\0\0\1\0\1\x81\x80\x80\1",  # a number of four bytes
    ],
)
def test_damaged_tables_are_refused(data):
    with pytest.raises(FormatError):
        wide_levels.unpack(data, 1)
    with pytest.raises(FormatError):
        read_wide_levels(data, 1)


def test_by_hand():
    tables = [np.array([10, 14, 18, 30], np.uint16)]
    assert wide_levels.pack(tables) == bytes([0, 10, 0, 4, 0, 2, 3, 2, 1])
