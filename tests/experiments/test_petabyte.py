"""The calculation of a petabyte: its own table is committed, and its limits are where they are."""

import csv
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def petabyte(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "experiments")
    return importlib.import_module("petabyte")


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_is_the_calculation(petabyte):
    rows = rows_of(ROOT / "experiments" / "results" / "petabyte.csv")
    document = (ROOT / "docs" / "howto" / "clusters.md").read_text()
    assert len(rows) == len(petabyte.LAYOUTS) * len(petabyte.WORKERS)
    for row in rows:
        found = petabyte.simulate(1e15, int(row["workers"]), row["object"], petabyte.measured())
        assert {name: str(value) for name, value in found.items()}.items() <= row.items()
        assert (
            f"| {int(row['workers']):,} | {row['object']} | {int(row['objects']):,} |" in document
        )


def test_more_workers_help_until_something_else_is_the_limit(petabyte):
    speeds = petabyte.Speeds(encode=50, decode=50, bits_per_voxel=4, fit_seconds=0)
    one, ten = (petabyte.simulate(1e12, n, "a block", speeds) for n in (1, 10))
    assert (one["limit"], ten["limit"]) == ("cores", "cores")
    assert one["hours"] == pytest.approx(1e12 / 25e6 / 3600, rel=1e-3)
    assert ten["hours"] - ten["seal_hours"] == pytest.approx(one["hours"] / 10, abs=0.02)
    many = petabyte.simulate(1e15, 100_000, "a block", speeds)
    assert many["limit"] == "writes of a prefix"
