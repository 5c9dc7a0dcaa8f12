"""The chain of pages of a TIFF file: each page says where the next one is."""

from __future__ import annotations

import io
import struct

from jaxslice.core.errors import UsageError

_ORDERS = {b"II": "<", b"MM": ">"}
_LAYOUTS = {42: ("H", 12, "I", 4), 43: ("Q", 20, "Q", 8)}
"""Version -> format of a count of tags, bytes of a tag, format of an offset, where the first is."""


def check_chain(place: str, file: io.BufferedIOBase) -> None:
    """Refuses a file whose chain comes back to itself: tifffile would follow it for ever.

    Args:
      place: as the user wrote it.
      file: at its start, where it is left again.

    Raises:
      UsageError: the chain has no end.
    """
    start = file.read(16)
    file.seek(0)
    order = _ORDERS.get(start[:2], "")
    layout = _LAYOUTS.get(int.from_bytes(start[2:4], "big" if order == ">" else "little"))
    if not order or layout is None or len(start) < 16:
        return
    count_format, tag_bytes, offset_format, first = layout
    seen: set[int] = set()
    (offset,) = struct.unpack_from(order + offset_format, start, first)
    while offset:
        if offset in seen:
            raise UsageError(f"Got {place!r}, whose chain of pages has no end: it is damaged.")
        seen.add(offset)
        count = _number(file, offset, order + count_format)
        place_of_next = offset + struct.calcsize(count_format) + (count or 0) * tag_bytes
        found = None if count is None else _number(file, place_of_next, order + offset_format)
        offset = found or 0
    file.seek(0)


def _number(file: io.BufferedIOBase, offset: int, form: str) -> int | None:
    """A number of the file; None where the file has ended."""
    if offset >= 2**63:
        return None
    file.seek(offset)
    data = file.read(struct.calcsize(form))
    return struct.unpack(form, data)[0] if len(data) == struct.calcsize(form) else None
