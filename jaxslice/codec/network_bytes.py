"""An integer network as bytes, and its fingerprint.

Plain in model files and in archives before ARCHIVE_VERSION; coded, in two thirds of the bytes, in
archives since.
"""

import hashlib
import struct

import numpy as np

from jaxslice.codec import network_difference
from jaxslice.codec.architecture import Architecture
from jaxslice.codec.network import IntegerNetwork, blank, prove
from jaxslice.core.checksum import crc32c
from jaxslice.core.errors import ChecksumError, FormatError

CODED_BIAS_UNIT = 1 << 8
"""Biases of coded networks are multiples of it, up to 127 of them in size."""


def pack(network: IntegerNetwork) -> bytes:
    """The network's layers one after the other: int8 weights by row, then little-endian int32
    biases; and the CRC32C of all that.
    """
    layers = [
        np.asarray(weights, np.int8).tobytes() + np.asarray(biases, "<i4").tobytes()
        for weights, biases in zip(*network, strict=True)
    ]
    body = b"".join(layers)
    return body + struct.pack("<I", crc32c(body))


def unpack(data: bytes, architecture: Architecture) -> IntegerNetwork:
    """The network that `pack` made bytes of.

    Raises:
      FormatError: the bytes are too few, too many or damaged, or the network could overflow.
    """
    expected = sum(outputs * (inputs + 4) for outputs, inputs in architecture.layer_shapes) + 4
    if len(data) != expected:
        raise FormatError(f"Got a network of {len(data)} bytes, expected {expected}.")
    _check_crc(data)
    weights, biases, position = [], [], 0
    for outputs, inputs in architecture.layer_shapes:
        size = outputs * inputs
        layer = np.frombuffer(data, np.int8, size, position)
        weights.append(layer.reshape(outputs, inputs))
        biases.append(np.frombuffer(data, "<i4", outputs, position + size).astype(np.int32))
        position += size + 4 * outputs
    network = IntegerNetwork(tuple(weights), tuple(biases))
    prove(network, architecture)
    return network


def pack_coded(network: IntegerNetwork, architecture: Architecture) -> tuple[bytes, IntegerNetwork]:
    """The network's difference to one of zeros, and the CRC32C of that.

    Returns:
      Bytes for `unpack_coded`, and the network that it will make of them, whose biases are rounded
      to multiples of CODED_BIAS_UNIT: blocks must be encoded with that one.

    Raises:
      FormatError: it is no network of the architecture, or could overflow.
    """
    body, rounded = network_difference.encode(
        blank(architecture), network, architecture, bias_unit=CODED_BIAS_UNIT
    )
    return body + struct.pack("<I", crc32c(body)), rounded


def unpack_coded(data: bytes, architecture: Architecture) -> IntegerNetwork:
    """The network that `pack_coded` returned beside its bytes.

    Raises:
      FormatError: the bytes are damaged or of another architecture, or the network could overflow.
    """
    _check_crc(data)
    return network_difference.decode(
        data[:-4], blank(architecture), architecture, bias_unit=CODED_BIAS_UNIT
    )


def _check_crc(data: bytes) -> None:
    if len(data) < 4 or crc32c(data[:-4]) != struct.unpack("<I", data[-4:])[0]:
        raise ChecksumError("Got a network whose CRC32C does not match its bytes.")


def fingerprint(data: bytes) -> str:
    """A short name for packed bytes: the first 16 hexadecimal digits of their SHA-256."""
    return hashlib.sha256(data).hexdigest()[:16]
