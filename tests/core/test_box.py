"""Boxes: their arithmetic, their text, and tiles that cover every voxel once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxslice.core.box import Box
from jaxslice.core.errors import UsageError

coordinates = st.tuples(*[st.integers(-20, 20)] * 3)
shapes = st.tuples(*[st.integers(1, 9)] * 3)
boxes = st.builds(Box.of_shape, shapes, coordinates)


def voxels_of(box: Box) -> set[tuple[int, int, int]]:
    (z0, y0, x0), (z1, y1, x1) = box.start, box.stop
    return {(z, y, x) for z in range(z0, z1) for y in range(y0, y1) for x in range(x0, x1)}


def test_a_box_by_hand():
    box = Box.parse("1:4,0:10,5:6")
    assert box == Box((1, 0, 5), (4, 10, 6))
    assert (box.shape, box.size) == ((3, 10, 1), 30)
    assert box.slices == (slice(1, 4), slice(0, 10), slice(5, 6))
    assert str(box) == "1:4,0:10,5:6"
    assert np.zeros((5, 12, 8))[box.slices].shape == box.shape
    assert Box.of_shape((2, 3, 4)) == Box((0, 0, 0), (2, 3, 4))


@given(boxes)
def test_text_reads_back(box):
    assert Box.parse(str(box)) == box


@given(boxes, boxes)
def test_intersect_and_contains_are_those_of_sets(a, b):
    assert voxels_of(a.intersect(b)) == voxels_of(a) & voxels_of(b)
    assert a.intersect(b).size == len(voxels_of(a) & voxels_of(b))
    assert a.contains(b) == (voxels_of(b) <= voxels_of(a))
    assert a.contains(a.intersect(b)) or not a.intersect(b).size


@given(boxes, coordinates)
def test_shift_keeps_the_shape(box, by):
    moved = box.shift(by)
    assert moved.shape == box.shape
    assert moved.start == tuple(a + d for a, d in zip(box.start, by, strict=True))


@given(boxes, shapes)
def test_tiles_cover_every_voxel_once(box, tile_shape):
    tiles = list(box.tiles(tile_shape))
    assert sum(tile.size for tile in tiles) == box.size
    assert set().union(*map(voxels_of, tiles)) == voxels_of(box)
    for tile in tiles:
        assert 0 < tile.size <= np.prod(tile_shape)


def test_tiles_run_along_x_first():
    tiles = [str(tile) for tile in Box.of_shape((1, 3, 3)).tiles((1, 2, 2))]
    assert tiles == ["0:1,0:2,0:2", "0:1,0:2,2:3", "0:1,2:3,0:2", "0:1,2:3,2:3"]


@pytest.mark.parametrize(
    "text", ["", "1", "0:1", "0:1,0:1", "0:1,0:1,0:1,0:1", "0:1:2,0:1,0:1", "a:b,0:1,0:1", "0:1,,"]
)
def test_other_texts_are_refused(text):
    with pytest.raises(UsageError, match="expected z0:z1,y0:y1,x0:x1"):
        Box.parse(text)


@pytest.mark.parametrize("text", ["0:0,0:1,0:1", "0:1,5:4,0:1", "0:1,0:1,3:3"])
def test_empty_ranges_are_refused(text):
    with pytest.raises(UsageError, match="every start to be below its stop"):
        Box.parse(text)
