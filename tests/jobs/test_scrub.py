"""Scrubbing finds what rots, goes on where it stopped, and keeps to its limits."""

import dataclasses
import json
import shutil

import pytest
from damage_for_tests import flip, older_block
from servers import s3_bucket
from small_volume import OPTIONS

import jaxslice
from jaxslice.archive.store import open_archive
from jaxslice.cli import main
from jaxslice.core.errors import UsageError
from jaxslice.jobs.scrub import ScrubLimits, scrub
from jaxslice.storage.folder import LocalFolder

BLOCKS = 18


def swap(one, other) -> None:
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


def test_a_whole_archive(small_archive):
    record = scrub(small_archive)
    assert record["outcome"] == "whole"
    assert record["blocks"] == record["checked"] == record["read_blocks"] == BLOCKS
    assert record["problems"] == []
    assert record["root"] == open_archive(small_archive).root


def test_damaged_exchanged_and_lost_blocks_are_named(archive_copy):
    chunks = archive_copy / "0" / "c"
    flip(chunks / "0" / "0" / "0")
    swap(chunks / "0" / "1" / "0", chunks / "0" / "1" / "1")
    (chunks / "2" / "2" / "1").unlink()
    record = scrub(archive_copy)
    assert record["outcome"] == "damaged"
    found = {tuple(p["block"]): p for p in record["problems"]}
    assert set(found) == {(0, 0, 0), (0, 1, 0), (0, 1, 1), (2, 2, 1)}
    assert {p["kind"] for p in record["problems"]} == {"missing or damaged"}
    assert "0/c/2/2/1" in found[2, 2, 1]["message"]


def test_an_older_block_is_found_by_its_layer(archive_copy):
    older_block(archive_copy, (1, 0, 0))
    (problem,) = scrub(archive_copy)["problems"]
    assert (problem["kind"], problem["scale"], problem["layer"]) == ("layer", 0, 1)


def test_runs_go_on_where_the_last_one_stopped(archive_copy, tmp_path):
    older_block(archive_copy, (1, 0, 0))
    flip(archive_copy / "0" / "c" / "0" / "0" / "1")
    state, runs = tmp_path / "state.json", []
    for _ in range(4):
        runs.append(scrub(archive_copy, state=state, limits=ScrubLimits(max_blocks=5)))
    assert [run["checked"] for run in runs] == [5, 10, 15, 18]
    assert [run["read_blocks"] for run in runs] == [5, 5, 5, 3]
    assert [run["passes"] for run in runs] == [0, 0, 0, 1]
    # The layer is complete after 12 blocks, in the third run; problems are said until the end.
    assert [len(run["problems"]) for run in runs] == [1, 1, 2, 2]
    again = scrub(archive_copy, state=state, limits=ScrubLimits(max_blocks=5))
    assert (again["checked"], again["passes"], len(again["problems"])) == (5, 1, 1)


def test_metadata_and_roots(archive_copy, small_volume, tmp_path):
    state, root = tmp_path / "state.json", open_archive(archive_copy).root
    assert scrub(archive_copy, state=state, expect_root=root[:12])["outcome"] == "whole"
    (problem,) = scrub(archive_copy, expect_root="0" * 64)["problems"]
    assert (problem["kind"], root in problem["message"]) == ("root", True)
    # Another whole archive under the same name.
    shutil.rmtree(archive_copy)
    jaxslice.compress(small_volume.path, archive_copy, jaxslice.CompressOptions(effort="fast"))
    record = scrub(archive_copy, state=state)
    assert (record["outcome"], record["problems"][0]["kind"]) == ("damaged", "root")
    assert scrub(archive_copy, state=state)["outcome"] == "damaged"
    group = archive_copy / "zarr.json"
    group.write_text(group.read_text().replace('"seed": 0', '"seed": 1'))
    record = scrub(archive_copy)
    assert (record["outcome"], record["problems"][0]["kind"]) == ("damaged", "metadata")


def test_limits_by_a_clock_that_is_not_the_time_of_day(small_archive, monkeypatch):
    """The rate is kept by waiting, and the time of day may jump as it likes."""
    now, waited = [100.0], []
    monkeypatch.setattr("time.time", lambda: -1e9)

    def sleep(seconds: float) -> None:
        assert seconds >= 0
        waited.append(seconds)
        now[0] += seconds

    limits = ScrubLimits(max_mb_per_s=0.001)
    record = scrub(small_archive, limits=limits, clock=lambda: now[0], sleep=sleep)
    assert sum(waited) == pytest.approx(record["read_bytes"] / 1000)
    limits = ScrubLimits(max_seconds=1.0, max_mb_per_s=0.001)
    record = scrub(small_archive, limits=limits, clock=lambda: now[0], sleep=sleep)
    assert (record["outcome"], record["read_blocks"]) == ("whole so far", 4)


def test_a_storage_that_refuses_is_no_damage(small_archive, monkeypatch):
    real = LocalFolder.read

    def read(self, key, *others, **named):
        if "/c/1/" in key:
            raise OSError(5, "Input/output error")
        return real(self, key, *others, **named)

    monkeypatch.setattr(LocalFolder, "read", read)
    record = scrub(small_archive)
    assert record["outcome"] == "unreadable"
    assert {problem["kind"] for problem in record["problems"]} == {"unreadable"}
    assert len(record["problems"]) == 6
    assert scrub("/nowhere/a.zarr")["outcome"] == "unreadable"


def test_shards_in_a_bucket(small_volume, monkeypatch):
    options = dataclasses.replace(
        OPTIONS, effort="fast", training_steps=None, shard_shape=(8, 32, 64)
    )
    with s3_bucket(monkeypatch):
        place = "s3://volumes/small.zarr"
        jaxslice.compress(small_volume.path, place, options)
        assert scrub(place)["outcome"] == "whole"
        opened = open_archive(place)
        key = opened.key_of((0, 0, 0))
        data = bytearray(opened.folder.read(key) or b"")
        data[100] ^= 1
        opened.folder.write(key, bytes(data))
        record = scrub(place)
        assert (record["outcome"], len(record["problems"])) == ("damaged", 1)


def test_the_command_is_silent_unless_something_is_wrong(archive_copy, tmp_path, capsys):
    log, state = tmp_path / "log", tmp_path / "state.json"
    words = ["jaxslice", "scrub", str(archive_copy), f"--log={log}", f"--state={state}"]
    assert main.run(words) == 0
    assert capsys.readouterr() == ("", "")
    flip(archive_copy / "0" / "c" / "0" / "0" / "1")
    assert main.run(words) == 3
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["problems"][0]["block"] == [0, 0, 1]
    assert [json.loads(line)["outcome"] for line in log.read_text().splitlines()] == [
        "whole",
        "damaged",
    ]
    assert main.run([*words, "--expect_root=xyz"]) == 2


def test_a_state_that_is_none(small_archive, tmp_path):
    path = tmp_path / "state.json"
    for text in ("{", "[]", '{"version": 2}', '{"version": 1, "archives": {"%s": 5}}'):
        path.write_text(text.replace("%s", small_archive))
        with pytest.raises(UsageError, match="expected one that scrub wrote"):
            scrub(small_archive, state=path)
