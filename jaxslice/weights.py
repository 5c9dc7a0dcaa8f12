"""An integer network as bytes, and its fingerprint."""

import hashlib
import struct

import numpy as np

from jaxslice.checksum import crc32c
from jaxslice.config import Architecture
from jaxslice.errors import ChecksumError, FormatError
from jaxslice.integer import IntegerNetwork, prove


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
    if crc32c(data[:-4]) != struct.unpack("<I", data[-4:])[0]:
        raise ChecksumError("Got a network whose CRC32C does not match its bytes.")
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


def fingerprint(data: bytes) -> str:
    """A short name for packed bytes: the first 16 hexadecimal digits of their SHA-256."""
    return hashlib.sha256(data).hexdigest()[:16]
