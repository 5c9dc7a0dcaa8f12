"""Where an archive and a volume differ, and how much."""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxslice.archive.report import Report, report_of
from jaxslice.archive.store import Archive, open_archive
from jaxslice.codec.engines.interface import AUTO, engine_named
from jaxslice.core.box import Box, Triple
from jaxslice.core.progress import Progress, Stopwatch, no_progress
from jaxslice.jobs.decoding import decode_all, prepare_decoder
from jaxslice.jobs.task import Worker
from jaxslice.volumes.interface import AnySource
from jaxslice.volumes.source import Source, open_source


@dataclasses.dataclass(frozen=True)
class Difference:
    """What differs in one block.

    Attributes:
      block: its index.
      box: the smallest one that holds all voxels that differ, in global coordinates.
      voxels: how many differ.
      largest: difference in grey levels, of archive less volume, without its sign.
      total: of all differences without their signs.
    """

    block: Triple
    box: Box
    voxels: int
    largest: int
    total: int


def difference_of(
    block: Triple, box: Box, ours: np.ndarray, theirs: np.ndarray
) -> Difference | None:
    """Compares the voxels of a box; None if all are equal.

    Args:
      block: index of the block that they are of.
      box: in global coordinates.
      ours: [z, y, x] of the shape of the box, of 16 bits at most.
      theirs: likewise.
    """
    if np.array_equal(ours, theirs):
        return None
    amount = np.abs(ours.astype(np.int32) - theirs.astype(np.int32))
    places = [np.flatnonzero(amount.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    z0, y0, x0 = (int(found[0]) for found in places)
    z1, y1, x1 = (int(found[-1]) + 1 for found in places)
    where = Box((z0, y0, x0), (z1, y1, x1)).shift(box.start)
    total = int(amount.sum(dtype=np.int64))
    return Difference(block, where, int(np.count_nonzero(amount)), int(amount.max()), total)


@dataclasses.dataclass(frozen=True)
class FindDifferences:
    """A sink of decoded blocks that hands on what differs; see `decoding.Sink`.

    Attributes:
      archive: whose blocks are decoded.
      source: to compare with.
      found: takes what differs, from any thread.
    """

    archive: Archive
    source: Source
    found: Callable[[Difference], None]

    def __call__(self, index: Triple, voxels: np.ndarray, worker: Worker) -> None:
        """Compares a block."""
        box = self.archive.box_of(index)
        with worker.watch.measure("read"):
            theirs = self.source.read(box)
        ours = voxels[Box.of_shape(box.shape).slices]
        difference = difference_of(index, box, ours, theirs)
        if difference is not None:
            self.found(difference)


def diff(
    archive: str | os.PathLike[str],
    source: AnySource,
    *,
    bbox: Box | None = None,
    scale: int | str = 0,
    missing: str = "error",
    workers: int | None = None,
    batch_blocks: int | None = None,
    engine: str = AUTO,
    progress: Progress | None = None,
) -> Report:
    """Compares an archive with a volume, block by block: where do they differ, and how much?

    Args:
      archive: to compare.
      source: to compare with; see `open_source`.
      bbox: compare the blocks that hold voxels of this box, in global coordinates; all if None.
      scale: of the source, by index or key.
      missing: "error", or "zero" to take missing chunks of the source as black.
      workers: as in `CompressOptions`.
      batch_blocks: as in `CompressOptions`.
      engine: as in `CompressOptions`.
      progress: called now and then with (part of the work, done, total), from any thread.

    Returns:
      Sizes and seconds; `details` says whether all voxels are "equal", how many differ, the
      "largest_difference" and the "mean_difference" in grey levels, and lists the blocks that
      differ.

    Raises:
      UsageError: no archive, or a source that does not cover it.
      FormatError: a block is missing or damaged.

    >>> import jaxslice
    >>> jaxslice.diff("volume.zarr", "volume.npy").details["equal"]
    True
    """
    watch, opened = Stopwatch(), open_archive(archive)
    volume = open_source(source, scale=scale, missing=missing).covering(opened.box)
    batch, executor = prepare_decoder(opened, batch_blocks, workers, watch, engine)
    found: list[Difference] = []
    lock = threading.Lock()

    def add(difference: Difference) -> None:
        with lock:
            found.append(difference)

    sink = FindDifferences(opened, volume, add)
    decode_all(opened, bbox, sink, executor, batch, watch, progress or no_progress, engine)
    details = {
        "engine": engine_named(engine).name,
        "compared_with": volume.description,
        **_summary(found),
    }
    return report_of([opened], watch.seconds("compile", "read", "decode"), details)


def _summary(found: list[Difference]) -> dict[str, Any]:
    voxels = sum(one.voxels for one in found)
    return {
        "equal": not found,
        "voxels_different": voxels,
        "largest_difference": max((one.largest for one in found), default=0),
        "mean_difference": round(sum(one.total for one in found) / max(1, voxels), 3),
        "blocks_different": len(found),
        "differences": [
            {
                "block": list(one.block),
                "box": str(one.box),
                "voxels": one.voxels,
                "largest": one.largest,
            }
            for one in sorted(found, key=lambda one: one.block)
        ],
    }
