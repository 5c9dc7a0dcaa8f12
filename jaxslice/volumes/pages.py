"""Volumes whose slices are pages: each can only be decoded as a whole.

A block is a part of many pages. So that each page is decoded once and not once for every block,
decoded pages are kept in a temporary folder, of which the oldest are deleted.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np

from jaxslice.core.temporary import temporary_folder

PAGES_KEPT = 300
"""Most pages on disk: what blocks of 128 slices need, with those of the slab before."""


class PageCache:
    """Decoded pages in temporary files, which are deleted with the cache."""

    def __init__(self, decode: Callable[[int], np.ndarray], pages_kept: int = PAGES_KEPT) -> None:
        """Takes a function that decodes a page, and how many are kept."""
        self._decode, self._pages_kept = decode, pages_kept
        self._lock = threading.Lock()
        self._of_page: dict[int, threading.Lock] = {}
        self._kept: OrderedDict[int, Path] = OrderedDict()

    @functools.cached_property
    def _folder(self) -> Path:
        return temporary_folder(self)

    def read(self, page: int, y: slice, x: slice) -> np.ndarray:
        """A part of a page; other threads wait for the same page rather than decode it too."""
        with self._lock:
            own = self._of_page.setdefault(page, threading.Lock())
        with own:
            path = self._kept.get(page)
            if path is not None:
                with self._lock, contextlib.suppress(KeyError):
                    self._kept.move_to_end(page)
                # A page that is deleted meanwhile is decoded again.
                with contextlib.suppress(FileNotFoundError):
                    return np.array(np.load(path, mmap_mode="r")[y, x])
            whole = self._decode(page)
            with self._lock:
                path = self._folder / f"{page}.npy"
            np.save(path, whole)
            self._keep(page, path)
            return whole[y, x]

    def _keep(self, page: int, path: Path) -> None:
        with self._lock:
            self._kept[page] = path
            oldest = []
            while len(self._kept) > self._pages_kept:
                oldest.append(self._kept.popitem(last=False)[1])
        for old in oldest:
            old.unlink(missing_ok=True)
