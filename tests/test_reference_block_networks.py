"""The decoder written from FORMAT.md, on blocks with networks of their own."""

import base64
import functools
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models_for_tests import coded_anyway
from test_reference import (
    ARCHITECTURES,
    BLOCKS,
    SHAPE,
    SMALL,
    model_of,
    noise,
    random_network,
    sealed,
)

from jaxslice import reference
from jaxslice.codec import network_bytes, network_difference
from jaxslice.codec.block import decode_block, encode_blocks
from jaxslice.codec.network import IntegerNetwork, Model
from jaxslice.core.errors import FormatError, VersionError
from jaxslice.reference.difference import read_difference

LENGTH = 20
"""Where in a payload of version 2 the length of its difference is."""


def with_block_networks(configuration: dict) -> dict:
    """The configuration of an archive whose blocks may have networks of their own."""
    if configuration["format_version"] == 4:
        return {**configuration, "own_networks": True}
    return {**configuration, "format_version": 2}


def encoded(
    block: np.ndarray, model: Model, own: IntegerNetwork, version: int = 1
) -> tuple[bytes, bytes]:
    """The block's payload, and the difference in it."""
    packed, _ = network_difference.encode(model.network, own, model.architecture)
    (payload,) = encode_blocks([block], model, differences=[packed], format_version=version)
    return payload, packed


def check(block: np.ndarray, model: Model, configuration: dict, own: IntegerNetwork) -> None:
    """Encodes the block with its own network, and decodes it with the reference."""
    version = configuration["format_version"]
    payload, _ = encoded(block, model, own, version)
    assert payload[:4] == (bytes([4, 2, 1, 0]) if version == 4 else bytes([2, 2, payload[2], 1]))
    decoded = reference.decode_block(payload, block.shape, with_block_networks(configuration))
    np.testing.assert_array_equal(decoded, block)


@pytest.fixture
def always_coded(monkeypatch):
    monkeypatch.setattr("jaxslice.codec.block.shortest", coded_anyway)
    monkeypatch.setattr("jaxslice.reference.limits.most_words", lambda size: 8 * size)


@pytest.mark.usefixtures("always_coded")
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_blocks(name: str):
    """Own networks that are sensible, extreme, the archive's, and far from an extreme archive's."""
    sensible, extreme = model_of(name), model_of(name, 2, extreme=True)
    other = random_network(ARCHITECTURES[name], 7, extreme=False)
    far = random_network(ARCHITECTURES[name], 8, extreme=True)
    for (model, configuration), own, kind in (
        (sensible, other, "smooth"),
        (sensible, other, "combs by slice"),
        (sensible, far, "extremes"),
        (sensible, sensible[0].network, "black border"),
        (extreme, other, "comb"),
        (extreme, far, "all levels"),
    ):
        check(BLOCKS[kind], model, configuration, own)


@pytest.mark.usefixtures("always_coded")
@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.sampled_from([2, 5, 256]))
def test_any_network(seed: int, own_seed: int, levels: int):
    model, configuration = model_of("small", seed % 5)
    own = random_network(SMALL, own_seed, extreme=bool(own_seed % 2))
    check(noise((2, 6, 24), levels), model, configuration, own)


EXAMPLE = BLOCKS["two levels"]


@functools.cache
def example() -> tuple[bytes, bytes]:
    """A payload that is coded for all that its network takes, and the difference in it."""
    model, _ = model_of("small")
    return encoded(EXAMPLE, model, random_network(SMALL, 7, extreme=False))


def changed(at: int, value: bytes) -> bytes:
    payload = example()[0]
    return sealed(payload[:at] + value + payload[at + len(value) :])


def test_versions_and_flags():
    payload, _ = example()
    assert payload[:4] == bytes([2, 2, payload[2], 1])
    _, configuration = model_of("small")
    np.testing.assert_array_equal(
        reference.decode_block(payload, SHAPE, with_block_networks(configuration)), EXAMPLE
    )
    with pytest.raises(VersionError, match="version 2 in a format 1"):
        reference.decode_block(payload, SHAPE, configuration)
    for at, value, message in (
        (0, b"\3", "version 3 in a format 2"),
        (0, b"\1", "mode 2, flags 1 in version 1"),
        (3, b"\0", "mode 2, flags 0 in version 2"),
        (3, b"\3", "mode 2, flags 3 in version 2"),
        (1, b"\1", "mode 1, flags 1 in version 2"),
        (1, b"\0", "mode 0, flags 1 in version 2"),
        (LENGTH, b"\xff\xff\xff\xff", "no difference of 4294967295 bytes"),
    ):
        with pytest.raises(FormatError, match=message):
            reference.decode_block(changed(at, value), SHAPE, with_block_networks(configuration))


def with_difference(data: bytes) -> bytes:
    payload, packed = example()
    rest = payload[LENGTH + 4 + len(packed) :]
    return sealed(payload[:LENGTH] + struct.pack("<I", len(data)) + data + rest)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: b"", "Got the record ''"),
        (lambda data: data[:2], "Got the record"),
        (lambda data: b"\x80" + data[1:], "Got the record '80"),
        (lambda data: data[:1] + b"\xfe" + data[2:], "Got the record '..fe"),
        (lambda data: data + b"\0", "message of"),
        (lambda data: data[:12], "message of 0 bytes"),
        (lambda data: data[:12] + bytes(8), "state 0"),
        (lambda data: data[:12] + b"\xff" * 8, "state 18446744073709551615"),
        (lambda data: data[:-4], "too short"),
        (lambda data: data + bytes(4), "does not end"),
        (lambda data: b"\xff" * 4 + bytes.fromhex("00000000 01000080"), "does not end"),
    ],
)
def test_damaged_differences(change, message: str):
    _, packed = example()
    assert max(packed[:2]) < 128
    damaged = with_difference(change(packed))
    model, configuration = model_of("small")
    with pytest.raises(FormatError, match=message):
        reference.decode_block(damaged, SHAPE, with_block_networks(configuration))
    with pytest.raises(FormatError):
        decode_block(damaged, SHAPE, model, block_networks=True, format_version=1)


def test_a_difference_that_leads_out_of_range():
    model, configuration = model_of("small", 2, extreme=True)
    low, high = (
        IntegerNetwork(
            tuple(np.full(shape, weight, np.int8) for shape in SMALL.layer_shapes),
            tuple(np.full(shape[0], 64 * weight, np.int32) for shape in SMALL.layer_shapes),
        )
        for weight in (0, 1)
    )
    packed, _ = network_difference.encode(low, high, SMALL)
    with pytest.raises(FormatError, match="sums could overflow"):
        reference.decode_block(with_difference(packed), SHAPE, with_block_networks(configuration))
    with pytest.raises(FormatError, match="in size, expected at most 127"):
        decode_block(with_difference(packed), SHAPE, model, block_networks=True, format_version=1)


def layers_of(network: IntegerNetwork) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(w.astype(np.int64), b.astype(np.int64)) for w, b in zip(*network, strict=True)]


@settings(max_examples=200, deadline=None)
@given(
    flips=st.lists(st.tuples(st.integers(0, 400), st.integers(1, 255)), max_size=2),
    cut=st.sampled_from([0, 0, 0, 4, 5, 60]),
    extra=st.binary(max_size=4),
    near_start=st.booleans(),
)
def test_both_decoders_take_a_damaged_difference_for_the_same(flips, cut, extra, near_start):
    """The same network, or refused by both."""
    model, _ = model_of("small")
    packed = bytearray(example()[1])
    for at, change in flips:
        packed[at % (12 if near_start else len(packed))] ^= change
    damaged = bytes(packed[: len(packed) - cut]) + extra
    try:
        network = network_difference.decode(damaged, model.network, SMALL)
    except FormatError:
        with pytest.raises(FormatError):
            read_difference(damaged, layers_of(model.network), 64)
        return
    layers = read_difference(damaged, layers_of(model.network), 64)
    for ours, theirs in zip(layers_of(network), layers, strict=True):
        np.testing.assert_array_equal(ours[0], theirs[0])
        np.testing.assert_array_equal(ours[1], theirs[1])
    network_bytes.unpack(network_bytes.pack(network), SMALL)


def test_the_configuration_says_the_base():
    """The same difference to another network decodes to nothing, or is refused."""
    _, configuration = model_of("small", 3)
    assert base64.b64decode(configuration["network"]) != network_bytes.pack(
        model_of("small")[0].network
    )
    with pytest.raises(FormatError):
        reference.decode_block(example()[0], SHAPE, with_block_networks(configuration))
