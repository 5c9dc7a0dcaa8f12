"""The exact network: integers by the book, refusals, and independence of everything else."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models_for_tests import (
    EARLIER,
    IN_SLICE,
    TINY,
    extreme_network,
    narrow_network,
    random_contexts,
    random_network,
)

from jaxslice.codec.architecture import Architecture
from jaxslice.codec.mixture import mixture_of
from jaxslice.codec.network import BIAS_HIGH, IntegerNetwork, prove, quantise
from jaxslice.core.errors import FormatError
from jaxslice.models.presets import CONTEXTS

COUNT = 600
WIDE = Architecture(
    context=tuple((-1 - i // 81, i % 9 - 4, i // 9 % 9 - 4) for i in range(256)),
    activity_count=16,
    fallback=255,
    hidden=(256,),
    components=8,
)
"""The largest layers that the format allows."""

jitted_mixture_of = jax.jit(mixture_of, static_argnums=2)


@pytest.fixture(autouse=True, scope="module")
def strict():
    with jax.numpy_dtype_promotion("strict"):
        yield


def clip(value: int, low: int, high: int) -> int:
    return min(max(value, low), high)


def power(q: int) -> int:
    return (16 + (q & 15)) << (q >> 4)


def inputs_by_the_book(v: list[int], architecture: Architecture):
    """FORMAT.md, section 4: (difference, reference, activity, loglevel, 64 * gain)."""
    f = v[architecture.fallback] if v[architecture.fallback] >= 0 else 128
    a = v[0] if v[0] >= 0 else v[1] if v[1] >= 0 else f
    b = v[1] if v[1] >= 0 else a
    c = v[2] if v[2] >= 0 else b
    d = v[3] if v[3] >= 0 else a
    reference = (3 * a + 3 * b + c + d) >> 3
    difference = [value - reference if value >= 0 else 0 for value in v]
    nearest = difference[: architecture.activity_count]
    activity = architecture.activity_offset + sum(abs(value) for value in nearest)
    e = activity.bit_length() - 1
    rest = activity - 2**e
    loglevel = 16 * e + (16 * rest) // 2**e
    if rest == 0:
        gain_64 = 64 * 2 ** (16 - e)
    else:
        # 2**(15 - e) * (2 - r) with r = rest / 2**e, in units of its step 2**(10 - e).
        steps = (32 * (2 * 2**e - rest)) // 2**e
        gain_64 = steps * 2 ** (16 - e)
    return difference, reference, activity, loglevel, gain_64


def mixture_by_the_book(network: IntegerNetwork, v: list[int], architecture: Architecture):
    """FORMAT.md, section 4, in Python's integers: lists mean, inverse, weight."""
    difference, reference, activity, loglevel, gain_64 = inputs_by_the_book(v, architecture)
    size = len(v)
    (first, *others), (first_bias, *biases) = (
        [array.tolist() for array in arrays] for arrays in network
    )
    sums = []
    for w, bias in zip(first, first_bias, strict=True):
        s = sum(weight * value for weight, value in zip(w[:size], difference, strict=True))
        s = clip(s, -(2**17 - 1), 2**17 - 1)
        extras = w[size] * (reference - 128) + w[size + 1] * (loglevel - 112)
        sums.append((s * gain_64 >> 12) + extras + bias)
        assert abs(sums[-1]) < 2**24
    for weights, bias_of in zip(others, biases, strict=True):
        h = [clip(value >> 6, 0, 255) for value in sums]
        sums = [
            sum(weight * value for weight, value in zip(row, h, strict=True)) + bias
            for row, bias in zip(weights, bias_of, strict=True)
        ]
        assert max(map(abs, sums)) < 2**24
    k = architecture.components
    m, t, g = sums[:k], sums[k : 2 * k], sums[2 * k :]
    mean = [
        clip(16 * reference + ((clip(value >> 4, -32767, 32767) * activity) >> 8), -2048, 6143)
        for value in m
    ]
    inverse = [
        clip((power(clip((value >> 7) + 64, 0, 127)) * (gain_64 // 64)) >> 5, 1, 2**17)
        for value in t
    ]
    share = [power(clip((value >> 7) + 64, 0, 127)) for value in g]
    weight = [256 * value // sum(share) for value in share[:-1]]
    return mean, inverse, [*weight, 256 - sum(weight)]


@functools.lru_cache
def contexts_for(architecture: Architecture) -> np.ndarray:
    return random_contexts(architecture, COUNT, seed=len(architecture.context))


NETWORKS = {
    "random": random_network,
    "wild": lambda architecture, seed: random_network(architecture, seed, spread=127),
    "extreme": extreme_network,
    "highest": lambda architecture, seed: extreme_network(architecture, seed, sign=1),
    "lowest": lambda architecture, seed: extreme_network(architecture, seed, sign=-1),
    "zero": lambda architecture, seed: narrow_network(architecture),
}


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize(
    "architecture",
    [TINY, IN_SLICE, EARLIER, *CONTEXTS.values()],
    ids=["tiny", "in-slice", "earlier", *CONTEXTS],
)
def test_the_mixture_is_by_the_book(architecture, kind):
    network = NETWORKS[kind](architecture, seed=3)
    prove(network, architecture)
    contexts = contexts_for(architecture)
    got = np.stack(jitted_mixture_of(network, jnp.asarray(contexts), architecture)).transpose(
        2, 0, 1
    )
    few = 100 if architecture.num_params > 1000 else COUNT
    for column, mixture in list(zip(contexts.T.astype(int).tolist(), got.tolist(), strict=True))[
        :few
    ]:
        assert mixture == list(map(list, mixture_by_the_book(network, column, architecture)))
    assert got[:, 2].min() >= 0
    assert np.all(got[:, 2].sum(axis=1) == 256)


def test_the_largest_layers_are_by_the_book():
    network = extreme_network(WIDE, seed=0)
    prove(network, WIDE)
    contexts = random_contexts(WIDE, 8, seed=0)
    contexts[:, :2] = [[0, 255]] * 255 + [[255, 0]]
    got = np.stack(mixture_of(network, jnp.asarray(contexts), WIDE)).transpose(2, 0, 1)
    for column, mixture in zip(contexts.T.astype(int).tolist(), got.tolist(), strict=True):
        assert mixture == list(map(list, mixture_by_the_book(network, column, WIDE)))


@pytest.mark.parametrize(("nearest", "bias"), [(255, 50000), (0, -46000)])
def test_the_clip_of_the_first_sum_is_by_the_book(nearest, bias):
    # Differences of 255 to 252 voxels, weighed by 127, exceed 2**17 by far; with a gain of 23.5 the
    # clipped sum is 48127 in size, and the bias brings it back to where hidden units differ.
    network = random_network(WIDE, 1, spread=3)
    first = np.full_like(network.weights[0], 127)
    first[:, -2:] = 0
    network = IntegerNetwork(
        (first, network.weights[1]), (np.full(256, bias, np.int32), network.biases[1])
    )
    prove(network, WIDE)
    contexts = np.full((256, 8), 255 - nearest, np.float32)
    contexts[:4] = nearest
    got = np.stack(mixture_of(network, jnp.asarray(contexts), WIDE)).transpose(2, 0, 1)
    column = contexts[:, 0].astype(int).tolist()
    assert got[0].tolist() == list(map(list, mixture_by_the_book(network, column, WIDE)))


def test_a_mixture_by_hand():
    # Weights are zero and all neighbours 100: reference 100, activity 16, gain 2**12.
    # mean 16 * 100; inverse (2**4 << 4) * 2**12 >> 5 = 2**15; shares are equal: 128 and 128.
    contexts = jnp.full((10, 1), 100, jnp.float32)
    mixture = mixture_of(narrow_network(TINY), contexts, TINY)
    assert [field.ravel().tolist() for field in mixture] == [[1600] * 2, [2**15] * 2, [128] * 2]
    # A bias of 16 * 256 * 3 moves the first mean by 3 * 16 = activity * 3 sixteenths; one of
    # 128 * 16 doubles the second inverse; one of 128 * 16 doubles the second share: 85 and 171.
    biases = np.array([3 * 4096, 0, 0, 2048, 0, 2048], np.int32)
    network = narrow_network(TINY)._replace(biases=(np.zeros(8, np.int32), biases))
    mixture = mixture_of(network, contexts, TINY)
    assert mixture.mean.ravel().tolist() == [1600 + 48, 1600]
    assert mixture.inverse_scale.ravel().tolist() == [2**15, 2**16]
    assert mixture.weight.ravel().tolist() == [85, 171]


def test_the_batch_does_not_matter():
    network, contexts = random_network(TINY, 5), jnp.asarray(contexts_for(TINY))
    together = np.stack(jitted_mixture_of(network, contexts, TINY))
    for column in range(0, COUNT, 25):
        alone = np.stack(jitted_mixture_of(network, contexts[:, column : column + 1], TINY))
        np.testing.assert_array_equal(alone[:, :, 0], together[:, :, column])


@pytest.mark.parametrize("make_network", [random_network, extreme_network])
def test_the_order_of_summation_does_not_matter(make_network):
    # Only the first four, and the set of those that measure activity, have a meaning of their own.
    architecture = CONTEXTS["full"]
    network = make_network(architecture, 1)
    in_slice = sum(dz == 0 for dz, _, _ in architecture.context)
    ends = [4, architecture.activity_count, in_slice, len(architecture.context)]
    rng = np.random.default_rng(0)
    parts = [4 + rng.permutation(ends[1] - 4)]
    parts += [a + rng.permutation(b - a) for a, b in itertools.pairwise(ends[1:])]
    order = np.concatenate([np.arange(4), *parts])
    assert sorted(order) == list(range(len(order)))
    assert np.any(order != np.arange(len(order)))

    permuted = dataclasses.replace(
        architecture,
        context=tuple(architecture.context[index] for index in order),
        fallback=order.tolist().index(architecture.fallback),
    )
    columns = np.concatenate([order, len(order) + np.arange(2)])
    first, *rest = network.weights
    shuffled = network._replace(weights=(first[:, columns], *rest))
    contexts = contexts_for(architecture)
    np.testing.assert_array_equal(
        np.stack(jitted_mixture_of(shuffled, jnp.asarray(contexts[order]), permuted)),
        np.stack(jitted_mixture_of(network, jnp.asarray(contexts), architecture)),
    )
    # The check can fail: random weights that stay where they were give another mixture.
    unmoved = np.stack(jitted_mixture_of(network, jnp.asarray(contexts[order]), permuted))
    expected = np.stack(jitted_mixture_of(network, jnp.asarray(contexts), architecture))
    assert make_network is extreme_network or np.any(unmoved != expected)


@pytest.mark.parametrize("sign", [-1, 0, 1])
@pytest.mark.parametrize("architecture", [TINY, WIDE, *CONTEXTS.values()])
def test_the_largest_weights_and_biases_are_accepted(architecture, sign):
    prove(extreme_network(architecture, 0, sign), architecture)


def changed(network: IntegerNetwork, field: str, layer: int, at, value) -> IntegerNetwork:
    arrays = [array.copy() for array in getattr(network, field)]
    arrays[layer][at] = value
    return network._replace(**{field: tuple(arrays)})


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize(
    ("field", "at", "value"),
    [
        ("biases", 0, BIAS_HIGH + 1),
        ("biases", -1, -BIAS_HIGH - 1),
        ("biases", 2, -(2**31)),
        ("weights", (0, 0), -128),
        ("weights", (-1, -1), -128),
    ],
)
def test_weights_and_biases_beyond_the_format_are_refused(layer, field, at, value):
    network = changed(random_network(TINY, 0), field, layer, at, value)
    with pytest.raises(FormatError, match=f"layer {layer}"):
        prove(network, TINY)


def test_sums_that_could_overflow_are_refused():
    # The widest layer allowed cannot overflow with 8-bit weights; wider weights can.
    network = extreme_network(WIDE, 0)
    wider = network._replace(weights=(network.weights[0].astype(np.int32) * 2, network.weights[1]))
    with pytest.raises(FormatError, match=f"layer 0 can reach {254 * 256 * 255}"):
        prove(wider, WIDE)


@pytest.mark.parametrize(
    "change",
    [
        lambda w, b: (w[:1], b[:1]),
        lambda w, b: ((w[0].T, w[1]), b),
        lambda w, b: ((w[0][:, :-1], w[1]), b),
        lambda w, b: ((w[0], w[1][:-3]), b),
        lambda w, b: ((w[0], w[1].ravel()), b),
        lambda w, b: ((), ()),
        lambda w, b: (w, (b[0][:-1], b[1])),
        lambda w, b: (w, (b[0], b[1][:1])),
        lambda w, b: (w, (b[0], b[1][0])),
        lambda w, b: (w, b[:1]),
        lambda w, b: (w, (*b, b[0])),
    ],
)
def test_other_shapes_are_refused(change):
    network = IntegerNetwork(*change(*random_network(TINY, 0)))
    with pytest.raises(FormatError, match="Got layers"):
        prove(network, TINY)


def test_quantise_rounds_to_even_and_clips():
    kernels = [np.array([[0.5 / 64, 1.5 / 64, -1.0, 1.0, 9.0, -9.0, 127.4 / 64]])]
    biases = [np.array([0.5 / 4096, 1.0, -1.0, 2000.0, -2000.0])]
    network = quantise(kernels, biases)
    assert network.weights[0].dtype == np.int8
    assert network.weights[0].tolist() == [[0, 2, -64, 64, 127, -127, 127]]
    assert network.biases[0].dtype == np.int32
    assert network.biases[0].tolist() == [0, 4096, -4096, BIAS_HIGH, -BIAS_HIGH]
