"""Chunks of a source that are kept, so that neighbouring blocks need not fetch them again."""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
import threading
import weakref
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

from jaxslice.core.box import Triple
from jaxslice.storage import traffic

USUAL_BYTES = 256 * 2**20
"""Most memory for the chunks of a source, unless its blocks need more."""

SHARD_INDICES_BYTES = 32 * 2**20
"""Most memory for what TensorStore itself keeps of an array, the indices of its shards."""


class ChunkCache:
    """Chunks of one array, each fetched once as long as there is room. Threads share it.

    Whoever asks for a chunk that another thread is fetching waits for that. A pickle holds no
    chunk; copies of it in one process share their chunks as long as one of them is there.

    Attributes:
      limit_bytes: most memory for chunks.
    """

    def __init__(self, limit_bytes: int | None = None, name: str = "") -> None:
        """Keeps nothing yet; `name` is that of the cache that a pickle was made of."""
        self.limit_bytes = USUAL_BYTES if limit_bytes is None else limit_bytes
        self._name = name or secrets.token_hex(8)
        self._shared = _shared_of(self._name)

    def __reduce__(self) -> Any:
        return ChunkCache, (self.limit_bytes, self._name)

    @contextlib.contextmanager
    def claims(self) -> Iterator[Claims]:
        """Chunks that the `with` block asks for, and must fetch where nobody else does."""
        claims = Claims(self._shared, self.limit_bytes)
        try:
            yield claims
        finally:
            claims.settle()

    def get(self, index: Triple, num_bytes: int, fetch: Callable[[], Any]) -> Any:
        """A chunk, fetched unless it is kept.

        Args:
          index: of the chunk.
          num_bytes: that it takes in memory.
          fetch: fetches it; what it raises is raised.
        """
        with self.claims() as claims:
            chunk, is_new = claims.get(index, num_bytes)
            if is_new:
                try:
                    chunk.set_result(fetch())
                except Exception as error:
                    chunk.set_exception(error)
        return chunk.result()


class _Shared:
    """The chunks themselves."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[Triple, tuple[Future[Any], int]] = OrderedDict()
        # Bits along x of each row of chunks.
        self._fetched: defaultdict[tuple[int, int], int] = defaultdict(int)
        self._kept_bytes = 0

    def claim(self, index: Triple, num_bytes: int, limit: int) -> tuple[Future[Any], bool]:
        with self._lock:
            if index in self._kept:
                self._kept.move_to_end(index)
                return self._kept[index][0], False
            self._count(index)
            chunk: Future[Any] = Future()
            self._kept[index] = chunk, num_bytes
            self._kept_bytes += num_bytes
            self._make_room(limit)
            return chunk, True

    def _make_room(self, limit: int) -> None:
        """Drops the chunks that were asked for longest ago, but none that is being fetched."""
        dropped = []
        left = self._kept_bytes
        for index, (chunk, num_bytes) in self._kept.items():
            if left <= limit:
                break
            if chunk.done():
                dropped.append(index)
                left -= num_bytes
        for index in dropped:
            del self._kept[index]
        self._kept_bytes = left

    def forget(self, index: Triple, chunk: Future[Any]) -> None:
        with self._lock:
            if self._kept.get(index, (None,))[0] is chunk:
                self._kept_bytes -= self._kept.pop(index)[1]

    def _count(self, index: Triple) -> None:
        z, y, x = index
        bit = 1 << x
        again = self._fetched[z, y] & bit != 0
        self._fetched[z, y] |= bit
        traffic.count(chunks=1, chunks_again=int(again))


class Claims:
    """Chunks that one thread asked for at a time."""

    def __init__(self, shared: _Shared, limit: int) -> None:
        """Takes where they are kept, and the most memory for them."""
        self._shared, self._limit = shared, limit
        self._claimed: list[tuple[Triple, Future[Any]]] = []

    def get(self, index: Triple, num_bytes: int) -> tuple[Future[Any], bool]:
        """The future of a chunk, and whether whoever asks must fetch it."""
        chunk, is_new = self._shared.claim(index, num_bytes, self._limit)
        if is_new:
            self._claimed.append((index, chunk))
        return chunk, is_new

    def settle(self) -> None:
        """Ends the waiting for chunks that were not fetched, and does not keep them."""
        for index, chunk in self._claimed:
            if not chunk.done():
                chunk.set_exception(TimeoutError("no answer to an earlier request"))
            if chunk.exception() is not None:
                self._shared.forget(index, chunk)


_all: weakref.WeakValueDictionary[str, _Shared] = weakref.WeakValueDictionary()
_all_lock = threading.Lock()


def _shared_of(name: str) -> _Shared:
    with _all_lock:
        return _all.setdefault(name, _Shared())


@dataclasses.dataclass(frozen=True)
class Chunking:
    """How the chunks of a volume lie.

    Attributes:
      origin: where a chunk begins, in global coordinates.
      shape: of the chunks.
      itemsize: bytes of a voxel.
      cache: of the chunks.
    """

    origin: Triple
    shape: Triple
    itemsize: int
    cache: ChunkCache = dataclasses.field(compare=False)
