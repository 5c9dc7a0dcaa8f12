"""Coarser scales: means of windows, rounded half up, aligned to the global origin."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxslice.core.box import Box
from jaxslice.core.placement import Placement
from jaxslice.volumes.interface import Source
from jaxslice.volumes.pooled import pooled, pooling_factors


def source(voxels: np.ndarray, offset=(0, 0, 0), size=(1.0, 1.0, 1.0)) -> Source:
    box = Box.of_shape(voxels.shape, offset)

    def read(part: Box) -> np.ndarray:
        return voxels[part.relative_to(offset).slices].copy()

    return Source("voxels", box, Placement(size, offset), read, voxels.dtype)


def test_a_mean_halfway_is_rounded_up():
    voxels = np.array([[[1, 2], [2, 2]], [[1, 1], [1, 2]]], np.uint8)
    coarser = pooled(source(voxels))
    assert coarser is not None
    assert coarser.read(coarser.box).tolist() == [[[2]]]
    assert coarser.placement == Placement((2.0, 2.0, 2.0), (0, 0, 0))


@given(
    shape=st.tuples(*[st.integers(1, 9)] * 3),
    offset=st.tuples(*[st.integers(-5, 5)] * 3),
    dtype=st.sampled_from([np.uint8, np.uint16]),
    seed=st.integers(0, 99),
)
def test_each_voxel_is_the_mean_of_those_that_it_covers(shape, offset, dtype, seed):
    voxels = np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, shape, dtype)
    fine = source(voxels, offset, (3.0, 1.0, 1.0))
    coarser = pooled(fine)
    if coarser is None:
        assert shape[1:] == (1, 1)
        return
    factors = tuple(
        round(b / a) for a, b in zip((3, 1, 1), coarser.placement.voxel_size_nm, strict=True)
    )
    assert factors == (1, min(2, shape[1]), min(2, shape[2]))
    made = coarser.read(coarser.box)
    assert made.dtype == dtype
    for index in np.ndindex(made.shape):
        place = [i + a for i, a in zip(index, coarser.box.start, strict=True)]
        whole = Box.of_shape(factors, tuple(p * f for p, f in zip(place, factors, strict=True)))
        covered = fine.read(whole.intersect(fine.box)).astype(int)
        assert made[index] == (2 * covered.sum() + covered.size) // (2 * covered.size)


def test_boxes_read_the_same_as_the_whole():
    voxels = np.random.default_rng(0).integers(0, 256, (6, 11, 13), dtype=np.uint8)
    coarser = pooled(source(voxels, (1, 3, -5)))
    assert coarser is not None
    whole = coarser.read(coarser.box)
    for box in coarser.box.tiles((2, 3, 2)):
        part = whole[box.relative_to(coarser.box.start).slices]
        np.testing.assert_array_equal(coarser.read(box), part)


@pytest.mark.parametrize(
    ("size", "factors"),
    [
        ((40.0, 4.0, 4.0), (1, 2, 2)),
        ((40.0, 16.0, 16.0), (1, 2, 2)),
        ((40.0, 32.0, 32.0), (2, 2, 2)),
        ((8.0, 8.0, 8.0), (2, 2, 2)),
        ((0.0, 0.0, 0.0), (2, 2, 2)),
    ],
)
def test_long_voxels_wait_for_the_others(size, factors):
    assert pooling_factors(size, (64, 64, 64)) == factors


def test_a_single_voxel_has_no_coarser_scale():
    assert pooled(source(np.zeros((1, 1, 1), np.uint8))) is None
