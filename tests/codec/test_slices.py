"""Slice tables: repeated and constant slices come back, cost little, and bad tables are refused."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models_for_tests import TINY_MODEL, noise_block, smooth_block

from jaxslice.codec import body, payload, slices
from jaxslice.codec.block import decode_block, encode_block, encode_blocks
from jaxslice.core.errors import FormatError

SHAPE = (9, 12, 24)
SLICES = 2
"""The flag of a slice table."""


def repeating(block: np.ndarray) -> np.ndarray:
    block = block.copy()
    block[3], block[4], block[7], block[6] = block[2], block[2], block[0], 200
    return block


def test_a_table_by_hand():
    table = slices.find(repeating(noise_block(SHAPE)))
    assert table is not None
    assert table.kinds.tolist() == [0, 0, 0, 1, 1, 0, 255, 7, 0]
    assert table.values.tolist() == [200]
    assert table.coded.tolist() == [0, 1, 2, 5, 8]
    assert slices.pack(table) == bytes([0, 0, 0, 1, 1, 0, 255, 7, 0, 200])
    wide = slices.find(repeating(noise_block(SHAPE)).astype(np.uint16) * 256)
    assert wide is not None
    assert slices.pack(wide) == bytes([0, 0, 0, 1, 1, 0, 255, 7, 0, 0, 200])


def test_there_is_none_without_repeats_or_where_it_costs_more():
    assert slices.find(noise_block(SHAPE)) is None
    thin = np.zeros((40, 1, 4), np.uint8)
    thin[::2] = [1, 2, 3, 4]
    assert slices.find(thin) is None


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=300), st.sampled_from(["u1", "u2"]))
def test_any_repeats_come_back(pattern, kind):
    planes = np.concatenate([noise_block((4, 8, 8)), np.full((1, 8, 8), 9, np.uint8)])
    voxels = planes[pattern].astype(kind)
    table = slices.find(voxels)
    if table is None:
        return
    again, end = slices.unpack(slices.pack(table) + b"rest", len(voxels), voxels.dtype)
    assert end == len(slices.pack(table))
    back = slices.restored(voxels[table.coded], again)
    assert back.dtype == voxels.dtype
    np.testing.assert_array_equal(back, voxels)
    assert len(table.coded) <= 5 + len(pattern) // 200


@pytest.mark.parametrize(("data", "depth"), [(b"", 1), (b"\0\0", 3), (b"\0\xff", 2), (b"\1", 1)])
def test_bad_tables_are_refused(data, depth):
    with pytest.raises(FormatError):
        slices.unpack(data, depth, payload.UINT8)


@pytest.mark.parametrize(
    ("make", "mode"), [(smooth_block, payload.CODED), (noise_block, payload.STORED)]
)
def test_blocks_with_repeats_come_back_and_are_shorter(make, mode):
    plain, block = make(SHAPE), repeating(make(SHAPE))
    data = encode_block(block, TINY_MODEL)
    assert data[:3] == bytes([4, mode, SLICES])
    assert len(data) < 0.75 * len(encode_block(plain, TINY_MODEL))
    np.testing.assert_array_equal(decode_block(data, SHAPE, TINY_MODEL), block)
    (old,) = encode_blocks([block], TINY_MODEL, format_version=3)
    assert len(old) > len(data)


def test_a_block_of_constant_slices_has_nothing_to_code():
    block = np.arange(9, dtype=np.uint8).repeat(12 * 24).reshape(SHAPE)
    data = encode_block(block, TINY_MODEL)
    assert data[:3] == bytes([4, payload.STORED, SLICES])
    assert len(data) == payload.OVERHEAD_BYTES + 2 * (SHAPE[0] - 1)
    np.testing.assert_array_equal(decode_block(data, SHAPE, TINY_MODEL), block)
    item = payload.unpack(data, SHAPE)
    with pytest.raises(FormatError, match="without coded slices"):
        body.split_coded_body(dataclasses.replace(item, mode=payload.CODED))
