"""Tuning: measured by the coder's integers, and never for the worse."""

import dataclasses
from contextlib import nullcontext

import jax
import numpy as np
import pytest
from models_for_tests import TINY, random_network, strange_blocks

from jaxslice.bench.synthetic import synthetic_volume
from jaxslice.codec.block import encode_block
from jaxslice.codec.network import Model
from jaxslice.core.errors import TrainingWarning
from jaxslice.training import evaluate, fine_tune
from jaxslice.training.config import TrainingConfig
from jaxslice.training.train import train_network
from jaxslice.training.training_set import prepare

CONFIG = TrainingConfig(steps=100, batch_voxels=1024)
SHAPE = (24, 32, 32)
FRAME_BYTES = 50 + 32 * 6 + 33


@pytest.fixture(scope="module")
def block():
    return synthetic_volume(SHAPE, seed=2)


def _bits(network, block) -> float:
    """Bits per voxel of the message alone."""
    size = len(encode_block(block, Model(TINY, network)))
    return 8 * (size - FRAME_BYTES) / block.size


def _trained(block, steps: int):
    return train_network(prepare([block], TINY), TINY, dataclasses.replace(CONFIG, steps=steps))


@pytest.mark.parametrize("steps", [50, 200])
def test_mean_bits_are_those_of_the_coder(block, steps):
    network = _trained(block, steps)
    (bits,) = evaluate.mean_bits([network], prepare([block], TINY), TINY)
    assert bits == pytest.approx(_bits(network, block), rel=0.01)


def test_tuning_gains_what_it_says(block):
    start = _trained(block, 50)
    tuned = fine_tune.tune_network(prepare([block], TINY), start, TINY, CONFIG)
    assert tuned.gain > 0.1
    assert _bits(start, block) - _bits(tuned.network, block) == pytest.approx(tuned.gain, abs=0.03)


@pytest.mark.parametrize("learning_rate", [3.0, float("nan")], ids=["worse", "diverged"])
def test_a_network_that_is_no_better_is_not_used(block, learning_rate):
    start = _trained(block, 200)
    wild = dataclasses.replace(CONFIG, learning_rate=learning_rate)
    expected = (
        nullcontext() if learning_rate == 3 else pytest.warns(TrainingWarning, match="diverged")
    )
    with expected:
        tuned = fine_tune.tune_network(prepare([block], TINY), start, TINY, wild)
    assert tuned.network is start
    assert tuned.gain == 0


@pytest.mark.parametrize("kind", strange_blocks(SHAPE))
def test_strange_data_never_make_it_worse(kind):
    block = strange_blocks(SHAPE)[kind]
    start = random_network(TINY, seed=3, spread=2)
    config = dataclasses.replace(CONFIG, steps=50, learning_rate=0.05)
    tuned = fine_tune.tune_network(prepare([block], TINY), start, TINY, config)
    assert np.isfinite(tuned.gain)
    assert tuned.gain >= 0
    sizes = [len(encode_block(block, Model(TINY, n))) for n in (start, tuned.network)]
    assert sizes[1] <= sizes[0] + 8
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(tuned.network))
