"""Adapting without training: least squares, what it is for, and that nothing breaks it."""

import jax.numpy as jnp
import numpy as np
import pytest
from models_for_tests import EARLIER, TINY, random_network, strange_blocks

from jaxslice.bench.synthetic import synthetic_volume
from jaxslice.codec.network import prove
from jaxslice.models.adaptation import NUM_TRAITS, Adaptation
from jaxslice.training import closed_form, moments
from jaxslice.training.closed_form import LINEAR_UNITS
from jaxslice.training.parameters import to_integers, to_params
from jaxslice.training.training_set import prepare

SHAPE = (6, 32, 32)
CONTEXT = len(TINY.context)


def _sums(*blocks: np.ndarray, architecture=TINY) -> np.ndarray:
    return moments.moments(prepare(list(blocks), architecture), [0], architecture, 1 << 14)


def _autoregressive(coefficients: dict[tuple[int, int, int], float], seed: int = 0) -> np.ndarray:
    """Voxels that depend on others before them by known coefficients, but for some noise."""
    values = 20 * np.random.default_rng(seed).normal(size=(10, 44, 44))
    for z in range(2, 10):
        for y in range(2, 44):
            for x in range(2, 42):
                values[z, y, x] += sum(
                    share * values[z + dz, y + dy, x + dx]
                    for (dz, dy, dx), share in coefficients.items()
                )
    return np.clip(np.rint(values[2:, 6:-2, 6:-2] + 128), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    "coefficients",
    [
        {(0, 0, -1): 0.8},
        {(0, 0, -1): 0.6, (0, -1, 0): 0.5, (0, -1, -1): -0.3},
        {(-1, 0, 0): 0.7, (0, 0, -2): 0.2},
    ],
    ids=["along x", "a plane", "the slice before"],
)
def test_finds_how_voxels_depend_on_others(coefficients):
    fit = closed_form.linear_fit(_sums(_autoregressive(coefficients)), TINY)
    found = dict(zip(TINY.context, fit.weights, strict=False))
    # The reference is part of every difference, so what the four nearest share is not unique:
    # what the prediction makes of a step in one voxel is.
    shares = dict(zip(TINY.context[:4], (3 / 8, 3 / 8, 1 / 8, 1 / 8), strict=True))
    rest = 1 - sum(fit.weights[:CONTEXT])
    for offset, weight in found.items():
        effect = weight + rest * shares.get(offset, 0.0)
        assert effect == pytest.approx(coefficients.get(offset, 0.0), abs=0.12), offset


def test_sums_of_parts_add_up_to_those_of_the_whole():
    blocks = [synthetic_volume(SHAPE, seed=seed) for seed in (1, 2)]
    both, first, second = _sums(*blocks), _sums(blocks[0]), _sums(blocks[1])
    share = both[-2, -2] / (first + second)[-2, -2]
    np.testing.assert_allclose(both, share * (first + second), rtol=0.1, atol=0.02 * both.max())


def test_traits_tell_volumes_apart():
    smooth, rough = (
        closed_form.linear_fit(_sums(volume), TINY).traits
        for volume in (
            synthetic_volume(SHAPE, seed=1),
            np.random.default_rng(0).integers(0, 256, SHAPE, np.uint8),
        )
    )
    assert smooth.shape == rough.shape == (NUM_TRAITS,)
    assert np.abs(smooth - rough).max() > 0.3


def _adaptation(center, scale=1.0):
    generator = np.random.default_rng(4)
    maps = tuple(generator.normal(0, scale, (units, NUM_TRAITS)) for units in TINY.hidden)
    return Adaptation(np.asarray(center, np.float32), tuple(m.astype(np.float32) for m in maps))


def test_the_linear_prediction_and_its_negative_are_in_place():
    network = random_network(TINY, seed=1)
    fit = closed_form.linear_fit(_sums(synthetic_volume(SHAPE)), TINY)
    made = to_integers(closed_form.adapted(to_params(network), _adaptation(fit.traits), fit), TINY)
    plus, minus = made.weights[0][-LINEAR_UNITS:].astype(int)
    np.testing.assert_array_equal(plus, np.rint(64 * fit.weights))
    np.testing.assert_array_equal(plus, -minus)
    assert made.biases[0][-2] == -made.biases[0][-1] == np.rint(4096 * fit.bias)
    # At the center of the traits nothing else moves.
    for got, want in zip(made.weights[1:], network.weights[1:], strict=True):
        np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(made.biases[0][:-LINEAR_UNITS], network.biases[0][:-LINEAR_UNITS])


def test_jax_adapts_as_numpy_does():
    params, moves = to_params(random_network(TINY, seed=1)), _adaptation(np.zeros(NUM_TRAITS), 0.1)
    fit = closed_form.linear_fit(_sums(synthetic_volume(SHAPE)), TINY)
    by_numpy, by_jax = (closed_form.adapted(params, moves, fit, n)["params"] for n in (np, jnp))
    assert by_numpy.keys() == by_jax.keys()
    for name, value in by_numpy.items():
        np.testing.assert_allclose(by_jax[name], value, atol=1e-5)


def test_biases_follow_the_traits():
    network, moves = random_network(TINY, seed=1), _adaptation(np.zeros(NUM_TRAITS), 0.1)
    fit = closed_form.linear_fit(_sums(synthetic_volume(SHAPE)), TINY)
    made = to_integers(closed_form.adapted(to_params(network), moves, fit), TINY)
    moved = (made.biases[0] - network.biases[0])[:-LINEAR_UNITS]
    expected = 4096 * (moves.maps[0] @ fit.traits)[:-LINEAR_UNITS]
    np.testing.assert_allclose(moved, expected, atol=1)


def test_architectures_that_cannot_adapt_are_left_as_they_are():
    assert closed_form.can_adapt(TINY)
    assert not closed_form.can_adapt(EARLIER)
    none, params = closed_form.no_adaptation(EARLIER), to_params(random_network(EARLIER, seed=0))
    assert none.maps == ()
    fit = closed_form.linear_fit(_sums(synthetic_volume(SHAPE), architecture=EARLIER), EARLIER)
    assert closed_form.adapted(params, none, fit) is params


@pytest.mark.parametrize("kind", strange_blocks(SHAPE))
def test_strange_data_give_sound_networks(kind):
    data = prepare([strange_blocks(SHAPE)[kind]], TINY)
    moves = _adaptation(np.zeros(NUM_TRAITS), 30.0)
    made = closed_form.adapt(random_network(TINY, seed=1), moves, data, TINY)
    prove(made, TINY)
