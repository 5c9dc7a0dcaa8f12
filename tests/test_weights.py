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

from jaxslice import weights
from jaxslice.checksum import crc32c
from jaxslice.errors import ChecksumError, FormatError
from jaxslice.integer import BIAS_HIGH, blank


def sealed(data: bytes) -> bytes:
    return data + struct.pack("<I", crc32c(data))


@pytest.mark.parametrize("make_network", [random_network, extreme_network])
@pytest.mark.parametrize("architecture", [TINY, IN_SLICE, EARLIER])
def test_a_network_comes_back(architecture, make_network):
    network = make_network(architecture, 3)
    data = weights.pack(network)
    # A byte for each weight, four for each bias and four for the checksum.
    biases = sum(outputs for outputs, _ in architecture.layer_shapes)
    assert len(data) == architecture.multiply_adds_per_voxel + 4 * biases + 4
    again = weights.unpack(data, architecture)
    for arrays, expected in zip(again, network, strict=True):
        for array, wanted in zip(arrays, expected, strict=True):
            assert array.dtype == wanted.dtype
            np.testing.assert_array_equal(array, wanted)
    assert weights.pack(again) == data


def test_bytes_by_hand():
    network = random_network(IN_SLICE, 0)
    first, second = network.weights
    rows = b"".join(
        struct.pack(f"<{len(row)}b", *row.tolist()) for row in first
    ) + struct.pack("<4i", *network.biases[0].tolist())  # fmt: skip
    rows += b"".join(struct.pack(f"<{len(row)}b", *row.tolist()) for row in second)
    rows += struct.pack("<3i", *network.biases[1].tolist())
    assert weights.pack(network) == sealed(rows)


def test_every_flipped_byte_is_found():
    data = weights.pack(random_network(IN_SLICE, 0))
    for at in range(len(data)):
        with pytest.raises(ChecksumError, match="CRC32C"):
            weights.unpack(data[:at] + bytes([data[at] ^ 16]) + data[at + 1 :], IN_SLICE)


@pytest.mark.parametrize("change", [lambda d: b"", lambda d: d[:-1], lambda d: d + b"\0"])
def test_other_sizes_are_refused(change):
    data = weights.pack(random_network(IN_SLICE, 0))
    with pytest.raises(FormatError, match=f"bytes, expected {len(data)}"):
        weights.unpack(change(data), IN_SLICE)


def test_a_network_of_another_architecture_is_refused():
    with pytest.raises(FormatError, match="Got a network of"):
        weights.unpack(weights.pack(random_network(IN_SLICE, 0)), TINY)


@pytest.mark.parametrize("column", [0, -1])
def test_a_network_that_could_overflow_is_refused(column):
    network = random_network(TINY, 0)
    biases = (network.biases[0], np.full(6, BIAS_HIGH + 1, np.int32))
    with pytest.raises(FormatError, match="exact arithmetic"):
        weights.unpack(weights.pack(network._replace(biases=biases)), TINY)
    # -128 fits an int8, but the format stops at -127.
    network.weights[0][3, column] = -128
    with pytest.raises(FormatError):
        weights.unpack(weights.pack(network), TINY)


@pytest.mark.parametrize("architecture", [TINY, IN_SLICE, EARLIER, SHEARED])
def test_a_coded_network_comes_back_with_its_biases_rounded(architecture):
    network = random_network(architecture, 3)
    data, rounded = weights.pack_coded(network, architecture)
    assert len(data) < len(weights.pack(network))
    again = weights.unpack_coded(data, architecture)
    for arrays, expected in zip(again, rounded, strict=True):
        for array, wanted in zip(arrays, expected, strict=True):
            np.testing.assert_array_equal(array, wanted)
    for array, wanted in zip(rounded.weights, network.weights, strict=True):
        np.testing.assert_array_equal(array, wanted)
    for array, wanted in zip(rounded.biases, network.biases, strict=True):
        assert not (array % weights.CODED_BIAS_UNIT).any()
        assert np.abs(array - wanted).max() <= weights.CODED_BIAS_UNIT // 2
    assert weights.pack_coded(rounded, architecture)[0] == data


def test_a_coded_network_of_zeros_by_hand():
    """Two layers of weights and biases, all 0: four records, and the state that nothing moved."""
    data, _ = weights.pack_coded(blank(IN_SLICE), IN_SLICE)
    assert data == sealed(b"\xff" * 4 + struct.pack("<II", 0, 1 << 31))


def test_every_flipped_byte_of_a_coded_network_is_found():
    data, _ = weights.pack_coded(random_network(IN_SLICE, 0), IN_SLICE)
    for at in range(len(data)):
        with pytest.raises(ChecksumError, match="CRC32C"):
            weights.unpack_coded(data[:at] + bytes([data[at] ^ 16]) + data[at + 1 :], IN_SLICE)
    for damaged in (b"", data[:3], data[:-1]):
        with pytest.raises(ChecksumError):
            weights.unpack_coded(damaged, IN_SLICE)
    for body in (b"", data[:-8], data[:-4] + bytes(4), data[:-4] + b"\0"):
        with pytest.raises(FormatError):
            weights.unpack_coded(sealed(body), IN_SLICE)


def test_the_fingerprint_is_the_start_of_a_sha256():
    data = weights.pack(random_network(IN_SLICE, 0))
    assert weights.fingerprint(data) == hashlib.sha256(data).hexdigest()[:16]
    assert weights.fingerprint(data) != weights.fingerprint(data[:-1])
    assert weights.fingerprint(b"abc") == "ba7816bf8f01cfea"
