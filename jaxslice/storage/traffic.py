"""What this process read from sources and wrote to stores: bytes, and chunks fetched again."""

from __future__ import annotations

import dataclasses
import sys
import threading
from typing import Any


@dataclasses.dataclass(frozen=True)
class Traffic:
    """What went to and fro. Traffic adds up.

    Attributes:
      read_bytes: of sources, as they are stored. What libraries read by themselves, such as h5py,
        is not counted.
      written_bytes: to stores, of archives and of notes.
      chunks: of sources that were fetched, those that were fetched again included.
      chunks_again: of these, those that this process had fetched before.
    """

    read_bytes: int = 0
    written_bytes: int = 0
    chunks: int = 0
    chunks_again: int = 0

    def __add__(self, other: Traffic) -> Traffic:
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return Traffic(*(a + b for a, b in pairs))

    def __sub__(self, other: Traffic) -> Traffic:
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return Traffic(*(a - b for a, b in pairs))

    @property
    def read_again_bytes(self) -> int:
        """Bytes of the chunks that were fetched again, taking all chunks to be of one size."""
        return round(self.read_bytes * self.chunks_again / self.chunks) if self.chunks else 0

    def to_json(self) -> dict[str, int]:
        """A JSON object; what was not counted is left out."""
        found = {"source_bytes_read": self.read_bytes} if self.read_bytes else {}
        if self.chunks:
            found["source_bytes_read_twice"] = self.read_again_bytes
        return found | {"bytes_written": self.written_bytes}


_lock = threading.Lock()
_counted = Traffic()
_other_bytes = 0
_taken = Traffic()


def count(
    *, read_bytes: int = 0, written_bytes: int = 0, chunks: int = 0, chunks_again: int = 0
) -> None:
    """Counts what TensorStore does not count, or does not tell apart; see `Traffic`."""
    add(Traffic(read_bytes, written_bytes, chunks, chunks_again))


def add(found: Traffic) -> None:
    """Counts what another process did for this one."""
    global _counted
    with _lock:
        _counted += found


def count_other(num_bytes: int) -> None:
    """Counts bytes that were read through TensorStore, but of no chunk of a source."""
    global _other_bytes
    with _lock:
        _other_bytes += num_bytes


def traffic() -> Traffic:
    """All of this process so far."""
    delivered = _delivered_bytes()
    with _lock:
        return _counted + Traffic(read_bytes=max(delivered - _other_bytes, 0))


def take_traffic() -> Traffic:
    """All of this process since the last call, for whoever adds it up over processes."""
    global _taken
    now = traffic()
    with _lock:
        found, _taken = now - _taken, now
    return found


def _delivered_bytes() -> int:
    """Bytes that all stores of TensorStore have delivered to this process."""
    if "tensorstore" not in sys.modules:
        return 0
    import tensorstore as ts

    metrics: list[Any] = ts.experimental_collect_matching_metrics("/tensorstore/kvstore/")
    return sum(
        int(value["value"])
        for metric in metrics
        if metric["name"].endswith("/bytes_read")
        for value in metric["values"]
    )
