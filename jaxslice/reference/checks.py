"""Checks that all sections of FORMAT.md need: CRC32C, JSON fields and their limits."""

import struct
from collections.abc import Sequence
from typing import Any

from jaxslice.core.errors import ChecksumError, FormatError


def require(condition: Any, message: str, error: type[FormatError] = FormatError) -> None:
    """Raises the error unless the condition holds."""
    if not condition:
        raise error(message)


def crc32c(data: bytes) -> int:
    """The Castagnoli checksum of RFC 3720."""
    table = range(256)
    for _ in range(8):
        table = [crc >> 1 ^ 0x82F63B78 * (crc & 1) for crc in table]
    crc = 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 255] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def without_crc(data: bytes, what: str) -> bytes:
    """The bytes without the CRC32C at their end, which is checked."""
    matches = struct.pack("<I", crc32c(data[:-4])) == data[-4:]
    require(matches, f"Got {what} whose CRC32C does not match its bytes.", ChecksumError)
    return data[:-4]


def field(value: Any, name: str, kind: type) -> Any:
    """The field `name` of a JSON object, of exactly the type `kind` (a bool is no int)."""
    found = type(value) is dict and type(value.get(name)) is kind
    require(found, f"Got JSON without the field {name!r}, expected a {kind.__name__}.")
    return value[name]


def integers(values: Any, low: int, high: int, sizes: Sequence[int], what: str) -> list[int]:
    """The values: a list of integers within the limits, whose length is one of `sizes`."""
    good = type(values) is list and all(type(n) is int and low <= n <= high for n in values)
    require(good and len(values) in sizes, f"Got {what} {values!r}, limits are {low} to {high}.")
    return values
