"""Natural gradient descent pays, is repeatable, and gives sound networks whatever the data."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from models_for_tests import TINY, random_network, strange_blocks
from threadpoolctl import threadpool_limits

from jaxslice.bench.synthetic import synthetic_volume
from jaxslice.codec.network import prove
from jaxslice.codec.network_bytes import pack_coded
from jaxslice.training import batch
from jaxslice.training.evaluate import best_of, mean_bits
from jaxslice.training.natural_gradient import descend
from jaxslice.training.training_set import prepare

SHAPE = (6, 32, 32)
START = random_network(TINY, seed=3, spread=2)


@pytest.fixture(scope="module")
def data():
    return prepare([synthetic_volume(SHAPE, seed=2)], TINY)


def test_it_saves_bits(data):
    found = descend(START, data, TINY, steps=40)
    before, *after = mean_bits([START, *found], data, TINY)
    assert min(after) < before - 0.5
    best = best_of([START, *found], data, TINY)
    assert best.bits == min(after)
    assert best.gain == pytest.approx(before - min(after))


def test_archives_hold_what_was_fitted(data):
    for network in descend(START, data, TINY, steps=3):
        _, rounded = pack_coded(network, TINY)
        for got, want in zip((*rounded.weights, *rounded.biases), sum(network, ()), strict=True):
            np.testing.assert_array_equal(got, want)


def test_the_same_seed_gives_the_same_network(data):
    first, same, other = (
        descend(START, data, TINY, steps=5, seed=seed)[0].weights[0] for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()


def test_any_number_of_cores_gives_the_same_network(data, monkeypatch):
    found = []
    for cores in (1, 3):
        with ThreadPoolExecutor(cores) as threads, threadpool_limits(1, user_api="blas"):
            monkeypatch.setattr(batch, "_threads", lambda pool=threads: pool)
            found.append(descend(START, data, TINY, steps=4))
    for one, three in zip(*found, strict=True):
        for a, b in zip((*one.weights, *one.biases), (*three.weights, *three.biases), strict=True):
            np.testing.assert_array_equal(a, b)


def test_progress(data):
    calls = []
    descend(START, data, TINY, steps=3, on_progress=lambda *call: calls.append(call))
    assert [step for step, _ in calls] == [1, 2, 3]
    assert calls[0][1] > calls[-1][1] > 0


@pytest.mark.parametrize("kind", strange_blocks(SHAPE))
def test_strange_data_give_sound_networks(kind):
    data = prepare([strange_blocks(SHAPE)[kind]], TINY)
    found = descend(START, data, TINY, steps=8)
    for network in found:
        prove(network, TINY)
    assert np.isfinite(mean_bits(found, data, TINY)).all()
