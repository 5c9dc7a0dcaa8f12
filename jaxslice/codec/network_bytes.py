"""Integer networks as bytes, and their fingerprint.

Model files, and archives before ARCHIVE_VERSION, hold plain networks (`pack`). Later archives hold
entropy-coded networks (`pack_coded`).
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
"""Biases of coded networks are multiples of this, within [-128, 127] times its value."""


def pack(network: IntegerNetwork) -> bytes:
    """Encodes a network plainly: for each layer int8 weights by row and little-endian int32 biases,
    then the CRC32C of all layers.
    """
    layers = [
        np.asarray(weights, np.int8).tobytes() + np.asarray(biases, "<i4").tobytes()
        for weights, biases in zip(*network, strict=True)
    ]
    body = b"".join(layers)
    return body + struct.pack("<I", crc32c(body))


def unpack(data: bytes, architecture: Architecture) -> IntegerNetwork:
    """The inverse of `pack`.

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
    """Encodes a network as its difference to a network of zeros, followed by the CRC32C.

    Returns:
      Bytes for `unpack_coded`, and the network that it decodes from them: biases are rounded to
      multiples of CODED_BIAS_UNIT. Blocks must be encoded with this network.

    Raises:
      FormatError: the network does not fit the architecture, or could overflow.
    """
    body, rounded = network_difference.encode(
        blank(architecture), network, architecture, bias_unit=CODED_BIAS_UNIT
    )
    return body + struct.pack("<I", crc32c(body)), rounded


def unpack_coded(data: bytes, architecture: Architecture) -> IntegerNetwork:
    """Decodes the bytes of `pack_coded`.

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
    """The first 16 hexadecimal digits of the SHA-256 of packed bytes."""
    return hashlib.sha256(data).hexdigest()[:16]
