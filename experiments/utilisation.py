"""When each thread of one compression was at work, and when all workers were.

    python experiments/utilisation.py vnc_a.npy --effort=0 --verify=all
    python experiments/utilisation.py --plot-only
    python experiments/utilisation.py --smoke --output=/tmp/utilisation.csv

The stopwatch of `compress` is replaced by one that also records the thread and the times. The CSV
holds every interval. The picture shows them as bars, one line for each thread, and the share of the
time, from the reading of the first block to the writing of the last, in which all workers computed.
A worker without a bar waited for storage, or had nothing left to do.

Cost: 30 seconds for 64 MB on 2 cores. Expected: more than 0.9 for volumes of many blocks; the rest
is the first reading and the last, unequal batches.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from unittest import mock

import common
from common import OURS, PAPER, PLAIN, Row

import jaxslice
from jaxslice.codec.engines.interface import engine_named
from jaxslice.core.progress import Stopwatch
from jaxslice.jobs import compress
from jaxslice.jobs.resources import requested_or_usual

COLUMNS = ("volume", "workers", "thread", "part", "start_seconds", "end_seconds")
COMPUTING = ("encode", "verify", "train_blocks")
COLOURS = {"read": PLAIN, "encode": OURS, "verify": PAPER, "train_blocks": "#6b8e4e",
           "write": "#222222"}  # fmt: skip


class Recorder(Stopwatch):
    """A stopwatch that remembers who measured what, and when."""

    def __init__(self) -> None:
        super().__init__()
        self.begin = time.perf_counter()
        self.intervals: list[tuple[str, str, float, float]] = []

    @contextlib.contextmanager
    def measure(self, part: str) -> Iterator[None]:
        """As in `Stopwatch`."""
        start = time.perf_counter() - self.begin
        try:
            with super().measure(part):
                yield
        finally:
            end = time.perf_counter() - self.begin
            self.intervals.append((threading.current_thread().name, part, start, end))


def measure(path: str, arguments: argparse.Namespace) -> Iterator[Row]:
    """Yields a row for each interval of one compression."""
    z, y, x = map(int, arguments.block_shape.split(","))
    options = jaxslice.CompressOptions(
        effort=arguments.effort, verify=arguments.verify, block_shape=(z, y, x),
        workers=arguments.workers, training_steps=arguments.training_steps,
    )  # fmt: skip
    recorders: list[Recorder] = []

    def recorder() -> Recorder:
        recorders.append(Recorder())
        return recorders[-1]

    with tempfile.TemporaryDirectory() as folder, mock.patch.object(
        compress, "Stopwatch", recorder
    ):  # fmt: skip
        jaxslice.compress(path, f"{folder}/archive.zarr", options)
    _, workers = requested_or_usual(None, arguments.workers, engine_named())
    rows = [
        {
            "volume": common.name_of(path),
            "workers": workers,
            "thread": thread.removeprefix("jaxslice-"),
            "part": part,
            "start_seconds": f"{start:.5f}",
            "end_seconds": f"{end:.5f}",
        }
        for thread, part, start, end in recorders[0].intervals
        if thread.startswith("jaxslice-") and part in COLOURS
    ]
    print(f"{path}: all {workers} workers computed in {all_computing(rows):.1%} of the time")
    yield from rows


def all_computing(rows: Sequence[Row]) -> float:
    """The share of the time, from the first reading to the last writing, in which all workers
    computed.
    """
    span = max(float(r["end_seconds"]) for r in rows) - min(float(r["start_seconds"]) for r in rows)
    workers = int(rows[0]["workers"])
    changes = sorted(
        change
        for row in rows
        if row["part"] in COMPUTING and row["thread"].startswith("compute")
        for change in ((float(row["start_seconds"]), 1), (float(row["end_seconds"]), -1))
    )
    busy, since, total = 0, 0.0, 0.0
    for moment, change in changes:
        if busy >= workers:
            total += moment - since
        busy, since = busy + change, moment
    return total / span if span else 0.0


def draw(rows: list[Row], output: Path) -> None:
    """A bar for each interval: one panel for each volume, one line for each thread."""
    volumes = list(dict.fromkeys(row["volume"] for row in rows))
    if not volumes:
        return
    figure = common.new_figure(10, 2.8 * len(volumes))
    panels = figure.subplots(len(volumes), 1, squeeze=False)[:, 0]
    for axes, volume in zip(panels, volumes, strict=True):
        some = [row for row in rows if row["volume"] == volume]
        first = min(float(row["start_seconds"]) for row in some)
        threads = sorted({row["thread"] for row in some}, reverse=True)
        for part, colour in COLOURS.items():
            chosen = [row for row in some if row["part"] == part]
            starts = [float(row["start_seconds"]) - first for row in chosen]
            widths = [float(row["end_seconds"]) - float(row["start_seconds"]) for row in chosen]
            if chosen:
                places = [threads.index(row["thread"]) for row in chosen]
                axes.barh(places, widths, left=starts, color=colour, label=part, height=0.7)
        axes.set_yticks(range(len(threads)), threads)
        axes.set(xlabel="seconds")
        axes.set_title(f"{volume}: all workers computed in {all_computing(some):.1%} of the time",
                       fontsize=10, loc="left")  # fmt: skip
        axes.legend(frameon=False, ncols=len(COLOURS), fontsize=8, loc="upper right",
                    bbox_to_anchor=(1, 1.15))  # fmt: skip
        common.bare(axes)
    figure.savefig(output.with_suffix(".png"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Reads the command line, measures and draws."""
    parser = common.parser_of("utilisation", __doc__, None)
    parser.add_argument("--effort", type=int, default=0)
    parser.add_argument("--verify", choices=("all", "sample", "none"), default="none")
    parser.add_argument("--workers", type=int, help="threads that compute; one for each core")
    parser.add_argument("--block_shape", default="64,256,256")
    parsed, _ = parser.parse_known_args(arguments)
    if parsed.smoke:
        parser.set_defaults(block_shape="4,20,48")
    common.run(parser, arguments, measure, draw, COLUMNS)


if __name__ == "__main__":
    main()
