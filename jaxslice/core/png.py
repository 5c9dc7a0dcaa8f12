"""Pictures as PNG files, for what has no need of an image library."""

from __future__ import annotations

import struct
import zlib

import numpy as np


def png(image: np.ndarray) -> bytes:
    """A PNG file of one picture.

    Args:
      image: uint8 or uint16 [row, column] in grey, 0 black, or [row, column, 3] in red, green and
        blue; at least one pixel.

    Source: Portable Network Graphics (PNG) Specification, third edition, W3C 2025, sections 5, 11.
    """
    height, width = image.shape[:2]
    # Samples of two bytes have the more significant one first.
    samples = np.ascontiguousarray(image, image.dtype.newbyteorder(">"))
    rows = samples.reshape(height, -1).view(np.uint8)
    # A row begins with its filter: 2 stores differences to the row above, of bytes modulo 256.
    differences = np.diff(rows, axis=0, prepend=np.zeros((1, rows.shape[1]), np.uint8))
    filtered = np.pad(differences, [(0, 0), (1, 0)], constant_values=2)
    # Bits of a sample, grey or coloured without alpha, and the only methods that PNG knows.
    kind = 0 if image.ndim == 2 else 2
    header = struct.pack(">IIBBBBB", width, height, 8 * image.dtype.itemsize, kind, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(filtered.tobytes(), 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
