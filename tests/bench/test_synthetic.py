"""Synthetic tissue is reproducible and has the statistics of electron microscopy."""

import numpy as np
import pytest

from jaxslice.bench import synthetic
from jaxslice.bench.synthetic import synthetic_volume
from jaxslice.core.errors import UsageError

SHAPE = (24, 128, 128)
KNOWN_MEANS = [[[136.98, 124.07], [157.15, 155.65]], [[142.19, 123.77], [158.69, 163.93]]]


@pytest.fixture(scope="module")
def isotropic() -> np.ndarray:
    return synthetic_volume(SHAPE, seed=5)


@pytest.fixture(scope="module")
def sections() -> np.ndarray:
    return synthetic_volume(SHAPE, seed=5, anisotropy=8.0)


def correlation(volume: np.ndarray, axis: int, lag: int = 1) -> float:
    values = np.moveaxis(volume.astype(float), axis, 0)
    return float(np.corrcoef(values[:-lag].ravel(), values[lag:].ravel())[0, 1])


def residual(volume: np.ndarray) -> np.ndarray:
    """What the mean of the two neighbours along z does not explain: mostly noise."""
    values = volume.astype(float)
    return values[1:-1] - (values[:-2] + values[2:]) / 2


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 7), (3, 5, 1), (17, 33, 18)])
def test_shape_and_type(shape):
    volume = synthetic_volume(shape, seed=1)
    assert volume.shape == shape
    assert volume.dtype == np.uint8
    assert volume.flags.c_contiguous


def test_the_seed_decides_the_voxels():
    shape = (4, 32, 32)
    first = synthetic_volume(shape, seed=2)
    assert np.array_equal(first, synthetic_volume(shape, seed=2))
    assert (first != synthetic_volume(shape, seed=3)).mean() > 0.9
    assert (first != synthetic_volume(shape, seed=2, anisotropy=4.0)).mean() > 0.5


def test_numpys_global_generator_is_neither_read_nor_changed():
    before = np.random.get_state()[1].copy()
    synthetic_volume((2, 8, 8))
    assert np.array_equal(before, np.random.get_state()[1])


def test_histogram(isotropic):
    assert 115 < isotropic.mean() < 145
    assert 27 < isotropic.std() < 43
    assert np.unique(isotropic).size > 150
    assert ((isotropic == 0) | (isotropic == 255)).mean() < 1e-3  # nothing is clipped


def test_neighbours_are_alike_and_about_as_much_along_every_axis(isotropic):
    near = [correlation(isotropic, axis) for axis in range(3)]
    far = [correlation(isotropic, axis, lag=8) for axis in range(3)]
    assert min(near) > 0.92
    assert max(near) < 0.985
    assert min(far) > 0.15
    assert max(far) < 0.75
    assert max(near) - min(near) < 0.03


def test_sections_differ_more_than_their_voxels(sections):
    assert correlation(sections, axis=0) < 0.6
    assert min(correlation(sections, 1), correlation(sections, 2)) > 0.9


def test_brightness_varies_more_between_sections_than_between_milled_slices(isotropic, sections):
    assert np.diff(isotropic.mean((1, 2))).std() < 2 < np.diff(sections.mean((1, 2))).std()


def test_noise_grows_with_brightness(isotropic):
    noise = residual(isotropic)
    clean = (isotropic[:-2].astype(float) + isotropic[2:]) / 2
    dark, bright = np.percentile(clean, [20, 80])
    # Medians, since membranes that move between slices are not noise.
    deviation = [np.median(np.abs(noise[part])) for part in (clean < dark, clean > bright)]
    assert deviation[0] > 2
    assert deviation[1] > 1.2 * deviation[0]


def test_noise_is_weakly_shared_by_neighbours(isotropic):
    noise = np.clip(residual(isotropic), -20, 20)
    assert 0.2 < correlation(noise, axis=2) < 0.6
    assert 0.05 < correlation(noise, axis=1) < correlation(noise, axis=2)


def test_slabs_meet_without_a_seam():
    volume = synthetic_volume((33, 96, 96), seed=7).astype(float)
    steps = np.abs(np.diff(volume, axis=0)).mean((1, 2))
    assert max(steps[15], steps[31]) < 1.3 * np.median(steps)


@pytest.mark.parametrize("anisotropy", [1.0, 6.0])
def test_tiles_leave_no_trace(monkeypatch, anisotropy):
    """Chains that cannot reach a tile are skipped there; how space is tiled must not matter."""
    shape = (12, 40, 56)
    expected = synthetic_volume(shape, seed=9, anisotropy=anisotropy).astype(int)
    monkeypatch.setattr(synthetic, "_TILE_LENGTH", 9)
    volume = synthetic_volume(shape, seed=9, anisotropy=anisotropy).astype(int)
    assert np.abs(volume - expected).max() <= 1  # the last bit of a sine may differ
    assert (volume != expected).mean() < 1e-3


def test_a_known_volume_stays_the_same():
    """Coarse, so that a last-bit difference between machines may pass but a new drawing may not."""
    volume = synthetic_volume((8, 32, 32), seed=11)
    means = volume.reshape(2, 4, 2, 16, 2, 16).mean((1, 3, 5))
    np.testing.assert_allclose(means, KNOWN_MEANS, atol=0.05)


@pytest.mark.parametrize(
    ("shape", "seed", "anisotropy", "complaint"),
    [
        ((0, 4, 4), 0, 1.0, "shape"),
        ((4, 4), 0, 1.0, "shape"),
        ((1, 4, 4), -1, 1.0, "seed"),
        ((1, 4, 4), 0, 0.0, "anisotropy"),
        ((1, 4, 4), 0, float("nan"), "anisotropy"),
    ],
)
def test_senseless_arguments_are_refused(shape, seed, anisotropy, complaint):
    with pytest.raises(UsageError, match=f"Got the {complaint}"):
        synthetic_volume(shape, seed, anisotropy=anisotropy)
