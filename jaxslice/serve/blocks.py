"""Decoded blocks of all served volumes: requests joined, memory bounded, neighbours prefetched.

Everything here runs on one event loop; only the decoding itself is on threads, those that all
readers of the process share.
"""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import math
from collections.abc import Iterator
from typing import TypeAlias

import numpy as np

from jaxslice.archive.lazy_volume import LazyVolume
from jaxslice.core.box import Box, Triple
from jaxslice.core.machine import num_cores

Key: TypeAlias = tuple[LazyVolume, Triple]
"""A volume, which is compared by identity, and the index of one of its blocks."""

MOST_AHEAD = 32
"""Neighbours that wait to be prefetched."""


@dataclasses.dataclass
class Counts:
    """What the cache has done.

    Attributes:
      hits: blocks that were asked for and in the cache.
      joined: blocks that were asked for while another request had them decoded.
      decoded: blocks that were decoded, the prefetched ones included.
      prefetched: blocks that were decoded before anybody asked.
      dropped: blocks that nobody wanted any more before their turn came.
    """

    hits: int = 0
    joined: int = 0
    decoded: int = 0
    prefetched: int = 0
    dropped: int = 0


class BlockCache:
    """Blocks as arrays [z, y, x], without the voxels outside the volume."""

    def __init__(self, cache_bytes: int, workers: int | None = None) -> None:
        """Starts empty.

        Args:
          cache_bytes: most memory for decoded blocks that are kept.
          workers: blocks that are decoded at the same time; one for each core if None.
        """
        self.counts = Counts()
        self.kept_bytes = 0
        self._limit = cache_bytes
        self._workers = workers or num_cores()
        self._slots = asyncio.Semaphore(self._workers)
        self._kept: collections.OrderedDict[Key, np.ndarray] = collections.OrderedDict()
        self._running: dict[Key, asyncio.Task[np.ndarray]] = {}
        self._begun: set[Key] = set()
        self._readers: collections.Counter[Key] = collections.Counter()
        self._ahead: collections.deque[Key] = collections.deque(maxlen=MOST_AHEAD)

    async def read(self, volume: LazyVolume, index: Triple) -> np.ndarray:
        """A block, from the cache or decoded now; the array must not be changed.

        Raises:
          FormatError: it is missing or damaged.
          OSError: the storage cannot be reached.
        """
        key = (volume, index)
        kept = self._kept.get(key)
        if kept is not None:
            self._kept.move_to_end(key)
            self.counts.hits += 1
            self._look_ahead(key)
            return kept
        if key in self._running:
            self.counts.joined += 1
            task = self._running[key]
        else:
            task = self._start(key)
        self._readers[key] += 1
        try:
            # The block may be wanted by others when this reader goes away.
            block = await asyncio.shield(task)
        finally:
            self._leave(key, task)
        self._look_ahead(key)
        return block

    def prefetch(self, volume: LazyVolume, index: Triple) -> None:
        """Decodes a block as soon as a core has nothing else to do."""
        self._ahead.append((volume, index))
        self._start_prefetches()

    async def close(self) -> None:
        """Stops what has not begun and waits for the rest."""
        self._ahead.clear()
        tasks = list(self._running.values())
        for key, task in list(self._running.items()):
            if key not in self._begun:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, key: Key) -> asyncio.Task[np.ndarray]:
        task = asyncio.get_running_loop().create_task(self._decode(key))
        self._running[key] = task
        task.add_done_callback(lambda _: self._end(key, task))
        return task

    async def _decode(self, key: Key) -> np.ndarray:
        async with self._slots:
            self._begun.add(key)
            volume, index = key
            block = await volume.tensorstore[box_of_block(volume, index).slices].read(order="C")
        self.counts.decoded += 1
        self._keep(key, block)
        return block

    def _end(self, key: Key, task: asyncio.Task[np.ndarray]) -> None:
        self._begun.discard(key)
        if self._running.get(key) is task:
            del self._running[key]
        if not task.cancelled():
            # Otherwise asyncio complains of a failed prefetch that nobody waited for.
            task.exception()
        self._start_prefetches()

    def _leave(self, key: Key, task: asyncio.Task[np.ndarray]) -> None:
        self._readers[key] -= 1
        if self._readers[key]:
            return
        del self._readers[key]
        if self._running.get(key) is task and key not in self._begun:
            # A later reader must not wait for a task that is being cancelled.
            del self._running[key]
            task.cancel()
            self.counts.dropped += 1

    def _keep(self, key: Key, block: np.ndarray) -> None:
        if block.nbytes > self._limit:
            return
        self._kept[key] = block
        self.kept_bytes += block.nbytes
        while self.kept_bytes > self._limit:
            _, oldest = self._kept.popitem(last=False)
            self.kept_bytes -= oldest.nbytes

    def _look_ahead(self, key: Key) -> None:
        volume, index = key
        # What is prefetched must not push out what is being looked at.
        if self._limit < 16 * math.prod(volume.chunks) * volume.archive.dtype.itemsize:
            return
        for neighbour in neighbours(volume, index):
            found = (volume, neighbour)
            if not (found in self._kept or found in self._running or found in self._ahead):
                self._ahead.append(found)
        self._start_prefetches()

    def _start_prefetches(self) -> None:
        while self._ahead and len(self._running) < self._workers:
            # Those next to the latest block are the likeliest to be looked at.
            key = self._ahead.pop()
            if key not in self._kept and key not in self._running:
                self.counts.prefetched += 1
                self._start(key)


def box_of_block(volume: LazyVolume, index: Triple) -> Box:
    """The voxels of a block that lie in the volume, in coordinates that begin at its corner."""
    z, y, x = (i * n for i, n in zip(index, volume.chunks, strict=True))
    return Box.of_shape(volume.chunks, (z, y, x)).intersect(Box.of_shape(volume.shape))


def neighbours(volume: LazyVolume, index: Triple) -> Iterator[Triple]:
    """Indices of the blocks that share a face with a block; those before and behind it last."""
    for axis in (2, 1, 0):
        for step in (-1, 1):
            z, y, x = (i + step * (a == axis) for a, i in enumerate(index))
            ends = zip((z, y, x), volume.shape, volume.chunks, strict=True)
            if all(0 <= i < -(-n // size) for i, n, size in ends):
                yield (z, y, x)
