"""Section 3 of FORMAT.md: from the payload of a block to its voxels."""

import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxslice.core.errors import VersionError
from jaxslice.reference.checks import require, without_crc
from jaxslice.reference.configuration import read_configuration
from jaxslice.reference.difference import read_difference
from jaxslice.reference.levels import read_levels
from jaxslice.reference.march import decode_message

CONSTANT, STORED, CODED = 0, 1, 2
HEADER = struct.Struct("<4B4I")


def decode_block(payload: bytes, block_shape: Sequence[int], configuration: Any) -> np.ndarray:
    """Decodes one payload to a block, uint8 [z, y, x].

    Args:
      payload: the bytes of one block in the store.
      block_shape: voxels of a block along z, y and x.
      configuration: the JSON object `configuration` of the array's codec.

    Raises:
      FormatError: the payload or the configuration is damaged.
    """
    predictor = read_configuration(configuration)
    payload = without_crc(payload, "a payload")
    require(len(payload) >= HEADER.size, f"Got a payload of only {len(payload)} bytes.")
    version, mode, fill, flags, *extent, block_crc = HEADER.unpack_from(payload)
    body = payload[HEADER.size :]
    latest = 2 if predictor.block_networks else 1
    known = 1 <= version <= latest
    require(known, f"Got a payload of version {version}, expected up to {latest}.", VersionError)
    own = version == 2
    fields = mode == CODED or (mode < CODED and not own)
    require(fields and flags == own, f"Got mode {mode}, flags {flags} in version {version}.")
    fits = all(e <= n for e, n in zip(extent, block_shape, strict=True))
    fits &= all((e == 0) == (mode == CONSTANT) for e in extent)
    require(math.prod(block_shape) < 2**31, f"Got blocks of {block_shape}, beyond 2 GiB.")
    require(fits, f"Got the extent {extent} in mode {mode}, for blocks of {block_shape}.")
    if own:
        length = int.from_bytes(body[:4], "little")
        require(len(body) >= 4 + length, f"Got no difference of {length} bytes.")
        layers = read_difference(body[4 : 4 + length], predictor.layers, 64)
        predictor = predictor._replace(layers=layers)
        body = body[4 + length :]
    if mode == CODED:
        levels, message = read_levels(body, extent[0])
        counts = np.array([len(slice_levels) for slice_levels in levels])
        symbols = decode_message(message, extent, block_shape[2], counts, predictor)
        planes = zip(levels, symbols, strict=True)
        body = b"".join(table[plane].astype(np.uint8).tobytes() for table, plane in planes)
    require(len(body) == math.prod(extent), f"Got {len(body)} voxels for the extent {extent}.")
    block = np.full(tuple(block_shape), fill, np.uint8)
    block[tuple(map(slice, extent))] = np.frombuffer(body, np.uint8).reshape(extent)
    without_crc(block.tobytes() + struct.pack("<I", block_crc), "a block")
    return block
