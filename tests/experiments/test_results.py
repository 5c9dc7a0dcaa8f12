"""Every committed row says where it comes from, and documents show no rows of older formats."""

import csv
import datetime
import re
from pathlib import Path

import pytest

from jaxslice.bench.provenance import COLUMNS
from jaxslice.codec.versions import ARCHIVE_VERSION

SAME_CODING_SINCE = 3
"""Format version from which on the same network codes the same voxels in the same way. Version 4
added what guards a block, and slices that are not coded where they repeat another one."""

ROOT = Path(__file__).parents[2]
TABLES = sorted((ROOT / "experiments" / "results").glob("*.csv"))
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHOWN = re.compile(r"results/(\w+)\.(?:csv|png)")

Row = dict[str, str]


def rows_of(path: Path) -> list[Row]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def faults(row: Row) -> list[str]:
    """The provenance columns of a row that are missing or malformed."""
    found = [column for column in COLUMNS if not row.get(column)]
    if found:
        return found
    if not re.search(r"(^|\+)([0-9a-f]{40}(-dirty)?)$|^unknown$", row["commit"]):
        found.append("commit")
    if not (row["format_version"].isdigit() and int(row["format_version"]) <= ARCHIVE_VERSION):
        found.append("format_version")
    try:
        date = datetime.datetime.fromisoformat(row["date"])
        if date.utcoffset() != datetime.timedelta(0):
            found.append("date")
    except ValueError:
        found.append("date")
    return found


def is_stale(row: Row) -> bool:
    """Whether a row is of an older format; those of other codecs do not depend on our format."""
    of_other_codec = not row.get("codec", "jaxslice").startswith(("jaxslice", "the paper"))
    return not of_other_codec and int(row["format_version"]) < SAME_CODING_SINCE


def shown(text: str) -> set[str]:
    """Names of the tables that a document shows or draws pictures from."""
    return set(SHOWN.findall(text))


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_every_row_has_a_provenance(path):
    rows = rows_of(path)
    assert rows
    for row in rows:
        assert not faults(row), row


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_documents_show_no_rows_of_older_formats(path):
    if any(path.stem in shown(document.read_text()) for document in DOCUMENTS):
        assert not [row for row in rows_of(path) if is_stale(row)]


def test_documents_show_tables():
    names = set().union(*(shown(document.read_text()) for document in DOCUMENTS))
    assert names & {path.stem for path in TABLES}


GOOD = {
    "commit": "0.1.0+" + "a" * 40,
    "format_version": str(ARCHIVE_VERSION),
    "jax_version": "0.10.2",
    "machine": "a CPU, 2 cores",
    "date": "2026-11-25T16:00:00+00:00",
}


def test_faults_are_found():
    assert not faults(GOOD)
    for column in COLUMNS:
        assert faults(GOOD | {column: ""}) == [column]
    for column, value in (
        ("commit", "main"),
        ("format_version", str(ARCHIVE_VERSION + 1)),
        ("date", "yesterday"),
        ("date", "2026-11-25T16:00:00"),
    ):
        assert faults(GOOD | {column: value}) == [column]


def test_stale_rows_are_found():
    old = GOOD | {"format_version": str(SAME_CODING_SINCE - 1)}
    assert not is_stale(GOOD)
    assert is_stale(old)
    assert is_stale(old | {"codec": "jaxslice effort 1"})
    assert not is_stale(old | {"codec": "PNG"})
    assert shown("see [x](experiments/results/a_b.csv), ![](../experiments/results/c.png)") == {
        "a_b",
        "c",
    }
