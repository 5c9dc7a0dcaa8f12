"""JPEG's traces in voxels: found at every usual quality, wherever the grid begins; else not."""

from __future__ import annotations

import imagecodecs
import numpy as np
import pytest

from jaxslice.bench.synthetic import synthetic_volume
from jaxslice.volumes.jpeg_traces import LUMINANCE, jpeg_quality, steps


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return np.clip(synthetic_volume((1, 160, 200), seed=3)[0], 3, 252)


def as_jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    return imagecodecs.jpeg8_decode(imagecodecs.jpeg8_encode(picture, level=quality))


@pytest.mark.parametrize("quality", [30, 50, 75, 80, 85, 90, 95])
def test_a_jpeg_is_found_with_its_quality(picture, quality: int):
    assert jpeg_quality(as_jpeg(picture, quality)) == quality


@pytest.mark.parametrize("place", [(0, 3), (5, 0), (7, 6)])
def test_wherever_the_grid_begins(picture, place):
    y, x = place
    assert jpeg_quality(as_jpeg(picture, 80)[y:, x:]) == 80


def test_what_was_never_jpeg_is_not_found(picture):
    noise = np.random.default_rng(0).integers(1, 255, (128, 128), dtype=np.uint8)
    ramp = np.broadcast_to(np.arange(1, 201, dtype=np.uint8), (160, 200))
    lossless = imagecodecs.jpegls_decode(imagecodecs.jpegls_encode(picture))
    grain = np.random.default_rng(1).integers(0, 6, picture.shape, dtype=np.uint8)
    noisy = as_jpeg(picture, 80) // 2 + grain
    for other in (picture, noise, ramp, ramp // 16 + 1, lossless, noisy, picture[:5]):
        assert jpeg_quality(np.asarray(other)) is None
    for value in (0, 128, 255):
        assert jpeg_quality(np.full((64, 64), value, np.uint8)) is None


def test_saturated_parts_do_not_hide_it(picture):
    stretched = np.where(np.indices(picture.shape)[1] > 120, 255, picture).astype(np.uint8)
    assert jpeg_quality(as_jpeg(stretched, 85)) == 85


def test_the_tables_are_libjpegs():
    np.testing.assert_array_equal(steps(50), LUMINANCE)
    assert steps(75)[0].tolist() == [8, 6, 5, 8, 12, 20, 26, 31]
    assert steps(10)[7, 7] == 255
    assert steps(100).max() == 1
