"""The estimates of the noise floor, on processes whose entropy is known."""

import importlib
import math
from pathlib import Path

import numpy as np
import pytest

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture
def experiment(monkeypatch):
    """Imports a script of experiments/ as a module."""
    monkeypatch.syspath_prepend(EXPERIMENTS)
    return importlib.import_module


@pytest.mark.parametrize("deviation", [1.0, 3.0, 8.0])
def test_white_noise_is_measured_as_such(experiment, deviation):
    module = experiment("noise_floor")
    noise = np.random.default_rng(0).normal(100, deviation, (8, 128, 128))
    symbols = np.rint(noise).astype(np.float32)
    found = module.noise_of(symbols)
    assert found["noise_bits"] == pytest.approx(normal_entropy(deviation), abs=0.05)
    assert found["wide_over_narrow"] == pytest.approx(1, abs=0.04)
    assert abs(module.order_bits(symbols)) < 0.02


def test_the_price_of_an_order_is_that_of_theory(experiment):
    # Each voxel is 0.6 of the one before along x, plus noise: given its past it has the noise's
    # variance, given both neighbours 1 / (1 + 0.6**2) of that.
    noise = np.random.default_rng(0).normal(0, 20, (16, 128, 160))
    for x in range(1, 160):
        noise[:, :, x] += 0.6 * noise[:, :, x - 1]
    found = experiment("noise_floor").order_bits(np.rint(noise[:, :, 32:]).astype(np.float32))
    assert found == pytest.approx(math.log2(1 + 0.6**2) / 2, abs=0.02)


def test_nothing_but_black_has_no_noise(experiment):
    module = experiment("noise_floor")
    black = np.zeros((4, 64, 64), np.float32)
    assert module.noise_of(black)["noise_bits"] == 0
    assert module.order_bits(black) == 0


def normal_entropy(deviation: float) -> float:
    return math.log2(2 * math.pi * math.e * deviation**2) / 2


def test_the_entropy_of_rounded_noise(experiment):
    entropy = experiment("noise_floor").rounded_normal_entropy
    # Rounding adds the variance of a uniform variable.
    assert entropy(5.0) == pytest.approx(normal_entropy(math.sqrt(25 + 1 / 12)), abs=1e-4)
    assert entropy(0.0) == 0
    assert 0 < entropy(0.1) < entropy(0.5) < entropy(1.0)
