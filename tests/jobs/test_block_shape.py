"""Blocks that fit a volume, and those that are chosen where none are asked for."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxslice.jobs.block_shape import BLOCK_SHAPE, default_block_shape, fitted_block_shape


@pytest.mark.parametrize(
    ("size", "fitted"), [(1, 1), (250, 250), (256, 256), (262, 131), (600, 200), (1000, 256)]
)
def test_blocks_fit_the_volume(size, fitted):
    assert fitted_block_shape((64, 256, 256), (128, 512, size)) == (64, 256, fitted)


@pytest.mark.parametrize(
    ("size", "fitted"), [(1, 1), (262, 262), (288, 288), (289, 145), (524, 262), (512, 256)]
)
def test_default_blocks_are_stretched_a_little_where_that_spares_a_cut(size, fitted):
    assert default_block_shape((72, size, 1000))[:2] == (72, fitted)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1024, 1024, 1024), (69, 256, 256)),
        ((20, 768, 768), (20, 256, 768)),
        ((20, 1024, 1024), (20, 256, 1024)),
        ((30, 512, 512), (30, 256, 512)),
        ((64, 300, 768), (64, 150, 436)),
        ((1, 9000, 9000), (1, 282, 3000)),
        ((1, 5000, 4000), (1, 1250, 4000)),
        ((1, 1, 1), (1, 1, 1)),
        ((2000, 40, 40), (1024, 40, 40)),
        ((100_000, 4, 4), (1024, 4, 4)),
        ((128, 262, 262), (64, 262, 262)),
    ],
)
def test_blocks_of_few_slices_are_longer(shape, expected):
    assert default_block_shape(shape) == expected


def test_deeper_blocks_have_more_voxels():
    assert default_block_shape((1024, 1024, 1024), depth=128) == (128, 256, 256)
    assert default_block_shape((20, 768, 768), depth=128) == (20, 384, 768)
    assert default_block_shape((20, 1024, 4096), depth=128) == (20, 256, 2048)


@given(st.tuples(*[st.integers(1, 10_000)] * 3))
def test_default_blocks_are_never_much_larger_than_asked_for(shape):
    block = default_block_shape(shape)
    assert all(1 <= n <= size for n, size in zip(block, shape, strict=True))
    assert 4 * math.prod(block) <= 5 * math.prod(BLOCK_SHAPE)
