"""Packed networks: the same network comes back, and damaged bytes are refused."""

import hashlib
import struct

import numpy as np
import pytest
from models_for_tests import (
    EARLIER,
    IN_SLICE,
    SHEARED,
    TINY,
    extreme_network,
    random_network,
)

from jaxslice.codec import network_bytes
from jaxslice.codec.network import BIAS_HIGH, blank
from jaxslice.core.checksum import crc32c
from jaxslice.core.errors import ChecksumError, FormatError


def sealed(data: bytes) -> bytes:
    return data + struct.pack("<I", crc32c(data))


@pytest.mark.parametrize("make_network", [random_network, extreme_network])
@pytest.mark.parametrize("architecture", [TINY, IN_SLICE, EARLIER])
def test_a_network_comes_back(architecture, make_network):
    network = make_network(architecture, 3)
    data = network_bytes.pack(network)
    # A byte for each weight, four for each bias and four for the checksum.
    biases = sum(outputs for outputs, _ in architecture.layer_shapes)
    assert len(data) == architecture.multiply_adds_per_voxel + 4 * biases + 4
    again = network_bytes.unpack(data, architecture)
    for arrays, expected in zip(again, network, strict=True):
        for array, wanted in zip(arrays, expected, strict=True):
            assert array.dtype == wanted.dtype
            np.testing.assert_array_equal(array, wanted)
    assert network_bytes.pack(again) == data


def test_bytes_by_hand():
    network = random_network(IN_SLICE, 0)
    first, second = network.weights
    rows = b"".join(
        struct.pack(f"<{len(row)}b", *row.tolist()) for row in first
    ) + struct.pack("<4i", *network.biases[0].tolist())  # fmt: skip
    rows += b"".join(struct.pack(f"<{len(row)}b", *row.tolist()) for row in second)
    rows += struct.pack("<3i", *network.biases[1].tolist())
    assert network_bytes.pack(network) == sealed(rows)


def test_every_flipped_byte_is_found():
    data = network_bytes.pack(random_network(IN_SLICE, 0))
    for at in range(len(data)):
        with pytest.raises(ChecksumError, match="CRC32C"):
            network_bytes.unpack(data[:at] + bytes([data[at] ^ 16]) + data[at + 1 :], IN_SLICE)


@pytest.mark.parametrize("change", [lambda d: b"", lambda d: d[:-1], lambda d: d + b"\0"])
def test_other_sizes_are_refused(change):
    data = network_bytes.pack(random_network(IN_SLICE, 0))
    with pytest.raises(FormatError, match=f"bytes, expected {len(data)}"):
        network_bytes.unpack(change(data), IN_SLICE)


def test_a_network_of_another_architecture_is_refused():
    with pytest.raises(FormatError, match="Got a network of"):
        network_bytes.unpack(network_bytes.pack(random_network(IN_SLICE, 0)), TINY)


@pytest.mark.parametrize("column", [0, -1])
def test_a_network_that_could_overflow_is_refused(column):
    network = random_network(TINY, 0)
    biases = (network.biases[0], np.full(6, BIAS_HIGH + 1, np.int32))
    with pytest.raises(FormatError, match="exact arithmetic"):
        network_bytes.unpack(network_bytes.pack(network._replace(biases=biases)), TINY)
    # -128 fits an int8, but the format stops at -127.
    network.weights[0][3, column] = -128
    with pytest.raises(FormatError):
        network_bytes.unpack(network_bytes.pack(network), TINY)


@pytest.mark.parametrize("architecture", [TINY, IN_SLICE, EARLIER, SHEARED])
def test_a_coded_network_comes_back_with_its_biases_rounded(architecture):
    network = random_network(architecture, 3)
    data, rounded = network_bytes.pack_coded(network, architecture)
    assert len(data) < len(network_bytes.pack(network))
    again = network_bytes.unpack_coded(data, architecture)
    for arrays, expected in zip(again, rounded, strict=True):
        for array, wanted in zip(arrays, expected, strict=True):
            np.testing.assert_array_equal(array, wanted)
    for array, wanted in zip(rounded.weights, network.weights, strict=True):
        np.testing.assert_array_equal(array, wanted)
    for array, wanted in zip(rounded.biases, network.biases, strict=True):
        assert not (array % network_bytes.CODED_BIAS_UNIT).any()
        assert np.abs(array - wanted).max() <= network_bytes.CODED_BIAS_UNIT // 2
    assert network_bytes.pack_coded(rounded, architecture)[0] == data


def test_a_coded_network_of_zeros_by_hand():
    """Two layers of weights and biases, all 0: four records, and the state that nothing moved."""
    data, _ = network_bytes.pack_coded(blank(IN_SLICE), IN_SLICE)
    assert data == sealed(b"\xff" * 4 + struct.pack("<II", 0, 1 << 31))


def test_every_flipped_byte_of_a_coded_network_is_found():
    data, _ = network_bytes.pack_coded(random_network(IN_SLICE, 0), IN_SLICE)
    for at in range(len(data)):
        with pytest.raises(ChecksumError, match="CRC32C"):
            network_bytes.unpack_coded(
                data[:at] + bytes([data[at] ^ 16]) + data[at + 1 :], IN_SLICE
            )
    for damaged in (b"", data[:3], data[:-1]):
        with pytest.raises(ChecksumError):
            network_bytes.unpack_coded(damaged, IN_SLICE)
    for body in (b"", data[:-8], data[:-4] + bytes(4), data[:-4] + b"\0"):
        with pytest.raises(FormatError):
            network_bytes.unpack_coded(sealed(body), IN_SLICE)


def test_the_fingerprint_is_the_start_of_a_sha256():
    data = network_bytes.pack(random_network(IN_SLICE, 0))
    assert network_bytes.fingerprint(data) == hashlib.sha256(data).hexdigest()[:16]
    assert network_bytes.fingerprint(data) != network_bytes.fingerprint(data[:-1])
    assert network_bytes.fingerprint(b"abc") == "ba7816bf8f01cfea"
