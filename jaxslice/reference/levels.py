"""Section 3 of FORMAT.md: level tables."""

import numpy as np

from jaxslice.reference.checks import require


def read_levels(body: bytes, num_slices: int) -> tuple[list[np.ndarray], bytes]:
    """The ascending levels of each slice, and the bytes after the level tables."""
    kind, bits = body[:1], np.unpackbits(np.frombuffer(body[1:], np.uint8))
    if kind == b"\0":
        return [np.arange(256)] * num_slices, body[1:]
    require(kind in (b"\1", b"\2"), f"Got level tables of the kind {kind!r}.")
    union = np.flatnonzero(bits[:256])
    size = 256 + (num_slices * len(union) if kind == b"\2" else 0)
    require(len(bits) >= size, "Got level tables that are too short.")
    require(not bits[size : -(-size // 8) * 8].any(), "Got level tables with fill bits set.")
    levels = [union] * num_slices
    if kind == b"\2":
        levels = [union[mask] for mask in bits[256:size].reshape(num_slices, len(union)) != 0]
    require(min(map(len, levels)) > 0, "Got a slice without levels.")
    return levels, body[1 + -(-size // 8) :]
