"""Verifying an archive: every block against its checksums, and against the source if given."""

from __future__ import annotations

import dataclasses
import os

import numpy as np

from jaxslice.archive.report import Report, report_of
from jaxslice.archive.store import Archive, open_archive
from jaxslice.codec.engines.interface import AUTO, engine_named
from jaxslice.core.box import Box, Triple
from jaxslice.core.errors import FormatError
from jaxslice.core.progress import Progress, Stopwatch, no_progress
from jaxslice.core.types import Volume
from jaxslice.jobs.decoding import decode_all, prepare_decoder
from jaxslice.jobs.task import Worker
from jaxslice.volumes.interface import AnySource
from jaxslice.volumes.source import Source, open_source


@dataclasses.dataclass(frozen=True)
class CompareWith:
    """A sink of decoded blocks that compares them with a source; see `decoding.Sink`.

    Attributes:
      archive: whose blocks are decoded.
      source: of the expected voxels; None to compare nothing.
    """

    archive: Archive
    source: Source | None

    def __call__(self, index: Triple, voxels: Volume, worker: Worker) -> None:
        """Compares a block.

        Raises:
          FormatError: it differs.
        """
        if self.source is None:
            return
        box = self.archive.box_of(index)
        with worker.watch.measure("read"):
            expected = self.source.read(box)
        if not np.array_equal(voxels[Box.of_shape(box.shape).slices], expected):
            raise FormatError(
                f"Got block {index} of {self.archive.location!r}, which differs from "
                f"{self.source.description!r} in {box}."
            )


def verify(
    archive: str | os.PathLike[str],
    *,
    source: AnySource | None = None,
    scale: int | str = 0,
    missing: str = "error",
    workers: int | None = None,
    batch_blocks: int | None = None,
    engine: str = AUTO,
    progress: Progress | None = None,
) -> Report:
    """Decodes every block of an archive against its checksums, and against a source if given.

    Args:
      archive: to check.
      source: the volume that it must equal; see `open_source`.
      scale: of the source, by index or key.
      missing: "error", or "zero" to take missing chunks of the source as black.
      workers: as in `CompressOptions`.
      batch_blocks: as in `CompressOptions`.
      engine: as in `CompressOptions`.
      progress: called now and then with (part of the work, done, total), from any thread.

    Returns:
      The sizes in bytes, and the seconds of each part; `details["verified"]` is True.

    Raises:
      UsageError: no archive, or a source that does not cover it.
      FormatError: a block is missing, damaged, or differs from the source.

    >>> import jaxslice
    >>> jaxslice.verify("volume.zarr", source="volume.npy").details["verified"]
    True
    """
    watch, opened = Stopwatch(), open_archive(archive)
    volume = None
    if source is not None:
        volume = open_source(source, scale=scale, missing=missing).covering(opened.box)
    batch, executor = prepare_decoder(opened, batch_blocks, workers, watch, engine)
    sink = CompareWith(opened, volume)
    decode_all(opened, None, sink, executor, batch, watch, progress or no_progress, engine)
    details = {
        "engine": engine_named(engine).name,
        "verified": True,
        "seal": opened.root,
        "compared_with": volume and volume.description,
    }
    return report_of(opened, watch.seconds("compile", "read", "decode"), details)
