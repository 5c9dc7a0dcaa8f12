"""Verifying an archive: every block against its checksums, and against the source if given."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence

import numpy as np

from jaxslice.archive.report import Report, report_of
from jaxslice.archive.store import Archive, open_scales
from jaxslice.codec.engines.interface import AUTO, engine_named
from jaxslice.core.box import Box, Triple
from jaxslice.core.errors import FormatError
from jaxslice.core.progress import Progress, Stopwatch, no_progress
from jaxslice.core.types import Volume
from jaxslice.jobs.decoding import decode_all, prepare_decoder
from jaxslice.jobs.scales import POOLED_BY, SOURCE_SCALE
from jaxslice.jobs.task import Executor, Worker
from jaxslice.volumes.archive_volume import voxels_of
from jaxslice.volumes.interface import AnySource
from jaxslice.volumes.pooled import pooled
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
    executor: Executor | None = None,
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
      executor: what runs the tasks; threads of this process if None.
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
    watch, scales = Stopwatch(), open_scales(archive)
    progress, compared = progress or no_progress, None
    for number, opened in enumerate(scales):
        volume = None
        if source is not None:
            volume = expected_source(source, scales[:number], opened, scale, missing)
            compared = compared or volume.description
        batch, threads = prepare_decoder(opened, batch_blocks, workers, watch, engine)
        sink = CompareWith(opened, volume)
        decode_all(opened, None, sink, executor or threads, batch, watch, progress, engine)
    details = {
        "engine": engine_named(engine).name,
        "verified": True,
        "seal": scales[0].root,
        "scales": len(scales),
        "compared_with": compared,
    }
    return report_of(scales, watch.seconds("compile", "read", "decode"), details)


def expected_source(
    source: AnySource, finer: Sequence[Archive], opened: Archive, scale: int | str, missing: str
) -> Source:
    """What a scale of an archive must equal: a scale of the source, or the next finer one pooled.

    Raises:
      FormatError: the scale is not what pooling makes of the finer one.
    """
    if finer and POOLED_BY in opened.provenance:
        expected = pooled(voxels_of(finer[-1], finer[-1].location))
        if expected is None or expected.box != opened.box:
            raise FormatError(
                f"Got {opened.box} for {opened.path!r} of {opened.location!r}, expected what "
                "pooling makes of the finer scale."
            )
        return expected
    name = opened.provenance.get(SOURCE_SCALE, scale)
    return open_source(source, scale=name, missing=missing).covering(opened.box)
