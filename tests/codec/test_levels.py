"""Level tables: symbols and voxels are the same thing, and tables survive packing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jaxslice.codec import levels
from jaxslice.codec.levels import ALL, PER_BLOCK, PER_SLICE
from jaxslice.core.errors import FormatError
from jaxslice.native import library

volumes = hnp.arrays(
    np.uint8,
    hnp.array_shapes(min_dims=3, max_dims=3, max_side=5),
    elements=st.one_of(st.sampled_from([0, 7, 8, 255]), st.integers(0, 255)),
)
tables_of = hnp.arrays(
    bool, st.tuples(st.integers(1, 5), st.just(256)), elements=st.booleans(), fill=st.booleans()
).filter(lambda tables: tables.any(axis=1).all())


def table(*rows: list[int]) -> np.ndarray:
    """Tables whose slices have just the levels given."""
    tables = np.zeros((len(rows), 256), bool)
    for row, used in zip(tables, rows, strict=True):
        row[used] = True
    return tables


@given(volumes)
def test_voxels_come_back_from_symbols(voxels):
    tables = levels.choose(voxels)
    symbols = levels.symbols_of(voxels, tables)
    assert symbols.dtype == np.uint8
    assert np.all(symbols.max(axis=(1, 2)) < levels.sizes(tables))
    back = levels.voxels_of(symbols, tables)
    assert back.dtype == np.uint8
    np.testing.assert_array_equal(back, voxels)


def test_symbols_by_hand():
    tables = table([10, 20, 30], [0, 255])
    voxels = np.array([[[30, 10]], [[255, 0]]], np.uint8)
    assert levels.symbols_of(voxels, tables).tolist() == [[[2, 0]], [[1, 0]]]
    assert levels.sizes(tables).tolist() == [3, 2]
    assert levels.sizes(tables).dtype == np.int32


@pytest.mark.skipif(not library.instruction_sets(), reason="the native library was not built")
@given(volumes, st.integers(0, 3))
def test_the_library_counts_as_numpy_does(voxels, skipped):
    # Every second row: the voxels are not next to each other. Eight are counted at once.
    for given_voxels in (voxels, np.tile(voxels, (1, 4, 3))[:, ::2, skipped:]):
        expected = [np.bincount(s.ravel(), minlength=256) for s in given_voxels]
        np.testing.assert_array_equal(library.count_levels(given_voxels), expected)


def test_all_is_the_same_without_the_library(monkeypatch):
    voxels = 4 * np.random.default_rng(0).integers(0, 60, (3, 50, 61), np.uint8)
    voxels += np.arange(3, dtype=np.uint8)[:, None, None]
    tables = levels.choose(voxels)
    assert not tables.all()
    symbols = levels.symbols_of(voxels, tables)
    monkeypatch.setattr(library, "instruction_sets", lambda: ())
    np.testing.assert_array_equal(levels.choose(voxels), tables)
    np.testing.assert_array_equal(levels.symbols_of(voxels, tables), symbols)
    np.testing.assert_array_equal(levels.voxels_of(symbols, tables), voxels)


def test_saved_bits_by_hand():
    # Gaps of 1 and 3 make widths 1, 2 and 3; a lone level saves nothing that is known.
    counts = np.zeros((2, 256), int)
    counts[:, [10, 11, 14]] = [[5, 6, 7], [9, 0, 0]]
    used = counts > 0
    assert levels._saved_bits(counts, used) == pytest.approx(6 * np.log2(2) + 7 * np.log2(3))


@given(tables_of, st.binary(max_size=9))
def test_tables_survive_packing(tables, rest):
    packed = levels.pack(tables)
    again, end = levels.unpack(packed + rest, len(tables))
    assert end == len(packed)
    np.testing.assert_array_equal(again, tables)


def test_packed_tables_by_hand():
    assert levels.pack(np.ones((3, 256), bool)) == bytes([ALL])
    # Levels 0, 7 and 8: bits 7 and 0 of the first byte and bit 7 of the second.
    by_block = levels.pack(table([0, 7, 8], [0, 7, 8]))
    assert by_block == bytes([PER_BLOCK, 0b10000001, 0b10000000]) + bytes(30)
    # Union 0, 7, 8; slices 110, 001, 111: 11000111 and a 1 in a further byte.
    by_slice = levels.pack(table([0, 7], [8], [0, 7, 8]))
    expected = bytes([PER_SLICE, 0b10000001, 0b10000000]) + bytes(30) + bytes([0b11000111, 128])
    assert by_slice == expected
    np.testing.assert_array_equal(levels.unpack(expected, 3)[0], table([0, 7], [8], [0, 7, 8]))


def test_choose_takes_all_levels_where_they_are_used():
    voxels = np.random.default_rng(0).integers(0, 256, (3, 50, 60), np.uint8)
    assert levels.choose(voxels).all()


def test_choose_closes_gaps_of_the_block():
    voxels = 4 * np.random.default_rng(0).integers(0, 60, (3, 50, 60), np.uint8)
    np.testing.assert_array_equal(levels.choose(voxels), table(*[list(range(0, 240, 4))] * 3))


def test_choose_closes_gaps_of_each_slice():
    voxels = 4 * np.random.default_rng(0).integers(0, 60, (3, 50, 60), np.uint8)
    voxels += np.arange(3, dtype=np.uint8)[:, None, None]
    assert levels.pack(levels.choose(voxels))[0] == PER_SLICE
    expected = table(*[list(range(offset, 240 + offset, 4)) for offset in range(3)])
    np.testing.assert_array_equal(levels.choose(voxels), expected)


def test_choose_spends_no_table_on_a_few_voxels():
    assert levels.choose(np.array([[[0, 4, 8]]], np.uint8)).all()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "kind None, expected 0, 1 or 2"),
        (b"\x03" + bytes(64), "kind 3, expected 0, 1 or 2"),
        (b"\x01" + bytes(31), "Got 31 bytes of level table, expected 32"),
        (b"\x02" + bytes(3), "Got 3 bytes of level table, expected 32"),
        # 256 levels of 3 slices are 96 bytes.
        (b"\x02" + b"\xff" * 127, "Got 95 bytes of level table, expected 96"),
        (b"\x01" + bytes(32), "table without levels"),
        (b"\x02" + bytes(64), "table without levels"),
        # The union has 8 levels; the second slice has none of them.
        (b"\x02\xff" + bytes(31) + b"\xff\x00\xff", "table without levels"),
        # The union has 1 level: 3 bits for 3 slices, and the fourth must be 0.
        (b"\x02\x80" + bytes(31) + b"\xf0", "fill bits"),
    ],
)
def test_damaged_tables_are_refused(data, message):
    with pytest.raises(FormatError, match=message):
        levels.unpack(data, 3)


@given(st.binary(max_size=140), st.integers(0, 3), st.integers(1, 4))
def test_any_bytes_are_tables_or_refused(data, kind, depth):
    try:
        tables, end = levels.unpack(bytes([kind]) + data, depth)
    except FormatError:
        return
    assert tables.shape == (depth, 256)
    assert tables.any(axis=1).all()
    assert end <= 1 + len(data)
