"""What a person sees: progress on stderr, a bar on a terminal or lines in a log, and reports."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from jaxslice.core.errors import LossySourceWarning, TrainingWarning

LINE_SECONDS = (10.0, 300.0)
"""Least and largest time between two lines of progress in a log."""

LINE_SHARE = 0.05
"""Between those, the time since the last line as a share of the time since the start."""

MESSAGE_LENGTH = 2000
"""Largest length of a message, in characters."""

_HIDDEN = ("architecture",)
"""Entries of a report that only its JSON shows."""

_LABELS = {
    "bits_per_voxel": "bits per voxel, everything counted",
    "multiply_adds_per_voxel": "multiply-adds per voxel",
    "num_blocks": "blocks",
    "num_params": "parameters of the network",
    "voxel_size_nm": "voxel size in nm (z,y,x)",
    "offset_voxels": "offset in voxels (z,y,x)",
    "shape": "shape (z,y,x)",
    "block_shape": "block shape (z,y,x)",
}
"""Entries that are not just printed as they are called in JSON."""


def printable(text: str) -> str:
    """Text with control and other unprintable characters escaped, for a terminal or a log."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def message_line(text: str, length: int = MESSAGE_LENGTH) -> str:
    """A message on one line, escaped as by `printable`, of at most `length` characters."""
    # Whitespace is joined before control characters are escaped, and only where it can be shown.
    line = printable(" ".join(text[: 2 * length].split()))
    if len(line) <= length and len(text) <= 2 * length:
        return line
    mark = " ... (cut)"
    return line[: length - len(mark)] + mark


@contextlib.contextmanager
def progress_display() -> Iterator[Callable[[str, int, int], None]]:
    """Shows progress on stderr while the `with` block lasts.

    Yields:
      A function of (part of the work, done, total), to be called from any thread.
    """
    if not sys.stderr.isatty():
        yield ProgressLines()
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(),
        TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    tasks: dict[str, Any] = {}
    lock = threading.Lock()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:

        def show(part: str, done: int, total: int) -> None:
            name = part.split(" ")[0]
            with lock:
                if name not in tasks:
                    tasks[name] = bars.add_task(part, total=total)
            bars.update(tasks[name], completed=done, total=total, description=part)

        yield show


def note(text: str) -> None:
    """Says something on stderr that is neither a warning nor an error."""
    with contextlib.suppress(OSError):
        print(message_line(f"jaxslice: {text}"), file=sys.stderr, flush=True)


@contextlib.contextmanager
def warnings_in_one_line() -> Iterator[None]:
    """Shows warnings as messages on stderr while the `with` block lasts."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        with contextlib.suppress(OSError):
            print(message_line(f"jaxslice: warning: {message}"), file=sys.stderr, flush=True)

    with warnings.catch_warnings():
        for kind in (LossySourceWarning, TrainingWarning):
            warnings.simplefilter("always", kind)
        warnings.showwarning = show
        yield


class ProgressLines:
    """Progress as lines on stderr: often at first, less often as a long job goes on.

    A line is printed when a part of the work begins and ends, and when enough time has passed.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Takes a clock in seconds."""
        self._clock = clock
        self._lock = threading.Lock()
        self._part, self._part_first = "", 0
        self._part_start = self._start = self._printed = clock()
        self._ended = False

    def __call__(self, part: str, done: int, total: int) -> None:
        """Takes the part of the work, how much of it is done, and how much there is."""
        name = part.split(" ")[0]
        with self._lock:
            now = self._clock()
            if name != self._part:
                self._part, self._part_start, self._ended = name, now, False
                # What an interrupted run has done says nothing of the speed of this one.
                self._part_first = done
                due = True
            else:
                least, most = LINE_SECONDS
                wait = min(max(least, LINE_SHARE * (now - self._start)), most)
                due = now - self._printed >= wait or (done >= total and not self._ended)
            if not due:
                return
            self._printed, self._ended = now, done >= total
            line = self._line(part, done, total, now)
            # A log that cannot be written is no reason to give up the work.
            with contextlib.suppress(OSError):
                print(line, file=sys.stderr, flush=True)

    def _line(self, part: str, done: int, total: int, now: float) -> str:
        # What has one step only, such as a fit, begins and ends.
        state = ("done" if done else "begun") if total == 1 else f"{done} of {total}"
        line = f"{printable(part)}: {state}, {duration_text(now - self._start)}"
        elapsed = now - self._part_start
        new = done - self._part_first
        if new > 0 and total > 1 and elapsed >= LINE_SECONDS[0]:
            line += f", {new / elapsed:.3g} per second"
            if done < total:
                line += f", about {duration_text(elapsed * (total - done) / new)} left"
        return line


def duration_text(seconds: float) -> str:
    """Seconds, minutes or hours, as people say them."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"


def print_report(report: dict[str, Any]) -> None:
    """Prints a command's report as two columns on stdout; inner objects are indented."""
    rows = list(_rows(report))
    width = max((len(label) for label, _ in rows), default=0)
    for label, value in rows:
        print(f"{label:<{width}}  {value}".rstrip())


def _rows(report: dict[str, Any], indent: str = "") -> Iterator[tuple[str, str]]:
    for key, value in report.items():
        label = indent + printable(_LABELS.get(key, key.replace("_", " ")))
        if key in _HIDDEN or value == {} or value == []:
            continue
        if isinstance(value, dict) and len(indent) < 4:
            yield label, ""
            yield from _rows(value, indent + "  ")
        else:
            yield label, _value_text(value)


def _value_text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return ", ".join(_value_text(entry) for entry in value)
    return printable(str(value))


def print_table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table on stdout; the first column is aligned to the left, others to the right."""
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    print(title)
    for row in [headings, *rows]:
        cells = [
            f"{cell:<{width}}" if column == 0 else f"{cell:>{width}}"
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())
    print()
