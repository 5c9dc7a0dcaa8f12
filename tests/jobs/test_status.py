"""What `status` says of jobs that run, died, or are done: locally and in a bucket."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from servers import s3_bucket
from small_volume import OPTIONS
from test_resume import interrupt

import jaxslice
from jaxslice.archive.keys import KIND
from jaxslice.core.box import Box
from jaxslice.core.errors import UsageError
from jaxslice.jobs import heartbeat
from jaxslice.jobs.heartbeat import Heartbeat, command_of
from jaxslice.jobs.status import _scales, status
from jaxslice.storage.draft import LocalDraft, open_draft
from jaxslice.storage.folder import open_folder

ONE = replace(OPTIONS, workers=1, effort="fast", training_steps=None)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_dead_job_says_how_far_it_came_and_how_to_go_on(small_volume, tmp_path, monkeypatch):
    place = str(tmp_path / "a b.zarr")
    interrupt(small_volume.path, place, monkeypatch, options=ONE)
    before = files(tmp_path)
    found = status(place)
    assert files(tmp_path) == before
    assert found["state"] == "dead, resumable"
    assert (found["blocks_done"], found["num_blocks"]) == (5, 18)
    assert found["bytes_done"] == sum(len(data) for path, data in before.items() if "/c/" in path)
    assert found["network"] == "fitted"
    assert 0 <= found["seconds_since_last_activity"] < 600
    (writer,) = found["writers"]
    assert {"host", "pid", "seconds_since_seen"} < set(writer)
    assert found["to_go_on"] == (
        f"jaxslice compress {small_volume.path} '{place}' --block_shape=4,16,32 --effort=fast "
        "--workers=1"
    )
    jaxslice.compress(small_volume.path, place, ONE)
    done = status(place)
    assert (done["state"], done["blocks_done"]) == ("sealed", 18)
    assert done["seal"] == jaxslice.info(place).details["seal"]
    assert [path.name for path in tmp_path.iterdir()] == ["a b.zarr"]


def test_a_running_job(small_volume, tmp_path):
    place, seen = str(tmp_path / "a.zarr"), []

    def look(part, done, total):
        if part == "compress" and not seen:
            seen.append(status(place))

    sharded = replace(ONE, shard_shape=(4, 32, 32))
    jaxslice.compress(small_volume.path, place, sharded, progress=look)
    (found,) = seen
    assert (found["state"], found["locked"]) == ("running", True)
    assert found["num_blocks"] == 18
    assert 2 <= found["blocks_done"] <= 18, "a shard holds several blocks"
    assert found["to_go_on"] == "Nothing: it is running."


def test_a_job_in_a_bucket_counts_as_dead_when_it_is_silent(small_volume, monkeypatch):
    url = "s3://volumes"
    with s3_bucket(monkeypatch):
        place = f"{url}/small.zarr"
        interrupt(small_volume.path, place, monkeypatch, options=ONE)
        before = sorted(open_folder(url).list_keys())
        found = status(place)
        assert sorted(open_folder(url).list_keys()) == before
        assert (found["state"], found["blocks_done"]) == ("running", 5), "the last sign is new"
        now = heartbeat.time.time
        monkeypatch.setattr(heartbeat.time, "time", lambda: now() + 200)
        found = status(place)
        assert (found["state"], found["num_blocks"]) == ("dead, resumable", 18)
        assert found["seconds_since_last_activity"] >= 200
        assert found["bytes_done"] > 0
        assert found["to_go_on"].startswith(f"jaxslice compress {small_volume.path} {place}")
        jaxslice.compress(small_volume.path, place, ONE)
        assert status(place)["state"] == "sealed"
        assert not [key for key in open_folder(url).list_keys() if "alive" in key]


def test_all_scales_count(small_volume, tmp_path, monkeypatch):
    place, options = str(tmp_path / "a.zarr"), replace(ONE, downsample=2)
    interrupt(small_volume.path, place, monkeypatch, options=options)
    found = status(place)
    jaxslice.compress(small_volume.path, place, options)
    assert (found["blocks_done"], found["num_blocks"]) == (5, status(place)["num_blocks"])
    assert found["num_blocks"] > 18


def test_scales_of_a_volume_that_begins_at_an_odd_place():
    # Windows are aligned to 0: along x 5:41 is pooled to 2:21, and that to 1:11.
    job = {
        "block_shape": [4, 8, 16],
        "shard_shape": None,
        "options": {"effort": 0, "downsample": 2},
        "source": {"box": "1:4,3:20,5:41", "voxel_size_nm": [4, 4, 4]},
        "coarser_sources": [],
    }
    assert [shape for shape, _, _ in _scales(job)] == [(3, 17, 36), (2, 9, 19), (1, 5, 10)]


def test_a_damaged_sign_is_no_sign(small_volume, tmp_path, monkeypatch):
    place = tmp_path / "a.zarr"
    interrupt(small_volume.path, str(place), monkeypatch, options=ONE)
    notes = tmp_path / ".a.zarr.partial"
    for number, text in enumerate(["", "[1]", '{"seen": "x"}', json.dumps({"seen": 1e12})]):
        (notes / f"alive-{number}.json").write_text(text)
    assert status(place)["state"] == "running", "another host has been seen a moment ago"
    assert status(place)["writers"][0]["host"] is None


def test_nothing_is_there(tmp_path):
    with pytest.raises(UsageError, match="neither an archive nor a job"):
        status(tmp_path / "a.zarr")


def test_signs_of_life_come_now_and_then(tmp_path, monkeypatch):
    notes, passed, now = [], [], [1000.0]

    def renew(self, name, data):
        notes.append(json.loads(data))
        raise OSError("the disk is full")

    monkeypatch.setattr(LocalDraft, "renew", renew)
    with open_draft(str(tmp_path / "a.zarr"), KIND, False) as draft:
        draft.kept = True
        beat = Heartbeat(draft, "go on", lambda *done: passed.append(done), lambda: now[0])
        for done in range(100):
            now[0] += 1
            beat("compress", done, 100)
    assert passed == [("compress", done, 100) for done in range(100)]
    assert [note["done"] for note in notes] == [0, 30, 60, 90]


def test_the_command_holds_no_secrets():
    options = jaxslice.CompressOptions(bbox=Box.parse("0:1,0:2,0:3"), overwrite=True)
    assert command_of("https://me:word@host/v?X-Signature=1", "s3://b/a.zarr", options) == (
        "jaxslice compress https://host/v s3://b/a.zarr --bbox=0:1,0:2,0:3 --overwrite"
    )
