"""Fisher scoring: the gradient is the loss's, steps pay, and nothing breaks it."""

import jax
import numpy as np
import pytest
from models_for_tests import TINY, random_network, strange_blocks

from jaxslice import scoring
from jaxslice.compare import Better, better_of, exact_bits
from jaxslice.integer import prove
from jaxslice.params import to_params
from jaxslice.synthetic import synthetic_volume
from jaxslice.train import TrainingConfig, loss_of, train_network
from jaxslice.training_set import prepare, sample

SHAPE = (6, 32, 32)


@pytest.fixture(scope="module")
def data():
    return jax.device_put(prepare([synthetic_volume(SHAPE, seed=2)], TINY))


@pytest.fixture(scope="module")
def trained(data):
    return train_network(data, TINY, TrainingConfig(steps=50, batch_voxels=1024))


def test_the_gradient_is_that_of_the_loss(data, trained, monkeypatch):
    monkeypatch.setattr(scoring, "SCORED_VOXELS", scoring._AT_ONCE)
    scoring._curvature.clear_cache()
    key, params = jax.random.key(1), to_params(trained)
    gradient, fisher = scoring._curvature(params, data, key, TINY)
    batch = sample(jax.random.fold_in(key, 0), data, TINY, scoring._AT_ONCE)
    whole = jax.grad(lambda p: loss_of(p, TINY, *batch) * np.log(2))(params)["params"]
    expected = np.concatenate([np.ravel(part) for part in scoring._parts(whole, TINY).values()])
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())
    scoring._curvature.clear_cache()
    fisher = np.asarray(fisher)
    np.testing.assert_allclose(fisher, fisher.T, rtol=1e-4, atol=1e-4 * fisher.max())
    assert np.linalg.eigvalsh(fisher)[0] > -1e-3 * np.trace(fisher)


def test_it_gains_what_it_says(data, trained):
    other = prepare(
        [np.clip(synthetic_volume(SHAPE, seed=9) * 0.5 + 90, 0, 255).astype(np.uint8)], TINY
    )
    start = better_of(trained, trained, other, TINY)
    scored = scoring.score(start, other, TINY)
    assert scored.gain > 0.01
    assert scored.bits == exact_bits(scored.network, other, TINY)
    assert start.bits - scored.bits == pytest.approx(scored.gain, abs=1e-6)
    # The first layer's weights stay.
    np.testing.assert_array_equal(scored.network.weights[0], trained.weights[0])


def test_more_damping_after_a_step_that_did_not_pay(data, trained, monkeypatch):
    used = []
    monkeypatch.setattr(scoring, "exact_bits", lambda *_: 1e9)
    real = scoring._moved
    monkeypatch.setattr(scoring, "_moved", lambda *a: (used.append(a[3]), real(*a))[1])
    start = Better(trained, 5.0, 0.0)
    assert scoring.score(start, data, TINY) is start
    assert used == sorted(used)
    assert len(used) == scoring.TRIES


@pytest.mark.parametrize("kind", strange_blocks(SHAPE))
def test_strange_data_never_make_it_worse(kind):
    block = strange_blocks(SHAPE)[kind]
    data, network = prepare([block], TINY), random_network(TINY, seed=3, spread=2)
    start = better_of(network, network, data, TINY)
    scored = scoring.score(start, data, TINY)
    assert scored.bits <= start.bits
    assert np.isfinite(scored.gain)
    prove(scored.network, TINY)
