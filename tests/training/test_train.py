"""Training: it lowers the bits really spent, repeats itself, and survives strange data."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models_for_tests import random_network, strange_blocks

from jaxslice.bench.synthetic import synthetic_volume
from jaxslice.codec.architecture import Architecture
from jaxslice.codec.block import encode_block
from jaxslice.codec.march import OUTSIDE
from jaxslice.codec.network import Model, prove
from jaxslice.core.errors import TrainingWarning, UsageError
from jaxslice.training import train, training_set
from jaxslice.training.parameters import to_integers, to_params

TINY = Architecture(
    context=((0, 0, -1), (0, -1, 0), (0, -1, 1), (0, -1, -1), (-1, 0, 0), (-1, 0, 1)),
    activity_count=4,
    fallback=4,
    hidden=(8,),
    components=2,
)
CONFIG = train.TrainingConfig(steps=200, batch_voxels=1024)
SHAPE = (6, 32, 32)
OVERHEAD = 8 * (24 + 32 * 4 + 33) / (6 * 32 * 32)
"""Bits per voxel of a block's frame and of the state that each of the 32 lanes starts from."""


@pytest.fixture(scope="module")
def block():
    return synthetic_volume(SHAPE, seed=2)


def _bits(network, block) -> float:
    return 8 * len(encode_block(block, Model(TINY, network))) / block.size


def _equal(first, second) -> bool:
    return all(
        np.array_equal(a, b)
        for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    )


@pytest.mark.parametrize(
    ("steps", "warmup"), [(4000, 100), (300, 100), (50, 0), (5, 100), (1, 100)]
)
def test_the_learning_rate_rises_linearly_and_falls_along_half_a_cosine(steps, warmup):
    config = train.TrainingConfig(steps=steps, warmup_steps=warmup, learning_rate=0.02)
    step = np.arange(steps + 3)
    rates = jax.vmap(lambda step: train.learning_rate_at(step, config))(step)
    rise = min(warmup, max(steps // 10, 1))
    done = np.clip((step - rise) / max(steps - rise, 1), 0, 1)
    expected = np.where(step < rise, step / max(rise, 1), (1 + np.cos(np.pi * done)) / 2)
    np.testing.assert_allclose(rates, 0.02 * expected, rtol=1e-5, atol=1e-8)


def test_one_program_serves_trainings_of_any_length(block):
    data = training_set.prepare([block], TINY)
    train.train_network(data, TINY, dataclasses.replace(CONFIG, steps=CONFIG.steps_per_call))
    size = train._train_some._cache_size()
    train.train_network(data, TINY, dataclasses.replace(CONFIG, steps=CONFIG.steps_per_call + 1))
    assert train._train_some._cache_size() == size


def test_training_lowers_the_coded_bits_and_predicts_them(block):
    reports = []
    data = training_set.prepare([block], TINY)
    one_call = dataclasses.replace(CONFIG, steps=CONFIG.steps_per_call, learning_rate=0.0)
    untrained = train.train_network(data, TINY, one_call)
    trained = train.train_network(data, TINY, CONFIG, 0, lambda *now: reports.append(now))
    prove(trained, TINY)
    assert _bits(trained, block) < _bits(untrained, block) - 0.3
    assert [step for step, _ in reports] == [50, 100, 150, 200]
    assert _bits(trained, block) == pytest.approx(reports[-1][1] + OVERHEAD, rel=0.03)


def test_training_repeats_itself(block):
    data = training_set.prepare([block], TINY)
    short = dataclasses.replace(CONFIG, steps=50)
    first, again, other = (train.train_network(data, TINY, short, seed) for seed in (5, 5, 6))
    assert _equal(first, again)
    assert not _equal(first, other)


def test_integers_become_parameters_and_come_back():
    network = random_network(TINY, seed=4, spread=127)
    assert _equal(to_integers(to_params(network), TINY), network)


def test_training_goes_on_from_a_network(block):
    data = training_set.prepare([block], TINY)
    trained = train.train_network(data, TINY, CONFIG)
    still = dataclasses.replace(CONFIG, steps=50, learning_rate=0.0)
    assert _equal(train.train_network(data, TINY, still, start=trained), trained)
    reports = []
    gentle = dataclasses.replace(CONFIG, steps=50, learning_rate=1e-3)
    train.train_network(data, TINY, gentle, 1, lambda *now: reports.append(now), start=trained)
    assert reports[0][1] == pytest.approx(_bits(trained, block) - OVERHEAD, rel=0.03)


@pytest.mark.parametrize("kind", strange_blocks(SHAPE))
def test_strange_data_give_finite_networks(kind):
    config = dataclasses.replace(CONFIG, steps=100, learning_rate=0.05)
    losses = []
    data = training_set.prepare([strange_blocks(SHAPE)[kind]], TINY)
    network = train.train_network(data, TINY, config, 0, lambda _, bits: losses.append(bits))
    prove(network, TINY)
    assert len(losses) == 2
    assert np.isfinite(losses).all()


def test_a_diverged_step_is_not_used(block, monkeypatch):
    real, calls = train._train_some, []

    def diverges_later(state, *args, **kwargs):
        state, loss = real(state, *args, **kwargs)
        calls.append(state)
        if len(calls) == 3:
            state = state._replace(params=jax.tree.map(lambda p: p * jnp.nan, state.params))
        return state, loss

    monkeypatch.setattr(train, "_train_some", diverges_later)
    monkeypatch.setattr(train, "basis_of", lambda sums: np.eye(len(sums) - 2, dtype=np.float32))
    with pytest.warns(TrainingWarning, match="diverged"):
        network = train.train_network(training_set.prepare([block], TINY), TINY, CONFIG)
    assert len(calls) == 3
    assert _equal(network, to_integers(calls[1].params, TINY))


def test_samples_are_voxels_with_their_context(block):
    smaller = block[:4, :20, :25]
    data = training_set.prepare([block, smaller], TINY)
    contexts, symbol, limit = training_set.sample(jax.random.key(3), data, TINY, 4096)
    hit = np.asarray(symbol) != OUTSIDE
    # Rows are 32 voxels long, of which the smaller block has 25.
    assert 0.8 < hit.mean() < 0.97
    assert np.asarray(limit)[hit].min() > 1
    seen = _voxels_with_context(np.asarray(data.symbols), TINY)
    drawn = np.asarray(contexts).astype(int).T
    for around, value in list(zip(drawn, np.asarray(symbol), strict=True))[::7]:
        if value != OUTSIDE:
            assert (*map(int, around), int(value)) in seen


def _voxels_with_context(padded: np.ndarray, architecture: Architecture) -> set:
    """Every voxel of a padded array after the values of its context, by brute force."""
    seen = set()
    for b, z, y, x in zip(*np.nonzero(padded != OUTSIDE), strict=True):
        around = (padded[b, z + dz, y + dy, x + dx] for dz, dy, dx in architecture.context)
        seen.add((*map(int, around), int(padded[b, z, y, x])))
    return seen


def test_every_voxel_is_drawn_and_those_at_borders_nearly_as_often():
    width = 100
    block = np.broadcast_to(np.arange(width, dtype=np.uint8), (1, 2, width))
    data = training_set.prepare([block], TINY)
    _, symbol, _ = training_set.sample(jax.random.key(0), data, TINY, 1 << 18)
    counts = np.bincount(np.asarray(symbol), minlength=width)
    assert counts.min() > 0.3 * counts.mean()
    assert counts.max() < 1.5 * counts.mean()


def test_leading_slices_are_context_but_never_drawn():
    block = np.zeros((3, 4, 8), np.uint8) + np.array([10, 20, 30], np.uint8)[:, None, None]
    block[:, 0, 0] += 1
    key = jax.random.key(0)
    data = training_set.prepare([block], TINY, leads=[1])
    assert tuple(data.extents[0]) == (2, 4, 8)
    contexts, symbol, _ = training_set.sample(key, data, TINY, 4096)
    assert np.asarray(contexts)[4].min() >= 0, "the slice before is always there"
    # The same rows of the same slices, but for the context.
    without = training_set.prepare([block[1:]], TINY)
    contexts, again, _ = training_set.sample(key, without, TINY, 4096)
    assert (np.asarray(contexts)[4] < 0).any()
    np.testing.assert_array_equal(symbol, again)


def test_a_penalty_keeps_parameters_where_they_were(block):
    """The larger it is, the fewer parameters leave; without one, all do."""
    data = training_set.prepare([block], TINY)
    start = train.train_network(data, TINY, CONFIG)
    moved = []
    for penalty in (0.0, 1e-2, 1e3):
        config = dataclasses.replace(CONFIG, penalty=penalty)
        after = train.train_network(data, TINY, config, 1, start=start)
        pairs = zip(jax.tree.leaves(after), jax.tree.leaves(start), strict=True)
        moved.append(sum(int(np.sum(a != b)) for a, b in pairs))
    assert moved[0] > 0.5 * TINY.num_params
    assert 0 < moved[1] < 0.7 * moved[0]
    assert moved[2] == 0


def test_many_networks_train_at_once_by_vmap(block):
    """train_step is pure: several networks on several blocks are one vmap away."""
    config = dataclasses.replace(CONFIG, steps=4, batch_voxels=256)
    sets = [training_set.prepare([part], TINY) for part in (block, 255 - block, block[::-1])]
    data = jax.tree.map(lambda *leaves: jnp.stack(leaves), *sets)
    keys = jax.random.split(jax.random.key(0), 3)
    init = lambda key: train.initial_state(train.random_params(key, TINY), config)
    step = lambda state, key, data: train.train_step(state, key, data, TINY, config)
    states = jax.vmap(init)(keys)
    together, losses = jax.jit(jax.vmap(step))(states, keys, data)
    assert losses.shape == (3,)
    alone, loss = jax.jit(step)(init(keys[1]), keys[1], jax.device_put(sets[1]))
    np.testing.assert_allclose(losses[1], loss, rtol=1e-4)
    for one, many in zip(jax.tree.leaves(alone), jax.tree.leaves(together), strict=True):
        np.testing.assert_allclose(one, many[1], rtol=2e-2, atol=2e-4)


def test_nothing_to_train_on():
    with pytest.raises(UsageError, match="no blocks"):
        training_set.prepare([], TINY)
