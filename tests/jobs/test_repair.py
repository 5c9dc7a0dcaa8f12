"""Repair restores the very archive: the same root, from a copy or from the volume."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from damage_for_tests import flip, older_block
from servers import s3_bucket
from small_volume import OPTIONS

import jaxslice
from jaxslice.archive.store import open_archive
from jaxslice.cli import main
from jaxslice.core.errors import FormatError, UsageError
from jaxslice.jobs.repair import repair
from jaxslice.storage.folder import open_folder

FAST = dataclasses.replace(OPTIONS, effort="fast", training_steps=None, shard_shape=None)
SHARDED = dataclasses.replace(FAST, shard_shape=(8, 32, 64))


def contents(folder) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture
def made(small_volume, tmp_path):
    """An archive of linear predictors, and a copy of it."""
    jaxslice.compress(small_volume.path, tmp_path / "a.zarr", FAST)
    shutil.copytree(tmp_path / "a.zarr", tmp_path / "b.zarr")
    return tmp_path / "a.zarr", tmp_path / "b.zarr"


def damage(archive) -> list[list[int]]:
    chunks = archive / "0" / "c"
    flip(chunks / "0" / "0" / "0")
    (chunks / "0" / "2" / "1").unlink()
    first, second = chunks / "2" / "0" / "0", chunks / "2" / "0" / "1"
    data = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(data)
    return [[0, 0, 0], [0, 2, 1], [2, 0, 0], [2, 0, 1]]


@pytest.mark.parametrize("kind", ["copy", "volume"])
def test_blocks_come_back(kind, made, small_volume):
    archive, copy = made
    before, bad = contents(archive), damage(archive)
    origin = copy if kind == "copy" else small_volume.path
    damaged = contents(archive)
    planned = repair(archive, origin, dry_run=True)
    assert contents(archive) == damaged
    report = repair(archive, origin)
    for found in (planned, report):
        assert (found["kind"], found["outcome"], found["unrepaired"]) == (kind, "whole", [])
        assert [one["block"] for one in found["repaired"]] == bad
    assert contents(archive) == before
    assert report["root"] == open_archive(copy).root
    assert repair(archive, origin)["repaired"] == []


@pytest.mark.parametrize("kind", ["copy", "volume"])
def test_an_older_block_is_replaced(kind, made, small_volume):
    archive, copy = made
    before = contents(archive)
    older_block(archive, (1, 1, 0))
    assert contents(archive) != before
    report = repair(archive, copy if kind == "copy" else small_volume.path)
    assert [one["block"] for one in report["repaired"]] == [[1, 1, 0]]
    assert contents(archive) == before


def test_metadata_come_from_the_copy(made):
    archive, copy = made
    before = contents(archive)
    flip(archive / "0" / "zarr.json")
    (archive / "zarr.json").unlink()
    (archive / "0" / "c" / "1" / "0" / "0").unlink()
    assert repair(archive, copy, dry_run=True)["metadata"] == "restored"
    assert not (archive / "zarr.json").exists()
    assert repair(archive, copy)["outcome"] == "whole"
    assert contents(archive) == before


def test_metadata_of_another_archive_are_not_taken(made, small_volume, tmp_path):
    archive, _ = made
    other = dataclasses.replace(FAST, seed=1)
    jaxslice.compress(small_volume.path, tmp_path / "other.zarr", other)
    (archive / "zarr.json").unlink()
    damaged = contents(archive)
    with pytest.raises(UsageError, match="no block in common"):
        repair(archive, tmp_path / "other.zarr")
    with pytest.raises((UsageError, FormatError)):
        repair(archive, small_volume.path)
    assert contents(archive) == damaged


def test_another_archive_of_the_same_voxels_is_a_volume(made, small_volume, tmp_path):
    archive, _ = made
    before = contents(archive)
    other = dataclasses.replace(FAST, seed=1)
    jaxslice.compress(small_volume.path, tmp_path / "other.zarr", other)
    flip(archive / "0" / "c" / "0" / "0" / "0")
    report = repair(archive, tmp_path / "other.zarr")
    assert (report["kind"], report["outcome"]) == ("volume", "whole")
    assert contents(archive) == before


def test_voxels_that_are_not_those_of_the_archive_are_refused(made, small_volume):
    archive, _ = made
    flip(archive / "0" / "c" / "0" / "0" / "0")
    damaged = contents(archive)
    source = jaxslice.open_source(small_volume.path)
    other = dataclasses.replace(source, reader=lambda box: np.zeros(box.shape, np.uint8))
    report = repair(archive, other)
    assert (report["outcome"], report["repaired"]) == ("damaged", [])
    assert "not be the one that was sealed" in report["unrepaired"][0]["message"]
    assert contents(archive) == damaged


def test_a_copy_that_is_damaged_too_gives_what_it_has(made, capsys):
    archive, copy = made
    damage(archive)
    flip(copy / "0" / "c" / "0" / "0" / "0")
    words = ["jaxslice", "repair", str(archive), f"--from={copy}"]
    assert main.run([*words, "--json"]) == 3
    report = json.loads(capsys.readouterr().out)
    assert [one["block"] for one in report["unrepaired"]] == [[0, 0, 0]]
    assert len(report["repaired"]) == 3
    assert main.run(words) == 3
    assert "The copy's is no better" in capsys.readouterr().out
    assert main.run(words[:3]) == 2


def test_shards_in_a_bucket(small_volume, tmp_path, monkeypatch):
    """One block of a shard is damaged, and of another the index of all blocks."""
    with s3_bucket(monkeypatch):
        place = "s3://volumes/small.zarr"
        jaxslice.compress(small_volume.path, place, SHARDED)
        folder = open_folder(place)
        before = {key: folder.read(key) for key in folder.list_keys()}
        for key, data in before.items():
            path = tmp_path / "copy.zarr" / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data or b"")
        opened = open_archive(place)
        for shard, offset in (((0, 0, 0), 100), ((0, 1, 0), -30)):
            data = bytearray(before[opened.key_of(shard)] or b"")
            data[offset] ^= 1
            folder.write(opened.key_of(shard), bytes(data))
        lost = [len(opened.blocks_of((0, 1, 0))), 1]
        report = repair(place, tmp_path / "copy.zarr")
        assert (report["outcome"], len(report["repaired"])) == ("whole", sum(lost))
        assert {key: folder.read(key) for key in folder.list_keys()} == before


def test_a_coarser_scale_is_made_anew(small_volume, tmp_path):
    archive = tmp_path / "a.zarr"
    jaxslice.compress(small_volume.path, archive, dataclasses.replace(FAST, downsample=1))
    before = contents(archive)
    flip(archive / "0" / "c" / "1" / "0" / "0")
    (archive / "1" / "c" / "0" / "0" / "0").unlink()
    report = repair(archive, small_volume.path)
    assert [one["scale"] for one in report["repaired"]] == [0, 1]
    assert contents(archive) == before


def test_networks_of_blocks_come_from_a_copy_alone(tmp_path):
    from make_golden import GOLDEN

    archive, copy = tmp_path / "a.zarr", GOLDEN / "v4" / "own.zarr"
    shutil.copytree(copy, archive)
    flip(archive / "0" / "c" / "0" / "0" / "0")
    voxels = jaxslice.open(copy)[...]
    report = repair(archive, voxels)
    assert "network of its own" in report["unrepaired"][0]["message"]
    assert repair(archive, copy)["outcome"] == "whole"
    assert contents(archive) == contents(copy)


def test_archives_of_the_first_version(tmp_path):
    """They have no seal: the checksum of the block is all that says what is right."""
    from make_golden import GOLDEN

    archive, copy = tmp_path / "a.zarr", GOLDEN / "v1" / "tissue.zarr"
    shutil.copytree(copy, archive)
    flip(archive / "0" / "c" / "0" / "0" / "0")
    (archive / "0" / "c" / "1" / "0" / "0").unlink()
    assert repair(archive, copy)["outcome"] == "whole"
    assert contents(archive) == contents(copy)
