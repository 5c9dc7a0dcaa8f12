"""The network in NumPy: its bits are the coder's, its slopes those of the float network in JAX."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models_for_tests import EARLIER, SHEARED, TINY, random_contexts, random_network

from jaxslice.codec import bins
from jaxslice.codec.curve import PRECISION
from jaxslice.codec.intervals import WideMixture, interval_of
from jaxslice.codec.mixture import mixture_of
from jaxslice.codec.network import BIAS_ONE, WEIGHT_ONE, IntegerNetwork
from jaxslice.codec.numpy_features import numpy_features_of
from jaxslice.training.batch import Batch
from jaxslice.training.float_network import CausalNetwork, bits_of
from jaxslice.training.numpy_network import bits_of_batch, layers_of, slopes_of_batch
from jaxslice.training.parameters import to_params

COUNT = 3000
ARCHITECTURES = [TINY, EARLIER, SHEARED, dataclasses.replace(TINY, voxel_bits=16)]


def _batch(architecture, seed: int = 0) -> tuple[np.ndarray, Batch]:
    """Contexts, and the same as a batch; alphabets of all sizes, with first and last symbols."""
    rng = np.random.default_rng(seed)
    contexts = random_contexts(architecture, COUNT, seed)
    limits = rng.choice([1, 2, 60, 256], COUNT).astype(np.int32)
    if architecture.is_wide:
        limits = rng.choice([1, 60, 4000, 65536], COUNT).astype(np.int32)
        contexts = np.where(contexts < 0, contexts, contexts * (limits - 1) // 255)
        contexts = contexts.astype(np.float32)
    symbols = rng.integers(0, limits)
    near = np.clip(np.maximum(contexts[0], 0) + rng.integers(-9, 10, COUNT), 0, limits - 1)
    symbols = np.where(
        rng.random(COUNT) < (1 if architecture.is_wide else 0.8), near, symbols
    ).astype(np.int32)
    features = numpy_features_of(contexts.astype(np.int32), architecture, limits)
    return contexts, Batch(features, symbols, limits)


def _only(chosen: np.ndarray, batch: Batch) -> Batch:
    features = batch.features._make(part[..., chosen] for part in batch.features)
    return Batch(features, batch.symbols[chosen], batch.limits[chosen])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_bits_are_those_of_the_coder(architecture):
    network = random_network(architecture, seed=1, spread=6)
    contexts, batch = _batch(architecture)
    symbols, limits = jnp.asarray(batch.symbols), jnp.asarray(batch.limits)
    mixture = mixture_of(network, jnp.asarray(contexts), architecture, limits)
    plain = jnp.zeros_like(symbols)
    if isinstance(mixture, WideMixture):
        plain = bins.low_bits_of(mixture.bins)
        limits = bins.count_of(mixture.bins, limits)
    _, freq = interval_of(mixture, symbols >> plain, limits)
    expected = np.asarray(plain) + PRECISION - np.log2(np.asarray(freq))
    bits = bits_of_batch(layers_of(network), batch, architecture)
    # Of intervals that are hardly wider than the least the rounding is a larger part.
    np.testing.assert_allclose(bits, expected, atol=6 if architecture.is_wide else 2)
    assert np.mean(bits) == pytest.approx(np.mean(expected), rel=2e-3)
    likely = expected - np.asarray(plain) < 6
    assert likely.sum() > COUNT / 4
    np.testing.assert_allclose(bits[likely], expected[likely], atol=0.1)


@pytest.mark.parametrize("architecture", [ARCHITECTURES[0], ARCHITECTURES[-1]])
def test_slopes_are_those_of_the_float_network(architecture):
    network = random_network(architecture, seed=1, spread=6)
    contexts, batch = _batch(architecture)
    # The float network does not resolve the far tails of 16-bit voxels.
    likely = bits_of_batch(layers_of(network), batch, architecture) < 12
    contexts, batch = contexts[:, likely], _only(likely, batch)
    assert likely.sum() > COUNT / 4

    def nats(params):
        limits = jnp.asarray(batch.limits)
        mixture = CausalNetwork(architecture).apply(params, jnp.asarray(contexts), limits)
        bits = bits_of(mixture, jnp.asarray(batch.symbols), limits)
        return bits.sum() * jnp.log(2.0)

    expected = jax.grad(nats)(to_params(network))["params"]
    slopes = slopes_of_batch(layers_of(network), batch, architecture)
    for layer, (sums, inputs) in enumerate(zip(slopes.sums, slopes.inputs, strict=True)):
        found = sums @ inputs.T
        for part, name, one in (
            (found[:, :-1], "kernel", WEIGHT_ONE),
            (found[:, -1], "bias", BIAS_ONE),
        ):
            want = np.asarray(expected[f"{name}_{layer}"])
            # A scale's slope is that of the rounded scale in one, of the smooth one in the other.
            assert np.linalg.norm(one * part - want) < 0.1 * np.linalg.norm(want)


def test_a_wrong_weight_is_noticed():
    network = random_network(TINY, seed=1, spread=6)
    _, batch = _batch(TINY)
    other = IntegerNetwork((network.weights[0] + 1, *network.weights[1:]), network.biases)
    bits, others = (bits_of_batch(layers_of(n), batch, TINY) for n in (network, other))
    assert np.abs(bits - others).max() > 0.1


def test_voxels_of_one_level_cost_nothing():
    _, batch = _batch(TINY)
    alone = batch._replace(symbols=np.zeros(COUNT, np.int32), limits=np.ones(COUNT, np.int32))
    slopes = slopes_of_batch(layers_of(random_network(TINY, seed=1)), alone, TINY)
    assert np.abs(slopes.bits).max() == 0
    assert max(np.abs(part).max() for part in slopes.sums) < 1e-6
