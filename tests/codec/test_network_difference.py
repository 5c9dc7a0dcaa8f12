"""Differences of networks: what is packed comes back, at little more than its entropy."""

import struct

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from models_for_tests import EARLIER, IN_SLICE, TINY, extreme_network, random_network

from jaxslice.codec import intervals, network_bytes, network_difference
from jaxslice.codec.network import BIAS_HIGH, IntegerNetwork
from jaxslice.core.errors import FormatError
from jaxslice.models.presets import FULL

EMPTY_MESSAGE = bytes.fromhex("00000000 00000080")
"""One lane at 2**31: the upper half of its state, and the lower."""


def tensors_of(network: IntegerNetwork) -> list[np.ndarray]:
    return [tensor for layer in zip(*network, strict=True) for tensor in layer]


def network_of(tensors: list[np.ndarray]) -> IntegerNetwork:
    return IntegerNetwork(
        tuple(np.asarray(tensor).astype(np.int8) for tensor in tensors[::2]),
        tuple(np.asarray(tensor).astype(np.int32) for tensor in tensors[1::2]),
    )


def moved(base: IntegerNetwork, values: list[np.ndarray]) -> IntegerNetwork:
    units = [1, 64] * len(base.weights)
    pairs = zip(tensors_of(base), units, values, strict=True)
    return network_of([tensor + unit * value for tensor, unit, value in pairs])


def assert_same(got: IntegerNetwork, wanted: IntegerNetwork) -> None:
    for ours, theirs in zip(tensors_of(got), tensors_of(wanted), strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


@st.composite
def networks(draw, architecture) -> IntegerNetwork:
    """Anything that the format allows; hypothesis fills most numbers with one value."""
    tensors = []
    for shape in architecture.layer_shapes:
        tensors.append(draw(hnp.arrays(np.int8, shape, elements=st.integers(-127, 127))))
        biases = st.integers(-BIAS_HIGH, BIAS_HIGH) | st.integers(-100, 100)
        tensors.append(draw(hnp.arrays(np.int32, shape[0], elements=biases)))
    return network_of(tensors)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([TINY, IN_SLICE, EARLIER]), st.data())
def test_any_difference_comes_back_as_near_as_it_can(architecture, data):
    base, own = data.draw(networks(architecture)), data.draw(networks(architecture))
    packed, used = network_difference.encode(base, own, architecture)
    assert_same(network_difference.decode(packed, base, architecture), used)
    for layer, (before, wanted, got) in enumerate(
        zip(base.weights, own.weights, used.weights, strict=True)
    ):
        expected = before + np.clip(wanted.astype(int) - before, -128, 127)
        np.testing.assert_array_equal(got, expected, err_msg=f"weights of layer {layer}")
    for before, wanted, got in zip(base.biases, own.biases, used.biases, strict=True):
        values, left = np.divmod(got.astype(int) - before, 64)
        assert not left.any()
        away = np.abs(wanted - got)
        far = np.abs(wanted.astype(int) - before) > 127 * 64
        # 63 where a rounded bias would be larger than a bias may be.
        assert np.all((away <= 32) | far | ((np.abs(wanted) > BIAS_HIGH - 64) & (away <= 63)))
        assert np.all(np.isin(values[far & (away > 63)], [-128, 127]))


@pytest.mark.parametrize("architecture", [TINY, IN_SLICE, EARLIER, FULL])
def test_a_network_without_a_difference_takes_a_byte_for_each_tensor(architecture):
    base = random_network(architecture, 1)
    packed, used = network_difference.encode(base, base, architecture)
    assert packed == b"\xff" * 2 * len(architecture.layer_shapes) + EMPTY_MESSAGE
    assert_same(used, base)
    assert_same(network_difference.decode(packed, base, architecture), base)


def test_networks_at_opposite_ends():
    low, high = extreme_network(TINY, 0, -1), extreme_network(TINY, 0, 1)
    for base, own, weight, bias in (
        (low, high, 0, -BIAS_HIGH + 127 * 64),
        (high, low, -1, BIAS_HIGH - 128 * 64),
    ):
        packed, used = network_difference.encode(base, own, TINY)
        assert all(np.all(tensor == weight) for tensor in used.weights)
        assert all(np.all(tensor == bias) for tensor in used.biases)
        assert_same(network_difference.decode(packed, base, TINY), used)


def test_biases_round_to_units_of_64():
    base = random_network(IN_SLICE, 0)
    biases = base.biases[0] + np.array([31, -33, 100, -64], np.int32)
    own = base._replace(biases=(biases, base.biases[1]))
    _, used = network_difference.encode(base, own, IN_SLICE)
    assert (used.biases[0] - base.biases[0]).tolist() == [0, -64, 128, -64]


@pytest.mark.parametrize("sign", [-1, 1])
def test_rounding_leads_to_no_bias_out_of_range(sign):
    near = random_network(IN_SLICE, 0)
    base = near._replace(biases=(np.full(4, sign * (BIAS_HIGH - 40), np.int32), near.biases[1]))
    own = base._replace(biases=(np.full(4, sign * BIAS_HIGH, np.int32), near.biases[1]))
    packed, used = network_difference.encode(base, own, IN_SLICE)
    assert_same(used, base)
    assert_same(network_difference.decode(packed, base, IN_SLICE), base)


def test_bytes_by_hand():
    """Two values of one tensor, in the words of FORMAT.md, sections 5 and 6."""
    base = random_network(IN_SLICE, 0)
    values = [np.zeros(np.shape(tensor), int) for tensor in tensors_of(base)]
    values[3][:] = 0, 2, -128
    packed, used = network_difference.encode(base, moved(base, values), IN_SLICE)
    assert (used.biases[1] - base.biases[1]).tolist() == [0, 128, -8192]
    narrow, wide, weight = packed[3:6]
    assert packed[:3] == b"\xff" * 3
    inverse = [32 * (16 + q % 16) * 2 ** (q // 16) for q in (narrow, wide)]
    mixture = intervals.Mixture(
        *(
            jnp.array(column, jnp.int32)[:, None]
            for column in ([2048, 2048], inverse, [weight, 256 - weight])
        )
    )
    state = 2**31
    for symbol in (0, 130, 128):
        interval = intervals.interval_of(mixture, jnp.array([symbol]), jnp.array([256]))
        start, freq = (int(number[0]) for number in interval)
        assert state < freq * 2**39
        state = (state // freq) * 2**24 + state % freq + start
    assert packed[6:] == struct.pack("<II", state >> 32, state % 2**32)


@pytest.mark.parametrize("record", [(0, 0, 0), (127, 0, 255), (64, 13, 128), (100, 101, 1)])
def test_intervals_are_those_of_the_format(record):
    first, second, weight = record
    inverse = [32 * (16 + q % 16) * 2 ** (q // 16) for q in (first, second)]
    count = 257
    mixture = intervals.Mixture(
        *(
            jnp.broadcast_to(jnp.array(column, jnp.int32)[:, None], (2, count))
            for column in ([2048, 2048], inverse, [weight, 256 - weight])
        )
    )
    edges = jnp.arange(count, dtype=jnp.int32)
    expected = intervals.cumulative(mixture, edges, jnp.full(count, 256, jnp.int32))
    np.testing.assert_array_equal(network_difference._cumulative(record), expected)


def drawn(rng: np.random.Generator, spread: float, zeros: float) -> list[np.ndarray]:
    """Values for each tensor of FULL: normal, and 0 where chance says so."""
    shapes = [shape for layer in FULL.layer_shapes for shape in (layer, layer[:1])]
    return [
        (np.rint(rng.normal(0, spread, shape)) * (rng.random(shape) >= zeros)).astype(int)
        for shape in shapes
    ]


@pytest.mark.parametrize("zeros", [0.0, 0.5, 0.95])
@pytest.mark.parametrize("spread", [0.4, 1.0, 4.0, 16.0])
def test_the_length_is_little_more_than_the_entropy(spread, zeros):
    rng = np.random.default_rng(3)
    base = network_of(
        [rng.integers(-30, 31, np.shape(t)) for t in tensors_of(random_network(FULL, 0))]
    )
    values = drawn(rng, spread, zeros)
    packed, used = network_difference.encode(base, moved(base, values), FULL)
    assert_same(used, moved(base, values))
    bits = 0.0
    for value in values:
        counts = np.unique(value, return_counts=True)[1]
        bits -= float(counts @ np.log2(counts / counts.sum()))
    # A histogram knows a tensor better than three bytes can say, and costs nothing here.
    assert bits / 8 < len(packed) < 1.03 * bits / 8 + 45


def test_the_record_is_the_best_of_a_fine_grid():
    rng = np.random.default_rng(4)
    for spread, zeros in ((0.5, 0.0), (2.0, 0.7), (12.0, 0.9)):
        value = drawn(rng, spread, zeros)[0]
        counts = np.bincount(value.ravel() + 128, minlength=256)

        def bits(record, counts=counts) -> float:
            return float(-counts @ np.log2(np.diff(network_difference._cumulative(record)) / 2**24))

        found = bits(network_difference._best_record(counts))
        steps = range(0, 128, 5)
        tried = [bits((a, b, w)) for a in steps for b in steps for w in range(16, 256, 16)]
        assert found < 1.002 * min(tried)
        # Most records are far worse, or the search would not matter.
        assert found < 0.9 * np.median(tried)


def packed_example() -> tuple[bytes, IntegerNetwork]:
    base = random_network(TINY, 5)
    return network_difference.encode(base, random_network(TINY, 6), TINY)[0], base


def test_damaged_bytes_are_refused_or_make_a_network_that_is_allowed():
    packed, base = packed_example()
    refused = 0
    for at in range(len(packed)):
        damaged = packed[:at] + bytes([packed[at] ^ (1 << at % 8)]) + packed[at + 1 :]
        try:
            network = network_difference.decode(damaged, base, TINY)
        except FormatError:
            refused += 1
        else:
            network_bytes.unpack(network_bytes.pack(network), TINY)
    assert refused > 0.9 * len(packed)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 12))
def test_hostile_bytes_are_refused_or_make_a_network_that_is_allowed(data, kept):
    packed, base = packed_example()
    for hostile in (data, packed[:kept] + data, b"\xff" * 3 + data + EMPTY_MESSAGE):
        try:
            network = network_difference.decode(hostile, base, TINY)
        except FormatError:
            continue
        network_bytes.unpack(network_bytes.pack(network), TINY)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: b"", "Got a record of 0 bytes in a difference, expected 3"),
        (lambda data: data[:11], "Got a record of 2 bytes"),
        (lambda data: b"\x80" + data[1:], "the scale codes 128 and .* expected 0 to 127"),
        (lambda data: data[:1] + b"\xfe" + data[2:], "the scale codes .* and 254"),
        (lambda data: data + b"\0", "expected whole words"),
        (lambda data: data[:12], "Got a message of 0 words, expected at least 2"),
        (lambda data: data[:12] + bytes(8), "head out of range"),
        (lambda data: data[:-4], "words, expected more"),
        (lambda data: data + bytes(4), "leaves 1 of"),
        (lambda data: data[:12] + EMPTY_MESSAGE, "words, expected more"),
        (lambda data: b"\xff" * 4 + bytes.fromhex("00000000 01000080"), "the state 2147483649"),
        (lambda data: b"\xff" + data[3:], "difference"),
    ],
)
def test_damage_is_named(change, message):
    packed, base = packed_example()
    assert packed[0] < 128
    with pytest.raises(FormatError, match=message):
        network_difference.decode(change(packed), base, TINY)


def test_networks_out_of_range_are_refused():
    base = extreme_network(TINY, 0, 1)
    up = moved(random_network(TINY, 0, 0), [np.ones(np.shape(t), int) for t in tensors_of(base)])
    packed, _ = network_difference.encode(random_network(TINY, 0, 0), up, TINY)
    with pytest.raises(FormatError, match="a weight 128 in size, expected at most 127"):
        network_difference.decode(packed, base, TINY)
    only_biases = base._replace(weights=random_network(TINY, 0, 0).weights)
    with pytest.raises(FormatError, match="exact arithmetic"):
        network_difference.decode(packed, only_biases, TINY)


def test_networks_of_another_architecture_are_refused():
    base, other = random_network(TINY, 0), random_network(IN_SLICE, 0)
    for pair in ((base, other), (other, base)):
        with pytest.raises(FormatError, match="Got layers"):
            network_difference.encode(*pair, TINY)
    packed, _ = network_difference.encode(base, random_network(TINY, 1), TINY)
    with pytest.raises(FormatError):
        network_difference.decode(packed, other, IN_SLICE)
