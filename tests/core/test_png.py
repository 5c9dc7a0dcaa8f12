"""Pictures as PNG."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from jaxslice.core.png import png


@given(arrays.arrays(np.uint16, st.tuples(st.integers(1, 20), st.integers(1, 20))))
def test_sixteen_bits(image):
    opened = Image.open(io.BytesIO(png(image)))
    assert opened.mode == "I;16"
    np.testing.assert_array_equal(np.asarray(opened), image)


@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20))))
def test_another_program_reads_it(image):
    opened = Image.open(io.BytesIO(png(image)))
    assert opened.mode == "L"
    np.testing.assert_array_equal(np.asarray(opened), image)


def test_differences_make_it_small():
    ramp = np.tile(np.arange(200, dtype=np.uint8)[:, None], (1, 200))
    assert len(png(ramp)) < 1000


@pytest.mark.parametrize("shape", [(1, 1), (1, 70_000), (300, 2)])
def test_any_shape(shape):
    opened = Image.open(io.BytesIO(png(np.full(shape, 7, np.uint8))))
    assert opened.size == shape[::-1]


def test_colours():
    image = np.random.default_rng(1).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    opened = Image.open(io.BytesIO(png(image)))
    assert opened.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(opened), image)
