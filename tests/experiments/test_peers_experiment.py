"""The experiment on peers: it runs, its CSV keeps what it should, its picture can be read."""

import csv
import importlib
import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxslice.bench import provenance

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
SCRIPT = EXPERIMENTS / "peers.py"
COLUMNS = [
    "volume", "shape", "codec", "bits_per_voxel", "encode_mb_per_s", "decode_mb_per_s",
    "threads", "lossless", "train_seconds", *provenance.COLUMNS,
]  # fmt: skip


@pytest.fixture
def plot(monkeypatch):
    monkeypatch.syspath_prepend(EXPERIMENTS)
    return importlib.import_module("peers_plot")


@pytest.fixture
def experiment(monkeypatch):
    """The script as a module; its name is also that of a module of the package."""
    monkeypatch.syspath_prepend(EXPERIMENTS)
    spec = importlib.util.spec_from_file_location("experiment_peers", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, SCRIPT, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def row(codec: str, volume: str = "a", rate: float = 5.0, speed: float = 1.0, **others) -> dict:
    return {
        "volume": volume, "shape": "8x64x64", "codec": codec, "bits_per_voxel": rate,
        "encode_mb_per_s": speed, "decode_mb_per_s": 2 * speed, "threads": 1, "lossless": True,
        "train_seconds": 0,
    } | others  # fmt: skip


def as_text(rows: list[dict]) -> list[dict[str, str]]:
    return [{key: str(value) for key, value in row.items()} for row in rows]


def is_png(path: Path) -> bool:
    return path.read_bytes()[:4] == b"\x89PNG"


# Training compiles for long.
@pytest.mark.parametrize("efforts", ["", pytest.param("1,9", marks=pytest.mark.slow)])
def test_smoke_then_the_picture_alone(tmp_path, efforts):
    output, picture = tmp_path / "peers.csv", tmp_path / "peers.png"
    done = run("--smoke", f"--efforts={efforts}", f"--output={output}", f"--plot={picture}")
    assert done.returncode == 0, done.stderr
    assert ("jaxslice effort 9: skipped" in done.stderr) == bool(efforts)
    rows = rows_of(output)
    assert list(rows[0]) == COLUMNS
    codecs = [row["codec"] for row in rows]
    assert ("jaxslice effort 1" in codecs) == bool(efforts)
    assert {"PNG", "JPEG-LS", "WebP", "JPEG 2000", "JPEG-XL e7", "zstd -19"} <= set(codecs)
    for measured in rows:
        assert (measured["volume"], measured["shape"]) == ("synthetic", "8x64x64")
        assert (measured["lossless"], measured["threads"]) == ("True", "1")
        assert 0 < float(measured["bits_per_voxel"]) < 16
        assert float(measured["encode_mb_per_s"]) > 0
        assert float(measured["decode_mb_per_s"]) > 0
    assert is_png(picture)
    again = tmp_path / "again.png"
    assert run(f"--plot-only={again}", f"--output={output}").returncode == 0
    assert again.read_bytes() == picture.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "expected either volumes"),
        (["--smoke"], "expected one with --smoke"),
        (["volume.npy", "--efforts=1;2"], "expected numbers between commas"),
    ],
)
def test_command_lines_that_say_too_little(arguments, expected):
    done = run(*arguments)
    assert done.returncode == 2
    assert expected in done.stderr


def test_rows_are_kept_but_those_measured_anew(experiment, tmp_path):
    path = tmp_path / "deep" / "peers.csv"
    for each in (
        row("PNG", "a", 5.0), row("PNG", "b", 6.0), row("PNG", "a", 5.1, threads=2),
        row("FFV1", "a", 4.0), row("PNG", "a", 5.2),
    ):  # fmt: skip
        experiment.add_row(path, each)
    kept = [(r["codec"], r["volume"], r["threads"], r["bits_per_voxel"]) for r in rows_of(path)]
    assert kept == [
        ("PNG", "b", "1", "6"),
        ("PNG", "a", "2", "5.1"),
        ("FFV1", "a", "1", "4"),
        ("PNG", "a", "1", "5.2"),
    ]
    # Another volume of the same name takes the place of all that was measured on the first.
    experiment.add_row(path, row("PNG", "a", 7.0, shape="9x64x64"))
    assert [(r["volume"], r["shape"]) for r in rows_of(path)] == [
        ("b", "8x64x64"),
        ("a", "9x64x64"),
    ]
    assert [name.name for name in path.parent.iterdir()] == ["peers.csv"]


def test_one_core_is_one_core_and_is_given_back(experiment):
    before = os.sched_getaffinity(0)
    with experiment.on_cores(1):
        assert len(os.sched_getaffinity(0)) == 1
        child = "import os; print(len(os.sched_getaffinity(0)))"
        assert subprocess.check_output([sys.executable, "-c", child]).strip() == b"1"
    assert os.sched_getaffinity(0) == before


def test_means_by_hand(plot):
    rows = [
        row("JPEG-XL e7", "a", 4.0, 1.0), row("JPEG-XL e7", "b", 5.0, 1.0),
        row("PNG", "a", 5.0, 2.0), row("PNG", "b", 7.5, 8.0),
        row("PNG", "b", 7.5, 99.0, threads=2),  # other cores
        row("FFV1", "a", 3.0, 3.0), row("FFV1", "c", 3.0, 3.0),  # c has no reference
    ]  # fmt: skip
    reference, png, ffv1 = plot.summaries(as_text(rows))
    assert (reference.label, reference.relative_rate) == ("JPEG-XL e7", 1)
    assert (png.label, png.relative_rate) == ("PNG", 1.375)
    assert png.speeds == pytest.approx((4, 8))
    assert (ffv1.label, ffv1.relative_rate) == ("FFV1 (1 of 2)", 0.75)
    with pytest.raises(ValueError, match="expected some to compare with"):
        plot.summaries(as_text(rows[2:]))


def test_rows_without_speeds_are_left_out(plot):
    rows = as_text([
        row("JPEG-XL e7", "a", 4.0, 1.0), row("JPEG-XL e7", "b", 4.0, 1.0),
        row("PNG", "a", 5.0, 2.0), row("PNG", "b", 5.0, 8.0),
    ])  # fmt: skip
    rows[-1]["encode_mb_per_s"] = ""
    _, png = plot.summaries(rows)
    assert png.speeds == pytest.approx((2, 4))


def test_the_frontier_by_hand(plot):
    points = [(1.0, 0.9), (2.0, 1.0), (3.0, 1.2), (2.5, 1.3), (3.0, 1.1), (0.5, 0.95)]
    assert plot.frontier(points) == [(3.0, 1.1), (2.0, 1.0), (1.0, 0.9)]


def crowd() -> list[dict[str, str]]:
    """Twenty codecs as close to one another as they come."""
    peers = [row(f"codec number {n}", "a", 5 + 0.02 * (n % 5), 1 + 0.1 * n) for n in range(16)]
    ours = [row(f"jaxslice effort {n}", "a", 4.9 - 0.02 * n, 3 - 0.2 * n) for n in range(4)]
    return as_text([row("JPEG-XL e7"), *peers, *ours])


def test_no_label_covers_another(plot, tmp_path):
    committed = rows_of(EXPERIMENTS / "results" / "peers.csv")
    measured = [row for row in committed if row["encode_mb_per_s"]]
    for rows in (crowd(), *([measured] if measured else [])):
        panels = plot.draw(rows, tmp_path / "peers.png")
        assert is_png(tmp_path / "peers.png")
        assert len(panels) == 2
        for labels in panels:
            assert len(labels) == len({row["codec"] for row in rows})
            for one, other in itertools.combinations(labels, 2):
                apart = np.maximum(one[:2], other[:2]) > np.minimum(one[2:], other[2:])
                assert apart.any()
