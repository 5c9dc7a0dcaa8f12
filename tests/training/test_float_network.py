"""The float network computes what the integers will, and its gradients are of use."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models_for_tests import EARLIER, TINY, random_contexts

from jaxslice.codec import intervals
from jaxslice.codec.architecture import Architecture
from jaxslice.codec.features import features_of
from jaxslice.codec.mixture import mixture_of
from jaxslice.codec.network import IntegerNetwork, prove, quantise
from jaxslice.training.float_network import CausalNetwork, bits_of

COUNT = 2000
LIVELY = Architecture(
    context=(*TINY.context, *((-3, dy, dx) for dy in range(2) for dx in range(3))),
    activity_count=16,
    fallback=6,
    hidden=(6,),
    components=8,
)
"""Activities that reach 2048, from where a gain is no whole number, and many components."""

ARCHITECTURES = {"tiny": TINY, "earlier": EARLIER, "lively": LIVELY}
FIELDS = intervals.Mixture._fields


def params_of(architecture: Architecture, seed: int, spread: float) -> dict:
    """The initial parameters with noise of size `spread` added."""
    network = CausalNetwork(architecture)
    contexts = jnp.zeros((len(architecture.context), 1), jnp.float32)
    params = jax.jit(network.init)(jax.random.key(seed), contexts)
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda p: p + spread * rng.normal(size=p.shape).astype(np.float32), params)


def integers_of(params: dict, architecture: Architecture) -> IntegerNetwork:
    layers, values = range(len(architecture.layer_shapes)), params["params"]
    network = quantise(
        [values[f"kernel_{index}"] for index in layers],
        [values[f"bias_{index}"] for index in layers],
    )
    prove(network, architecture)
    return network


@functools.lru_cache
def both_mixtures(name: str, spread: float) -> tuple[intervals.Mixture, intervals.Mixture]:
    """(float, integer) mixtures of one network on the same contexts."""
    architecture = ARCHITECTURES[name]
    params = params_of(architecture, 1, spread)
    contexts = jnp.asarray(random_contexts(architecture, COUNT, seed=2))
    apply = jax.jit(lambda params, contexts: CausalNetwork(architecture).apply(params, contexts))
    exact = jax.jit(mixture_of, static_argnums=2)
    return jax.device_get(
        (
            apply(params, contexts),
            exact(integers_of(params, architecture), contexts, architecture),
        )
    )


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("spread", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_float_mixture_is_the_integer_one(name, spread, field):
    smooth, exact = (getattr(mixture, field) for mixture in both_mixtures(name, spread))
    # Whole numbers below 2**24 in floats: nothing but the last share, a sum, is ever rounded.
    np.testing.assert_allclose(smooth, exact, rtol=0, atol=1e-4)


def test_contexts_of_the_comparison_reach_every_kind_of_gain():
    gains = np.asarray(
        features_of(jnp.asarray(random_contexts(LIVELY, COUNT, seed=2)), LIVELY).gain
    )
    assert gains.max() == 4096
    assert np.any(gains != np.floor(gains))


@pytest.mark.parametrize("limit", [2, 60, 256])
def test_bits_are_those_of_the_interval(limit):
    for spread in (0.0, 0.1, 0.5):
        smooth, exact = both_mixtures("tiny", spread)
        limits = jnp.full(COUNT, limit, jnp.int32)
        positions = np.random.default_rng(0).integers(0, 2**24, COUNT).astype(np.int32)
        symbols, _, freq = jax.jit(intervals.find_interval)(exact, positions, limits)
        expected = -np.log2(np.asarray(freq) / 2**24)
        got = np.asarray(jax.jit(bits_of)(smooth, symbols, limits))
        assert np.all(got >= 0)
        assert abs(got.mean() - expected.mean()) <= 0.01 * expected.mean()
        # One by one they differ as far as the integers' steps are coarse: 2**-16 in the component's
        # cumulative distribution, and 1/256 standard deviation in the distance of an edge.
        steps = 512 / np.asarray(freq) + 64 / exact.inverse_scale.min(axis=0)
        assert np.all(np.abs(got - expected) <= 0.01 + 0.01 * expected + np.log2(1 + steps))


def test_bits_of_an_alphabet_of_one_symbol_are_none():
    smooth, _ = both_mixtures("tiny", 0.1)
    zero, one = jnp.zeros(COUNT, jnp.int32), jnp.ones(COUNT, jnp.int32)
    assert set(bits_of(smooth, zero, one).tolist()) == {0.0}


def test_no_symbol_costs_more_than_its_least_width():
    # At the far end of a narrow mixture every symbol has 64 / 2**24, 18 bits.
    narrow = intervals.Mixture(*(jnp.full((1, 3), v, jnp.float32) for v in (0.0, 2.0**17, 256.0)))
    bits = bits_of(narrow, jnp.array([100, 200, 254]), jnp.full(3, 256, jnp.int32))
    np.testing.assert_allclose(bits, 18.0, atol=0.05)


def loss(params: dict, contexts: jax.Array, symbols: jax.Array, network: nn.Module) -> jax.Array:
    limits = jnp.full(len(symbols), 256, jnp.int32)
    return bits_of(network.apply(params, contexts), symbols, limits).mean()


@pytest.mark.parametrize("kind", ["random", "constant", "outside", "black"])
def test_gradients_are_finite_and_reach_the_parameters(kind):
    contexts = random_contexts(TINY, 400, seed=4)
    symbols = np.clip(np.rint(contexts[0]) + np.arange(400) % 9 - 4, 0, 255).astype(np.int32)
    if kind != "random":
        contexts[:] = {"constant": 117, "outside": -1, "black": 0}[kind]
        level = {"constant": 117, "outside": 128, "black": 0}[kind]
        symbols = level + np.arange(400, dtype=np.int32) % 3
    network = CausalNetwork(TINY)
    gradients = jax.jit(jax.grad(loss), static_argnums=3)(
        params_of(TINY, 0, 0.1), contexts, symbols, network
    )["params"]
    assert all(np.all(np.isfinite(gradient)) for gradient in jax.tree.leaves(gradients))
    # Where all neighbours agree there are no differences for the first kernel to weigh, and where
    # there are none a single input decides which hidden units take part.
    names = {
        "random": ["kernel_0", "bias_0", "kernel_1", "bias_1"],
        "constant": ["bias_0", "kernel_1", "bias_1"],
        "black": ["bias_0", "kernel_1", "bias_1"],
        "outside": ["bias_1"],
    }
    for name in names[kind]:
        assert np.any(gradients[name] != 0), name


def test_a_step_against_the_gradient_saves_bits():
    contexts = random_contexts(TINY, 400, seed=4)
    contexts = contexts[:, np.all(contexts[:4] >= 0, axis=0)]
    symbols = np.clip(contexts[0] + 2, 0, 255).astype(np.int32)
    network, params = CausalNetwork(TINY), params_of(TINY, 0, 0.0)
    value_and_grad = jax.jit(jax.value_and_grad(loss), static_argnums=3)
    before, gradients = value_and_grad(params, contexts, symbols, network)
    params = jax.tree.map(lambda p, g: p - 0.02 * jnp.sign(g), params, gradients)
    after, _ = value_and_grad(params, contexts, symbols, network)
    assert after < before
