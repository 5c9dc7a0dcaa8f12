"""What a person sees: a progress bar on a terminal, a line now and then elsewhere, and tables."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

SECONDS_BETWEEN_LINES = 10.0


@contextlib.contextmanager
def progress_display() -> Iterator[Callable[[str, int, int], None]]:
    """Shows progress on stderr while the `with` block lasts.

    Yields:
      A function of (part of the work, done, total), to be called from any thread.
    """
    if not sys.stderr.isatty():
        yield _line_by_line()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
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


def _line_by_line() -> Callable[[str, int, int], None]:
    lock = threading.Lock()
    last = {"name": "", "time": 0.0}

    def show(part: str, done: int, total: int) -> None:
        name, now = part.split(" ")[0], time.monotonic()
        with lock:
            due = now - last["time"] >= SECONDS_BETWEEN_LINES
            if due or name != last["name"] or done >= total:
                last.update(name=name, time=now)
                print(f"{part}: {done} of {total}", file=sys.stderr, flush=True)

    return show


def print_report(report: dict[str, Any]) -> None:
    """Prints a command's report as a table on stdout."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for key, value in report.items():
        if key in ("architecture", "peers"):
            continue
        if isinstance(value, dict):
            value = ", ".join(f"{name} {entry}" for name, entry in value.items())
        elif isinstance(value, int) and not isinstance(value, bool):
            value = f"{value:,}"
        elif isinstance(value, float):
            value = f"{value:.4f}"
        elif isinstance(value, list):
            value = ", ".join(str(entry) for entry in value)
        table.add_row(key.replace("_", " "), str(value))
    if report.get("peers"):
        console.print(_peer_table(report["peers"]))
    console.print(table)


def _peer_table(rows: list[dict[str, Any]]) -> Any:
    from rich.table import Table

    table = Table(title="Bits per voxel, everything counted; speeds of one thread")
    for heading in ("codec", "bits per voxel", "encode MB/s", "decode MB/s", "lossless"):
        table.add_column(heading, justify="left" if heading == "codec" else "right")
    for row in rows:
        ours = row["name"].startswith("jaxslice")
        table.add_row(
            row["name"],
            f"{row['bits_per_voxel']:.3f}",
            f"{row['encode_mb_per_s']:.1f}",
            f"{row['decode_mb_per_s']:.1f}",
            "yes" if row["lossless"] else "NO",
            style="bold" if ours else "",
        )
    return table
