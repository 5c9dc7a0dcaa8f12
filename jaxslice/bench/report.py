"""The results of `bench`: as a CSV, as a picture drawn from that CSV, and as tables for people."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import Any

from jaxslice.bench import provenance
from jaxslice.bench.figures import load_matplotlib
from jaxslice.bench.palette import OTHERS, OURS, TEXT
from jaxslice.bench.writable import check_file
from jaxslice.core.errors import UsageError

COLUMNS: tuple[str, ...] = (
    "codec", "batch", "threads", "bits_per_voxel", "encode_mb_per_s", "decode_mb_per_s", "lossless",
    "compile_seconds", "train_seconds", "programs", "programs_for_edges",
    "multiply_adds_per_voxel", "peak_gflops", "encode_share_of_peak", "decode_share_of_peak",
    "bound_megabytes", "note", *provenance.COLUMNS,
)  # fmt: skip
_SPEEDS = (
    ("batch", "batch", "d"), ("threads", "threads", "d"),
    ("bits per voxel", "bits_per_voxel", ".3f"),
    ("encode MB/s", "encode_mb_per_s", ".2f"), ("decode MB/s", "decode_mb_per_s", ".2f"),
)  # fmt: skip
_COSTS = (
    ("compile s", "compile_seconds", ".1f"), ("train s", "train_seconds", ".1f"),
    ("programs", "programs", "d"), ("more for edges", "programs_for_edges", "d"),
    ("multiply-adds", "multiply_adds_per_voxel", "d"), ("peak GFLOP/s", "peak_gflops", ".0f"),
    ("encode share", "encode_share_of_peak", ".1%"),
    ("decode share", "decode_share_of_peak", ".1%"),
    ("memory MB, at most", "bound_megabytes", ".0f"),
)  # fmt: skip


def write_csv(path: str, rows: Sequence[dict[str, Any]]) -> None:
    """Writes the rows in COLUMNS, each with its provenance; missing values stay empty.

    Raises:
      UsageError: the file cannot be written.
    """
    check_file(path)
    stamp = provenance.provenance(provenance.installed_version())
    try:
        with open(path, "w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
            writer.writeheader()
            for row in rows:
                text = {k: f"{v:.5g}" if isinstance(v, float) else v for k, v in row.items()}
                writer.writerow(text | stamp)
    except OSError as error:
        raise UsageError(f"Got the output {path!r}, expected a file to write: {error}.") from None


def draw(table: str, picture: str) -> None:
    """Draws bits per voxel over the speeds of encoding and decoding from a CSV.

    Raises:
      MissingExtraError: matplotlib is not installed.
    """
    figure_class, canvas_class = load_matplotlib()
    with open(table, newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["bits_per_voxel"]]
    figure = figure_class(figsize=(11, 4.8), dpi=130, layout="constrained")
    canvas_class(figure)
    for index, way in enumerate(("encode", "decode")):
        axes = figure.add_subplot(1, 2, index + 1)
        for codec in dict.fromkeys(row["codec"] for row in rows):
            colour = OURS if codec.startswith("jaxslice") else OTHERS
            points = sorted(
                (float(row[f"{way}_mb_per_s"]), float(row["bits_per_voxel"]), row["threads"])
                for row in rows
                if row["codec"] == codec
            )
            axes.plot(*list(zip(*points, strict=True))[:2], color=colour, linewidth=1)
            for speed, rate, threads in points:
                axes.plot(speed, rate, "o" if threads == "1" else "s", color=colour)
            label = f"   {codec.removeprefix('jaxslice ')}"
            axes.annotate(label, points[-1][:2], fontsize=7, color=TEXT, va="center")
        axes.set(xscale="log", xlabel=f"{way} MB/s")
        axes.margins(x=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("bits per voxel, everything counted")
    figure.suptitle("jaxslice (orange) and peers: circles one thread, squares all cores or devices",
                    fontsize=10)  # fmt: skip
    figure.savefig(picture)


def print_bench(report: dict[str, Any]) -> None:
    """Prints a report of `bench.bench` as tables on stdout."""
    from rich.console import Console

    console = Console(markup=False, highlight=False)
    rows = report["rows"]
    ours = [row for row in rows if row["codec"].startswith("jaxslice")]
    console.print(_speeds(rows))
    if ours:
        console.print(_costs(ours))
    exactness = report["exactness"]
    console.print(
        f"Exact: start-up probe {exactness['probe']}; the same bytes from "
        f"{', '.join(exactness['same_bytes'])} ({exactness['coded_blocks']} coded blocks)."
    )
    for effort, reason in report["skipped"].items():
        console.print(f"Effort {effort} was skipped: {reason}")
    for row in rows:
        if row.get("note"):
            console.print(f"{row['codec']}: {row['note']}")
    console.print(f"{report['device']}, {report['cores']} cores, JAX {report['jax']}")
    for key in ("csv", "plot"):
        if report[key]:
            console.print(f"{key}: {report[key]}")


def _speeds(rows: Sequence[dict[str, Any]]) -> Any:
    from rich.table import Table

    table = Table(title="Rates and speeds, after compilation and training", box=None)
    table.add_column("codec")
    for heading, _, _ in _SPEEDS:
        table.add_column(heading, justify="right")
    for row in rows:
        style = "bold" if row["codec"].startswith("jaxslice") else ""
        if row.get("lossless") is False:
            style = "red"
        cells = (_cell(row, key, form) for _, key, form in _SPEEDS)
        table.add_row(row["codec"], *cells, style=style)
    return table


def _costs(rows: Sequence[dict[str, Any]]) -> Any:
    from rich.table import Table

    table = Table(title="What coding takes; shares of the matrix-product peak", box=None)
    table.add_column("")
    for row in rows:
        effort = row["codec"].removeprefix("jaxslice ")
        heading = f"{effort}\nbatch {row['batch']}\n{row['threads']} threads"
        table.add_column(heading, justify="right")
    for heading, key, form in _COSTS:
        table.add_row(heading, *(_cell(row, key, form) for row in rows))
    return table


def _cell(row: dict[str, Any], key: str, form: str) -> str:
    return format(row[key], form) if row.get(key) is not None else ""
