"""Grey pictures as PNG files, for what has no need of an image library."""

from __future__ import annotations

import struct
import zlib

import numpy as np


def grey_png(image: np.ndarray) -> bytes:
    """A PNG file of one picture.

    Args:
      image: uint8 or uint16 [row, column], 0 black, at least one pixel.

    Source: Portable Network Graphics (PNG) Specification, third edition, W3C 2025, sections 5, 11.
    """
    height, width = image.shape
    # Samples of two bytes have the more significant one first.
    samples = image.astype(image.dtype.newbyteorder(">")).view(np.uint8)
    # A row begins with its filter: 2 stores differences to the row above, of bytes modulo 256.
    differences = np.diff(samples, axis=0, prepend=np.zeros((1, samples.shape[1]), np.uint8))
    rows = np.pad(differences, [(0, 0), (1, 0)], constant_values=2)
    # Bits of a sample, grey without alpha, and the only methods that PNG knows.
    header = struct.pack(">IIBBBBB", width, height, 8 * image.dtype.itemsize, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
