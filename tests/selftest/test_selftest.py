"""The self-test passes on a good machine, and fails where something is wrong with one."""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from make_selftest_goldens import members

from jaxslice.cli import main
from jaxslice.codec.engines import native
from jaxslice.native import library
from jaxslice.selftest import archives, goldens, report, selftest


@pytest.fixture(autouse=True)
def _native_alone(monkeypatch):
    """The XLA engine takes long to compile; the goldens of the suite run it as well."""
    monkeypatch.setattr(selftest, "NAMES", ("auto", "native"))
    monkeypatch.setattr(selftest, "_DECODING", ("native",))


def test_the_package_brings_the_suites_goldens():
    with zipfile.ZipFile(goldens.FILE) as packed:
        assert {name: packed.read(name) for name in packed.namelist()} == members()


def test_a_good_machine_passes(capsys):
    assert main.run(["jaxslice", "selftest", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["passed"]
    assert found["counts"]["FAILED"] == 0
    groups = {check["group"] for check in found["checks"] if check["outcome"] == "passed"}
    assert groups == {"probe", "golden", "round trip", "damage"}
    sets = len(library.instruction_sets())
    probes = [check for check in found["checks"] if check["group"] == "probe"]
    assert sum(check["outcome"] == "passed" for check in probes) == 3 * sets
    assert found["machine"]["devices"]


def test_a_wrong_instruction_set_fails_and_the_rest_still_runs(monkeypatch, capsys):
    real, bad = native.decode, library.instruction_sets()[0]

    def decode(message, shape, extent, counts, model, instruction_set=None, choices=None):
        symbols = real(message, shape, extent, counts, model, instruction_set, choices)
        return symbols ^ 1 if instruction_set == bad else symbols

    monkeypatch.setattr(native, "decode", decode)
    monkeypatch.setattr(selftest, "_archive_checks", lambda folder: [])
    assert main.run(["jaxslice", "selftest"]) == 1
    out = capsys.readouterr().out
    assert f"native {library.SET_NAMES[bad]}: networks" in out
    assert "must not code archives" in out
    failed = [line for line in out.splitlines() if "FAILED " in line and line.startswith("probe")]
    assert len(failed) == 3


def test_a_golden_that_decodes_otherwise_fails(tmp_path):
    (name, path, checksum), *_ = goldens.extract(tmp_path)
    assert name == "v1/noise"
    archives.decodes_to(path, checksum, "native")
    with pytest.raises(report.CheckFailed):
        archives.decodes_to(path, checksum[::-1], "native")


def test_damage_that_nobody_notices_fails(small_archive, tmp_path, monkeypatch):
    monkeypatch.setitem(archives.DAMAGE, "nothing", lambda copy: None)
    with pytest.raises(report.CheckFailed, match="whole"):
        archives.notices("nothing", Path(small_archive), tmp_path / "copy")


def test_engines_that_differ_fail(small_archive, tmp_path):
    other = tmp_path / "other.zarr"
    shutil.copytree(small_archive, other)
    archives.have_the_same_bytes([Path(small_archive), other])
    import jaxslice

    shutil.rmtree(other)
    jaxslice.compress(
        np.zeros((4, 8, 8), np.uint8), str(other), jaxslice.CompressOptions(effort="fast")
    )
    with pytest.raises(report.CheckFailed, match="different blocks"):
        archives.have_the_same_bytes([Path(small_archive), other])
