"""DM3 and DM4 files written byte by byte, since no library writes them.

A file is a tree of tags; numbers of its structure are big-endian, data are little-endian here.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np

Tag = tuple[str, "bytes | list[Tag]"]

_PIXELS = {"uint8": 6, "uint16": 10}
_ELEMENTS = {"uint8": 8, "uint16": 4}


class DmWriter:
    """Writes the tags of one version of the format.

    Attributes:
      version: 3 or 4; sizes are of 32 or 64 bits.
    """

    def __init__(self, version: int) -> None:
        self.version = version

    def file(self, images: Sequence[list[Tag]]) -> bytes:
        """A file with some images."""
        tree = self._group([("ImageList", [("", [("ImageData", image)]) for image in images])])
        head = struct.pack(">I", self.version) + self._size(len(tree)) + struct.pack(">I", 1)
        return head + tree + bytes(8)

    def image(self, voxels: np.ndarray, sizes: Sequence[float], unit: str) -> list[Tag]:
        """The tags of an array whose voxels have some size, x first as in the file."""
        kind = str(voxels.dtype)
        dimensions = [
            ("", [
                ("Origin", self._number(6, "<f", 0.0)),
                ("Scale", self._number(6, "<f", size)),
                ("Units", self._text(unit)),
            ])
            for size in sizes
        ]  # fmt: skip
        return [
            ("Calibrations", [("Dimension", dimensions)]),
            ("Data", self._array(_ELEMENTS[kind], voxels.size, voxels.tobytes())),
            ("DataType", self._number(5, "<I", _PIXELS[kind])),
            ("Dimensions", [("", self._number(5, "<I", n)) for n in voxels.shape[::-1]]),
        ]

    def thumbnail(self) -> list[Tag]:
        """A small coloured picture, with which most files begin."""
        tags = dict(self.image(np.zeros((4, 4), np.uint8), [1.0, 1.0], ""))
        return list({**tags, "DataType": self._number(5, "<I", 23)}.items())

    def _size(self, value: int) -> bytes:
        return struct.pack(">I" if self.version == 3 else ">Q", value)

    def _group(self, tags: Sequence[Tag]) -> bytes:
        parts = [b"\0\0", self._size(len(tags))]
        for name, content in tags:
            body = self._group(content) if isinstance(content, list) else content
            head = bytes([20 if isinstance(content, list) else 21])
            head += struct.pack(">H", len(name)) + name.encode()
            parts += [head, self._size(len(body)) if self.version == 4 else b"", body]
        return b"".join(parts)

    def _number(self, kind: int, form: str, value: float) -> bytes:
        return b"%%%%" + self._size(1) + self._size(kind) + struct.pack(form, value)

    def _array(self, element: int, count: int, data: bytes) -> bytes:
        sizes = [self._size(value) for value in (3, 20, element, count)]
        return b"%%%%" + b"".join(sizes) + data

    def _text(self, text: str) -> bytes:
        return self._array(4, len(text), text.encode("utf-16-le"))
