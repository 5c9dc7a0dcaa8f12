"""Fisher scoring: the gradient is the loss's, steps pay, and nothing breaks it."""

import jax
import numpy as np
import pytest
from models_for_tests import TINY, random_network, strange_blocks

from jaxslice.bench.synthetic import synthetic_volume
from jaxslice.codec.network import prove
from jaxslice.training import fisher
from jaxslice.training.config import TrainingConfig
from jaxslice.training.evaluate import Better, better_of, exact_bits
from jaxslice.training.parameters import to_params
from jaxslice.training.train import loss_of, train_network
from jaxslice.training.training_set import prepare, sample

SHAPE = (6, 32, 32)


@pytest.fixture(scope="module")
def data():
    return jax.device_put(prepare([synthetic_volume(SHAPE, seed=2)], TINY))


@pytest.fixture(scope="module")
def trained(data):
    return train_network(data, TINY, TrainingConfig(steps=50, batch_voxels=1024))


def test_the_gradient_is_that_of_the_loss(data, trained, monkeypatch):
    monkeypatch.setattr(fisher, "SCORED_VOXELS", fisher._BATCH_VOXELS)
    fisher._curvature.clear_cache()
    key, params = jax.random.key(1), to_params(trained)
    gradient, information = fisher._curvature(params, data, key, TINY)
    batch = sample(jax.random.fold_in(key, 0), data, TINY, fisher._BATCH_VOXELS)
    whole = jax.grad(lambda p: loss_of(p, TINY, *batch) * np.log(2))(params)["params"]
    expected = np.concatenate([np.ravel(part) for part in fisher._parts(whole, TINY).values()])
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())
    fisher._curvature.clear_cache()
    information = np.asarray(information)
    np.testing.assert_allclose(information, information.T, rtol=1e-4, atol=1e-4 * information.max())
    assert np.linalg.eigvalsh(information)[0] > -1e-3 * np.trace(information)


def test_it_gains_what_it_says(data, trained):
    other = prepare(
        [np.clip(synthetic_volume(SHAPE, seed=9) * 0.5 + 90, 0, 255).astype(np.uint8)], TINY
    )
    start = better_of(trained, trained, other, TINY)
    scored = fisher.score(start, other, TINY)
    assert scored.gain > 0.01
    assert scored.bits == exact_bits(scored.network, other, TINY)
    assert start.bits - scored.bits == pytest.approx(scored.gain, abs=1e-6)
    # The first layer's weights stay.
    np.testing.assert_array_equal(scored.network.weights[0], trained.weights[0])


def test_more_damping_after_a_step_that_did_not_pay(data, trained, monkeypatch):
    used = []
    monkeypatch.setattr(fisher, "exact_bits", lambda *_: 1e9)
    real = fisher._moved
    monkeypatch.setattr(fisher, "_moved", lambda *a: (used.append(a[3]), real(*a))[1])
    start = Better(trained, 5.0, 0.0)
    assert fisher.score(start, data, TINY) is start
    assert used == sorted(used)
    assert len(used) == fisher.TRIES


@pytest.mark.parametrize("kind", strange_blocks(SHAPE))
def test_strange_data_never_make_it_worse(kind):
    block = strange_blocks(SHAPE)[kind]
    data, network = prepare([block], TINY), random_network(TINY, seed=3, spread=2)
    start = better_of(network, network, data, TINY)
    scored = fisher.score(start, data, TINY)
    assert scored.bits <= start.bits
    assert np.isfinite(scored.gain)
    prove(scored.network, TINY)
