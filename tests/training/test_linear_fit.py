"""Linear predictors fitted to volumes whose best predictor is known."""

import dataclasses

import numpy as np
import pytest

from jaxslice.codec import linear, linear_sample
from jaxslice.codec.linear import LinearArchitecture
from jaxslice.training import linear_fit
from jaxslice.training.linear_groups import groups_of

ARCHITECTURE = LinearArchitecture(
    ((0, 0, -1), (0, -1, 0), (0, -1, 1), (0, -1, -1), (0, 0, -2), (-1, 0, 0)),
    fallback=5, shear=2, scales=8, phases=2,
)  # fmt: skip
FROM_LEFT, FROM_BEFORE = (0, 0, -1), (-1, 0, 0)


def walk(axis: str, deviation: float, shape=(8, 60, 160), seed=0) -> np.ndarray:
    """Voxels that are 0.95 of their neighbour's distance from 128, and noise."""
    rng = np.random.default_rng(seed)
    voxels = np.zeros(shape)
    noise = rng.normal(0, deviation, shape)
    order = {"x": 2, "z": 0}[axis]
    voxels, noise = np.moveaxis(voxels, order, 0), np.moveaxis(noise, order, 0)
    for i in range(1, len(voxels)):
        voxels[i] = 0.95 * voxels[i - 1] + noise[i]
    return np.clip(np.rint(np.moveaxis(voxels, 0, order) + 128), 0, 255).astype(np.uint8)


def sample_of(*blocks: np.ndarray, architecture=ARCHITECTURE, seed=0) -> linear_sample.Sample:
    return linear_sample.draw(blocks, [0] * len(blocks), architecture, 1 << 16, seed)


@pytest.mark.parametrize(("axis", "neighbour"), [("x", FROM_LEFT), ("z", FROM_BEFORE)])
def test_the_neighbour_that_counts_gets_the_weight(axis, neighbour):
    numbers = linear_fit.fit(sample_of(walk(axis, 6.0)), ARCHITECTURE)
    linear.check(numbers)
    weights = numbers.weights[0] / 2.0 ** numbers.scalars[0, 0]
    # The reference takes part in the prediction: it has the neighbours' weights already.
    shares = np.array([3, 3, 1, 1, 0, 0]) / 8 * (1 - weights.sum())
    total = weights + shares
    index = ARCHITECTURE.context.index(neighbour)
    assert total[index] > 0.8
    assert np.abs(np.delete(total, index)).max() < 0.15


@pytest.mark.parametrize("deviation", [0.7, 2.0, 6.0, 12.0])
def test_the_bits_are_near_the_entropy_of_the_noise(deviation):
    sample = sample_of(walk("x", deviation))
    numbers = linear_fit.fit(sample, ARCHITECTURE)
    entropy = np.log2(np.sqrt(2 * np.pi * np.e * (deviation**2 + 1 / 12)))
    assert linear_fit.predicted_bits(sample, numbers, ARCHITECTURE) < entropy + 0.15


@pytest.mark.parametrize(
    "block",
    [np.zeros((1, 9, 9), np.uint8), np.full((3, 40, 8), 255, np.uint8), np.eye(40)[None] * 200],
)
def test_any_block_can_be_fitted(block):
    architecture = dataclasses.replace(ARCHITECTURE, predictors=4)
    numbers = linear_fit.fit(
        sample_of(block.astype(np.uint8), architecture=architecture), architecture
    )
    linear.check(numbers)
    assert linear.unpack(linear.pack(numbers), architecture).weights.shape == (4, 6)


def test_slices_are_grouped_by_what_predicts_them():
    blocks = walk("x", 5.0, seed=1), walk("z", 5.0, seed=2)
    sample = sample_of(*blocks)
    first, second = (
        set(group.tolist()) for group in groups_of(sample, linear_fit.first_scale(sample), 2)
    )
    # The first slice of a block has none before it.
    for group in (set(range(1, 8)), set(range(9, 16))):
        assert group <= first or group <= second
    assert not first & second


def test_two_predictors_are_better_than_one_for_two_kinds_of_slices():
    sample = sample_of(walk("x", 5.0, seed=1), walk("z", 5.0, seed=2))
    one = linear_fit.predicted_bits(sample, linear_fit.fit(sample, ARCHITECTURE), ARCHITECTURE)
    architecture = dataclasses.replace(ARCHITECTURE, predictors=2)
    two = linear_fit.fit(sample, architecture)
    parts = [sample.of_slices(np.arange(1, 8)), sample.of_slices(np.arange(9, 16))]
    best = [
        min(linear_fit.predicted_bits(part, two, architecture, which) for which in (0, 1))
        for part in parts
    ]
    assert np.mean(best) < one - 0.05


def test_the_same_seed_fits_the_same_numbers():
    block = walk("x", 3.0)
    first, again = (linear_fit.fit(sample_of(block, seed=3), ARCHITECTURE) for _ in range(2))
    assert linear.pack(first) == linear.pack(again)
