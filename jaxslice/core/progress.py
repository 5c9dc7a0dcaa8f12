"""Progress of the work, and the seconds its parts take."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator

Progress = Callable[[str, int, int], None]
"""Called with the name of a part of the work, how much of it is done, and how much there is."""


class Stopwatch:
    """Seconds spent in named parts of the work; parts that several threads do at once add up."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: dict[str, float] = defaultdict(float)
        self._start = time.perf_counter()

    @contextlib.contextmanager
    def measure(self, part: str) -> Iterator[None]:
        """Adds the time that the `with` block takes to `part`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add(part, time.perf_counter() - start)

    def add(self, part: str, seconds: float) -> None:
        """Adds time that was measured elsewhere."""
        with self._lock:
            self._seconds[part] += seconds

    def parts(self) -> dict[str, float]:
        """Seconds of all parts so far."""
        with self._lock:
            return dict(self._seconds)

    def seconds(self, *parts: str) -> dict[str, float]:
        """Seconds of each part, and `total`: since the stopwatch was made."""
        with self._lock:
            taken = {part: round(self._seconds[part], 3) for part in parts}
        return {**taken, "total": round(time.perf_counter() - self._start, 3)}


def no_progress(part: str, done: int, total: int) -> None:
    """The `Progress` of callers that want none."""


class Count:
    """Counts finished blocks from several threads, and reports progress."""

    def __init__(self, part: str, total: int, progress: Progress, done: int = 0) -> None:
        """Starts at `done`.

        Args:
          part: of the work, for `progress`.
          total: blocks that there are.
          progress: called after each addition.
          done: blocks that are finished already.
        """
        self._lock, self._done = threading.Lock(), done
        self._part, self._total, self._progress = part, total, progress

    def add(self, blocks: int) -> None:
        """Counts some more blocks."""
        with self._lock:
            self._done += blocks
            done = self._done
        self._progress(self._part, done, self._total)
