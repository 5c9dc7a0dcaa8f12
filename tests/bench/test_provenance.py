"""Rows say where they come from: the commit, with a mark for changed files."""

import datetime
import subprocess

import jax
import pytest

from jaxslice.bench import provenance
from jaxslice.codec.versions import ARCHIVE_VERSION


def git(folder, *arguments):
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
    subprocess.run(["git", "-C", folder, *identity, *arguments], check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path):
    git(tmp_path, "init")
    (tmp_path / "code.py").write_text("1")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "a.csv").write_text("1")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-m", "first")
    return tmp_path


def test_the_commit_and_its_mark(checkout):
    clean = provenance.commit_of(checkout, "results")
    assert len(clean) == 40
    (checkout / "results" / "a.csv").write_text("2")
    (checkout / "untracked").write_text("2")
    assert provenance.commit_of(checkout, "results") == clean
    assert provenance.commit_of(checkout) == f"{clean}-dirty"
    (checkout / "code.py").write_text("2")
    assert provenance.commit_of(checkout, "results") == f"{clean}-dirty"


def test_no_checkout_has_no_commit(tmp_path):
    assert provenance.commit_of(tmp_path) == "unknown"


def test_all_columns_are_there():
    found = provenance.provenance("abc")
    assert tuple(found) == provenance.COLUMNS
    assert found["commit"] == "abc"
    assert found["format_version"] == str(ARCHIVE_VERSION)
    assert found["jax_version"] == jax.__version__
    assert "core" in found["machine"] or " x " in found["machine"]
    date = datetime.datetime.fromisoformat(found["date"])
    assert date.utcoffset() == datetime.timedelta(0)
