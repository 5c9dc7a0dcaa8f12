"""The tables of docs/compatibility.md and docs/howto/neuroglancer.md, for `table.py`.

They show matrix.csv, load.csv, soak.csv and the memory of these runs.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence

import common
from common import Row


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], numbers: int) -> str:
    """A Markdown table whose last columns are numbers."""
    rules = ["---"] * (len(heads) - numbers) + ["---:"] * numbers
    return "\n".join("| " + " | ".join(line) + " |" for line in [heads, rules, *rows])


def _rows(name: str) -> list[Row]:
    return common.read_rows(common.RESULTS / f"{name}.csv")


def environments() -> str:
    """Versions, instruction sets and devices, and what the self-test found there."""
    heads = ("environment", "Python", "jax", "numpy", "tensorstore", "zarr", "devices", "bytes",
             "checks passed", "failed")  # fmt: skip
    rows = (
        [row[name] for name in ("environment", "python", "jax", "numpy", "tensorstore", "zarr",
                                "devices")]
        + [f"`{row['sha256'][:12]}`", row["passed"], row["failed"]]
        for row in _rows("matrix")
    )  # fmt: skip
    return table(heads, rows, 2)


def load() -> str:
    """Latencies of each kind of reader."""
    heads = ("run", "readers", "at the same time", "requests", "errors", "median ms", "99 % ms",
             "longest ms", "medians of single readers, ms")  # fmt: skip
    rows = (
        [row["run"], row["kind"], row["readers"], row["requests"], row["errors"],
         *(f"{float(row[name]):.0f}" for name in ("p50_ms", "p99_ms", "max_ms")),
         f"{float(row['least_reader_p50_ms']):.0f} to {float(row['largest_reader_p50_ms']):.0f}"]
        for row in [*_rows("load"), *_rows("soak")] if row["p50_ms"]
    )  # fmt: skip
    return table(heads, rows, 7)


def memory() -> str:
    """Memory, open files and threads in the second and in the last quarter of each run."""
    found: dict[str, list[Row]] = defaultdict(list)
    for row in [*_rows("load_memory"), *_rows("soak_memory")]:
        found[row["run"]].append(row)
    heads = ("run", "minutes", "samples", "MB in the second quarter", "in the last", "most MB",
             "open files", "in the last quarter", "threads", "in the last quarter")  # fmt: skip
    rows = []
    for run, samples in found.items():
        quarter = len(samples) // 4
        parts = (samples[quarter : 2 * quarter], samples[-quarter:])
        before, after = ({
            name: statistics.median(float(row[name]) for row in part)
            for name in ("resident_mb", "open_files", "threads")
        } for part in parts)  # fmt: skip
        most = max(float(row["resident_mb"]) for row in samples)
        rows.append([
            run, f"{float(samples[-1]['second']) / 60:.0f}", str(len(samples)),
            f"{before['resident_mb']:.0f}", f"{after['resident_mb']:.0f}", f"{most:.0f}",
            f"{before['open_files']:.0f}", f"{after['open_files']:.0f}",
            f"{before['threads']:.0f}", f"{after['threads']:.0f}",
        ])  # fmt: skip
    return table(heads, rows, 9)


TABLES = {
    "docs/compatibility.md": {
        "environments": environments,
    },
    "docs/howto/neuroglancer.md": {"load": load, "memory": memory},
}
"""For each document its tables, by the comment before them."""
