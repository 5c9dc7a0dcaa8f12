"""Networks of blocks' own, trained: each on its block alone, on any number of devices."""

import dataclasses
import os
import subprocess
import sys
import threading
from pathlib import Path

import jax
import numpy as np
import pytest
from models_for_tests import TINY, random_network, strange_blocks

from jaxslice.bench.synthetic import synthetic_volume
from jaxslice.codec import network_difference
from jaxslice.codec.block import encode_blocks
from jaxslice.codec.network import Model, prove
from jaxslice.training import block_networks
from jaxslice.training.config import TrainingConfig

SHAPE = (6, 32, 32)
CONFIG = TrainingConfig(steps=20, batch_voxels=512, steps_per_call=10, learning_rate=0.01)
BASE = random_network(TINY, seed=2, spread=2)


def _blocks(count: int) -> list[np.ndarray]:
    return [synthetic_volume(SHAPE, seed=seed) for seed in range(count)]


def _train(blocks, config=CONFIG, seeds=None, stop=None):
    seeds = seeds or list(range(len(blocks)))
    devices = jax.local_devices()
    return block_networks.train_block_networks(blocks, BASE, TINY, config, seeds, devices, stop)


def test_a_network_of_its_own_makes_a_block_smaller():
    blocks = _blocks(2)
    own = _train(blocks, dataclasses.replace(CONFIG, steps=100))
    model = Model(TINY, BASE)
    without, with_own = encode_blocks(blocks, model), encode_blocks(blocks, model, differences=own)
    for before, after, data in zip(without, with_own, own, strict=True):
        prove(network_difference.decode(data, BASE, TINY), TINY)
        assert len(after) < 0.95 * len(before)


def test_a_block_does_not_know_the_others():
    first, second = _blocks(2)
    together = _train([first, second], seeds=[7, 8])
    assert _train([first], seeds=[7]) == together[:1]
    assert _train([second], seeds=[8]) == together[1:]
    assert _train([first], seeds=[8]) != together[:1]


@pytest.mark.parametrize("kind", strange_blocks(SHAPE))
def test_strange_data_give_networks_that_code(kind):
    block = strange_blocks(SHAPE)[kind]
    own = _train([block], dataclasses.replace(CONFIG, learning_rate=0.1))
    assert len(own) == 1
    if kind == "black":
        assert own == [None], "there is nothing to learn from"
    if own[0] is not None:
        prove(network_difference.decode(own[0], BASE, TINY), TINY)
        encode_blocks([block], Model(TINY, BASE), differences=own)


def test_a_network_that_diverged_is_not_used():
    assert _train(_blocks(2), dataclasses.replace(CONFIG, learning_rate=float("nan"))) == [None] * 2


def test_training_that_is_stopped_ends_at_once():
    stop = threading.Event()
    stop.set()
    endless = dataclasses.replace(CONFIG, steps=10**9)
    assert _train(_blocks(1), endless, stop=stop) == [None]


PROGRAM = """
import sys, jax
sys.path[:0] = [sys.argv[1], sys.argv[1] + "/training"]
import test_block_training as tests
assert len(jax.local_devices()) == int(sys.argv[2]), jax.local_devices()
for data in tests._train(tests._blocks(5)):
    print(data.hex())
"""


def test_eight_devices_give_the_bytes_of_one():
    """Blocks are sharded over a mesh; three of the eight devices have nothing of use to do."""
    found = []
    for count in (1, 8):
        flags = f"--xla_force_host_platform_device_count={count}"
        result = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(Path(__file__).parents[1]), str(count)],
            env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
            capture_output=True,
            text=True,
            check=True,
        )
        found.append(result.stdout.split())
    assert len(found[0]) == 5
    assert len(set(found[0])) == 5
    assert found[0] == found[1]
