"""Training: it lowers the bits really spent, repeats itself, and survives strange data."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxslice import train
from jaxslice.block import Model, encode_block
from jaxslice.config import Architecture
from jaxslice.errors import UsageError
from jaxslice.integer import prove
from jaxslice.march import OUTSIDE
from jaxslice.synthetic import synthetic_volume

TINY = Architecture(
    context=((0, 0, -1), (0, -1, 0), (0, -1, 1), (0, -1, -1), (-1, 0, 0), (-1, 0, 1)),
    activity_count=4,
    fallback=4,
    hidden=(8,),
    components=2,
)
CONFIG = train.TrainingConfig(steps=200, batch_voxels=1024)
SHAPE = (6, 32, 32)


@pytest.fixture(scope="module")
def block():
    return synthetic_volume(SHAPE, seed=2)


def _bits(network, block) -> float:
    return 8 * len(encode_block(block, Model(TINY, network))) / block.size


def test_training_lowers_the_coded_bits_and_predicts_them(block):
    told = []
    one_call = dataclasses.replace(CONFIG, steps=CONFIG.steps_per_call, learning_rate=0.0)
    untrained = train.train_network([block], TINY, one_call)
    trained = train.train_network([block], TINY, CONFIG, 0, lambda *now: told.append(now))
    prove(trained, TINY)
    assert _bits(trained, block) < _bits(untrained, block) - 0.3
    assert [step for step, _ in told] == [50, 100, 150, 200]
    # 24 bytes of frame, 4 bytes of state that each of the 32 lanes starts from.
    overhead = 8 * (24 + 32 * 4 + 33) / block.size
    assert _bits(trained, block) == pytest.approx(told[-1][1] + overhead, rel=0.03)


def test_training_repeats_itself(block):
    short = dataclasses.replace(CONFIG, steps=50)
    first, again, other = (train.train_network([block], TINY, short, seed) for seed in (5, 5, 6))
    same = jax.tree.map(lambda a, b: bool((a == b).all()), first, again)
    assert all(jax.tree.leaves(same))
    assert not all((a == b).all() for a, b in zip(first.weights, other.weights, strict=True))


@pytest.mark.parametrize("kind", ["black", "saturated", "two levels", "comb", "half black", "lost"])
def test_strange_data_give_finite_networks(kind):
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 256, SHAPE, dtype=np.uint8)
    block = {
        "black": np.zeros(SHAPE, np.uint8),
        "saturated": np.maximum(noise, 250),
        "two levels": np.where(noise > 128, 255, 0).astype(np.uint8),
        "comb": noise // 4 * 4,
        "half black": np.where(np.arange(32) < 16, 0, noise).astype(np.uint8),
        "lost": np.where(np.arange(6)[:, None, None] % 2, 0, noise).astype(np.uint8),
    }[kind]
    config = dataclasses.replace(CONFIG, steps=100, learning_rate=0.05)
    losses = []
    network = train.train_network([block], TINY, config, 0, lambda _, bits: losses.append(bits))
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
    network = train.train_network([block], TINY, CONFIG)
    assert len(calls) == 3
    expected = train.to_integers(calls[1].params, TINY)
    for got, want in zip(jax.tree.leaves(network), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(got, want)


def test_samples_are_voxels_with_their_context(block):
    smaller = block[:4, :20, :25]
    data = train.prepare([block, smaller], TINY)
    contexts, symbol, limit = train.sample(jax.random.key(3), data, TINY, 4096)
    hit = np.asarray(symbol) != OUTSIDE
    assert 0.4 < hit.mean() < 1.0
    assert np.asarray(limit)[hit].min() > 1
    # Every context must occur in a block: look the rarest up by brute force.
    padded = np.asarray(data.symbols).astype(np.int32)
    reach = np.asarray(data.border)
    seen = set()
    for b in range(2):
        inner = padded[(b, *(slice(n, -n if n else None) for n in reach))]
        for z, y, x in zip(*np.nonzero(inner != OUTSIDE), strict=True):
            place = (z + reach[0], y + reach[1], x + reach[2])
            around = tuple(
                int(padded[b, place[0] + dz, place[1] + dy, place[2] + dx])
                for dz, dy, dx in TINY.context
            )
            seen.add((*around, int(inner[z, y, x])))
    drawn = np.asarray(contexts).astype(int).T
    for around, value in list(zip(drawn, np.asarray(symbol), strict=True))[:500]:
        if value != OUTSIDE:
            assert (*map(int, around), int(value)) in seen


def test_many_networks_train_at_once_by_vmap(block):
    """train_step is pure: several networks on several blocks are one vmap away."""
    config = dataclasses.replace(CONFIG, steps=4, batch_voxels=256)
    sets = [train.prepare([part], TINY) for part in (block, 255 - block, block[::-1])]
    data = jax.tree.map(lambda *leaves: jnp.stack(leaves), *sets)
    keys = jax.random.split(jax.random.key(0), 3)
    init = lambda key: train.initial_state(key, TINY, config)
    step = lambda state, key, data: train.train_step(state, key, data, TINY, config)
    states = jax.vmap(init)(keys)
    together, losses = jax.jit(jax.vmap(step))(states, keys, data)
    assert losses.shape == (3,)
    alone, loss = jax.jit(step)(init(keys[1]), keys[1], sets[1])
    np.testing.assert_allclose(losses[1], loss, rtol=1e-4)
    for one, many in zip(jax.tree.leaves(alone), jax.tree.leaves(together), strict=True):
        np.testing.assert_allclose(one, many[1], rtol=2e-2, atol=2e-4)


def test_nothing_to_train_on():
    with pytest.raises(UsageError, match="no blocks"):
        train.prepare([], TINY)
