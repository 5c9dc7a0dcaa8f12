"""Coordinates to train in: the same networks, reached sooner."""

import dataclasses

import jax
import numpy as np
import pytest
from models_for_tests import TINY, random_network, strange_blocks

from jaxslice.bench.synthetic import synthetic_volume
from jaxslice.training import moments, precondition, train
from jaxslice.training.parameters import to_integers, to_params
from jaxslice.training.training_set import prepare

SHAPE = (6, 32, 32)


def _basis(block: np.ndarray) -> np.ndarray:
    return precondition.basis_of(moments.moments(prepare([block], TINY), [0], TINY, 8192))


@pytest.mark.parametrize("kind", strange_blocks(SHAPE))
def test_there_and_back(kind):
    basis, network = _basis(strange_blocks(SHAPE)[kind]), random_network(TINY, seed=1)
    assert np.isfinite(basis).all()
    np.testing.assert_allclose(basis, basis.T, atol=1e-5)
    params = to_params(network)
    back = precondition.from_coordinates(precondition.to_coordinates(params, basis), basis)
    for got, want in zip(*(jax.tree.leaves(tree) for tree in (back, params)), strict=True):
        np.testing.assert_allclose(got, want, atol=1e-4)
    for got, want in zip(to_integers(back, TINY).weights, network.weights, strict=True):
        np.testing.assert_array_equal(got, want)


def test_inputs_are_less_alike_than_before():
    sums = moments.moments(prepare([synthetic_volume(SHAPE)], TINY), [0], TINY, 8192)
    basis = precondition.basis_of(sums)
    before, after = np.linalg.cond(sums[:-2, :-2]), np.linalg.cond(basis @ sums[:-2, :-2] @ basis)
    assert after < before / 10


def test_a_start_is_kept_where_nothing_is_learnt():
    network = random_network(TINY, seed=1)
    still = dataclasses.replace(train.TrainingConfig(steps=50, batch_voxels=512), learning_rate=0)
    data = prepare([synthetic_volume(SHAPE)], TINY)
    same = train.train_network(data, TINY, still, start=network)
    for got, want in zip(jax.tree.leaves(same), jax.tree.leaves(network), strict=True):
        np.testing.assert_array_equal(got, want)
