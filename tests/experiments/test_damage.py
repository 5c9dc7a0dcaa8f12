"""A small version of the damage harness: no reader gives wrong voxels or another's error."""

import csv
from pathlib import Path

import pytest

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
KINDS = ("repeated slices", "own networks", "linear")
"""Of the archives that the experiment damages: those that differ most."""


@pytest.fixture
def damage(monkeypatch):
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    import damage

    return damage


def rows_of(damage, path: Path, *arguments: str) -> list[dict[str, str]]:
    damage.main([f"--output={path}", *arguments])
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_nothing_wrong_passes(damage, tmp_path):
    rows = rows_of(damage, tmp_path / "damage.csv", "--every=9001", "--only", *KINDS)
    assert {row["archive"] for row in rows} == set(KINDS)
    assert {row["reader"] for row in rows} == set(damage.READERS)
    for row in rows:
        assert (row["wrong"], row["foreign"]) == ("0", "0"), row
        if row["damage"] in ("deletion", "swap", "copy") and row["reader"] == "verify":
            assert row["refused"] == row["trials"]
    assert any(int(row["unknowable"]) for row in rows)


def test_what_is_wrong_is_counted(damage, tmp_path, monkeypatch):
    monkeypatch.setitem(damage.READERS, "open", lambda sample: sample.voxels + 1)
    monkeypatch.setitem(damage.READERS, "zarr", lambda sample: 1 / 0)
    rows = rows_of(damage, tmp_path / "damage.csv", "--every=5003", "--only", "constant")
    count = {"open": "wrong", "zarr": "foreign"}
    for row in rows:
        if row["reader"] in count and row["damage"] in ("swap", "copy"):
            assert row[count[row["reader"]]] == row["trials"]


def test_the_committed_counts_are_clean():
    with (EXPERIMENTS / "results" / "damage.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert sum(int(row["trials"]) for row in rows) > 10000
    assert not any(int(row["wrong"]) + int(row["foreign"]) for row in rows)
