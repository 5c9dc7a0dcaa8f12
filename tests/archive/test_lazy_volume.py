"""Archives as arrays, through jaxslice.open."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxslice
from jaxslice.codec import block


def _keys(size: int):
    return st.one_of(
        st.integers(-size, size - 1),
        st.slices(size),
    )


@settings(max_examples=60, deadline=None)
@given(z=_keys(10), y=_keys(40), x=_keys(50), dots=st.sampled_from(["", "start", "end"]))
def test_indexing_is_numpys(small_volume, small_archive, z, y, x, dots):
    opened = jaxslice.open(small_archive)
    index = {"": (z, y, x), "start": (..., x), "end": (z, ...)}[dots]
    np.testing.assert_array_equal(opened[index], small_volume.voxels[index])


def test_wrong_indices(small_archive):
    opened = jaxslice.open(small_archive)
    for index in (10, (0, 40), (0, 0, -51), (0, 0, 0, 0), (..., ...), "z", 1.5, [0, 1], True, None):
        with pytest.raises(IndexError):
            opened[index]


def test_is_an_array(small_volume, small_archive):
    opened = jaxslice.open(small_archive)
    assert (opened.shape, opened.dtype, opened.ndim) == ((10, 40, 50), np.uint8, 3)
    assert opened.size == 10 * 40 * 50, "napari asks for it"
    assert opened.chunks == (4, 16, 32)
    np.testing.assert_array_equal(np.asarray(opened), small_volume.voxels)
    np.testing.assert_array_equal(np.array(opened, np.float32), small_volume.voxels)
    assert np.asarray(opened, np.float32).dtype == np.float32


def test_an_array_is_always_a_copy(small_archive):
    opened = jaxslice.open(small_archive)
    with pytest.raises(ValueError, match="copy=False, expected None or True"):
        np.asarray(opened, copy=False)
    first, second = np.array(opened, copy=True), np.asarray(opened)
    first[...] = 0
    assert second.any()


def test_a_voxel_costs_one_block_and_is_remembered(small_archive, monkeypatch):
    calls = []
    real = block.decode_blocks
    monkeypatch.setattr(
        block, "decode_blocks", lambda *args, **kw: calls.append(1) or real(*args, **kw)
    )
    opened = jaxslice.open(small_archive)
    opened[5, 20, 20]
    assert len(calls) == 1
    opened[5, 20, 21], opened[4, 16, 0]
    assert len(calls) == 1
    opened[0, 0, 0]
    assert len(calls) == 2


def test_damage_is_named(archive_copy):
    path = archive_copy / "0" / "c" / "0" / "0" / "0"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(jaxslice.FormatError, match="CRC32C"):
        jaxslice.open(str(archive_copy))[0]
