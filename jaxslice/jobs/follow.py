"""A folder that a microscope fills: slices are taken as they arrive, layer by layer of blocks."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable
from pathlib import Path

from jaxslice.archive.report import Report
from jaxslice.archive.store import open_archive
from jaxslice.core.errors import SourceDataError, UsageError
from jaxslice.core.machine import peak_so_far_bytes
from jaxslice.core.progress import Progress, no_progress
from jaxslice.jobs.compress import compress
from jaxslice.jobs.extend import extend
from jaxslice.jobs.options import CompressOptions, Following
from jaxslice.volumes.interface import NotThisFormat, Source, SourceOptions
from jaxslice.volumes.pictures import read_picture
from jaxslice.volumes.stack import pictures_in, stack_source


def follow(
    folder: str | os.PathLike[str],
    archive: str | os.PathLike[str],
    options: CompressOptions = CompressOptions(),  # noqa: B008 - frozen
    following: Following = Following(),  # noqa: B008 - frozen
    reading: SourceOptions = SourceOptions(),  # noqa: B008 - frozen
    progress: Progress | None = None,
    wait: Callable[[float], None] = time.sleep,
) -> Report:
    """Compresses the pictures of a folder while they arrive.

    The archive can be read from the first layer on. After an interruption the same call goes on
    with the slices that the archive lacks.

    Args:
      folder: of pictures, one for each slice, whose natural order is that of their arrival.
      archive: to write; if it is there, it is extended.
      options: as of `compress`.
      following: when slices are taken.
      reading: channel and voxel size.
      progress: called now and then.
      wait: sleeps for some seconds.

    Returns:
      The report of the last layer. Its details say of this run: `layers` that it has written,
      `most_waiting_slices` that waited at the same time, `longest_lag_seconds` from when a slice
      was seen to be whole until it was in the archive, and `peak_memory_bytes` of the process.

    Raises:
      UsageError: no picture came, or the archive holds something else.
      SourceDataError: a picture is damaged.
    """
    arrivals = Arrivals(Path(folder), following.marker)
    quiet, layers, most_waiting, lag, report = 0.0, 0, 0, 0.0, None
    stored = open_archive(archive).shape[0] if Path(archive).exists() else 0
    while True:
        before, finished = len(arrivals.whole), arrivals.is_marked()
        arrivals.look()
        quiet = 0.0 if len(arrivals.whole) > before else quiet + following.poll_seconds
        # Whatever was written before the marker is whole.
        ended = (finished and not arrivals.growing) or quiet >= following.quiet_seconds
        waiting = len(arrivals.whole) - stored
        most_waiting = max(most_waiting, waiting)
        if waiting >= following.depth or (ended and waiting > 0):
            count = waiting if ended else waiting - waiting % following.depth
            source = stack_source(str(folder), arrivals.whole[: stored + count], reading)
            report = _added(source, archive, options, stored, progress or no_progress)
            lag = max(lag, time.monotonic() - arrivals.seen[stored])
            stored, layers = stored + count, layers + 1
        elif ended:
            break
        else:
            wait(following.poll_seconds)
    if report is None:
        raise UsageError(f"Got {str(folder)!r}, where no new picture came, expected some.")
    own = {
        "layers": layers,
        "most_waiting_slices": most_waiting,
        "longest_lag_seconds": round(lag, 3),
        "peak_memory_bytes": peak_so_far_bytes(),
    }
    return dataclasses.replace(report, details={**report.details, **own})


def _added(
    source: Source,
    archive: str | os.PathLike[str],
    options: CompressOptions,
    stored: int,
    progress: Progress,
) -> Report:
    if stored == 0:
        return compress(source, archive, options, progress)
    return extend(
        os.fspath(archive), source, verify=options.verify, workers=options.workers,
        batch_blocks=options.batch_blocks, engine=options.engine, progress=progress,
    )  # fmt: skip


class Arrivals:
    """The pictures of a folder, of which those that are whole are known.

    Attributes:
      whole: in natural order, without a gap.
      seen: when each of them was seen to be whole, in seconds of the monotonic clock.
      growing: whether others are there that may still be written.
    """

    def __init__(self, folder: Path, marker: str) -> None:
        """Takes the folder, and the name of the file that says that all are there."""
        self._folder, self._marker = folder, marker
        self._sizes: dict[Path, int] = {}
        self.whole: list[Path] = []
        self.seen: list[float] = []
        self.growing = False

    def is_marked(self) -> bool:
        """Whether all pictures are said to be there."""
        return (self._folder / self._marker).exists()

    def look(self) -> None:
        """Looks at the folder again."""
        try:
            pictures = pictures_in(str(self._folder), self._folder)
        except NotThisFormat:
            pictures = []
        known = len(self.whole)
        if pictures[:known] != self.whole:
            raise SourceDataError(
                f"Got pictures in {str(self._folder)!r} that come before those already taken, "
                "expected names in the order of arrival."
            )
        sizes = {path: path.stat().st_size for path in pictures[known:]}
        for path in pictures[known:]:
            if sizes[path] == 0 or self._sizes.get(path) != sizes[path] or not _decodes(path):
                break
            self.whole.append(path)
            self.seen.append(time.monotonic())
        self._sizes, self.growing = sizes, len(self.whole) < len(pictures)


def _decodes(path: Path) -> bool:
    try:
        read_picture(path)
    except SourceDataError:
        return False
    return True
