"""Sizes do not grow unnoticed: by shipped networks, by efforts; spoiled networks are caught."""

import numpy as np
import pytest
import quality_cases

from jaxslice.codec.network import IntegerNetwork, Model
from jaxslice.models import model_file

SIZES = quality_cases.read_sizes()
VOLUMES = quality_cases.volumes()
SLOW = [pytest.param(effort, marks=pytest.mark.slow) for effort in (2, 3)]
EFFORTS = ["fast", 0, 1, *SLOW]
TUNING_STEPS = 300
TUNING_GAIN = 0.008
"""Share of the bytes that so many steps save at least, against one, on the archives' volume."""


def random_weights(weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Weights as large as before, without any relation to each other."""
    largest = int(np.abs(weights.astype(int)).mean()) + 1
    return rng.integers(-largest, largest + 1, weights.shape)


def four_bits(weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Weights rounded towards zero to 4 bits of their 8."""
    del rng
    return np.trunc(weights / 16) * 16


def permuted(weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same weights, each row's in another order."""
    return rng.permuted(weights, axis=1)


def spoiled(name: str, spoil) -> Model:
    model = model_file.load(name).model
    rng = np.random.default_rng(0)
    weights = tuple(spoil(layer, rng).astype(np.int8) for layer in model.network.weights)
    return Model(model.architecture, IntegerNetwork(weights, model.network.biases))


def test_every_case_has_a_committed_size():
    coded = {(volume, model) for volume in VOLUMES for model in quality_cases.MODELS}
    archives = {("archive", f"effort {effort}") for effort in ("fast", 0, 1, 2, 3)}
    assert set(SIZES) == coded | archives


@pytest.mark.parametrize("name", quality_cases.MODELS)
@pytest.mark.parametrize("volume", VOLUMES)
def test_sizes_by_shipped_networks(volume, name):
    found = quality_cases.payload_bytes(VOLUMES[volume], model_file.load(name).model)
    assert SIZES[volume, name].allows(found), (found, SIZES[volume, name])


@pytest.mark.parametrize("effort", EFFORTS)
def test_sizes_by_effort(effort):
    found = quality_cases.archive_bytes(effort)
    expected = SIZES["archive", f"effort {effort}"]
    assert expected.allows(found), (found, expected)


@pytest.mark.parametrize("spoil", [random_weights, four_bits, permuted])
@pytest.mark.parametrize("name", quality_cases.MODELS)
@pytest.mark.parametrize("volume", ["isotropic", "anisotropic"])
def test_a_spoiled_network_is_caught(volume, name, spoil):
    found = quality_cases.payload_bytes(VOLUMES[volume], spoiled(name, spoil))
    assert found > SIZES[volume, name].size_bytes
    assert not SIZES[volume, name].allows(found)


def test_a_size_has_to_be_within_its_tolerance():
    size = quality_cases.Size("v", "c", 1000, 0.002)
    assert [size.allows(n) for n in (997, 998, 1000, 1002, 1003)] == [0, 1, 1, 1, 0]


def test_tuning_improves_on_its_start():
    fitted = quality_cases.archive_bytes(1, 1)
    tuned = quality_cases.archive_bytes(1, TUNING_STEPS)
    assert tuned < (1 - TUNING_GAIN) * fitted
