"""An interrupted run goes on where it stopped, to the same bytes, or says why it cannot."""

import dataclasses
import math
import os
from pathlib import Path

import pytest
from destinations_for_tests import content
from servers import s3_bucket
from small_volume import OPTIONS, write_volume

import jaxslice
from jaxslice.archive.store import Archive
from jaxslice.core.errors import SourceDataError, UsageError
from jaxslice.storage.folder import open_folder
from jaxslice.storage.workspace import content_of, locked_workspace, workspace_of

ONE = dataclasses.replace(OPTIONS, workers=1)


class Killed(BaseException):
    """What nothing catches."""


def stop_after(monkeypatch, blocks: int) -> None:
    """Lets a run write some blocks and then end without cleaning up."""
    write, left = Archive.write_payload, [blocks]

    def limited(self, index, payload) -> None:
        if not left[0]:
            raise Killed
        left[0] -= 1
        write(self, index, payload)

    monkeypatch.setattr(Archive, "write_payload", limited)


def interrupt(source: str, place: str, monkeypatch, blocks: int = 5, options=ONE) -> None:
    with monkeypatch.context() as patch:
        stop_after(patch, blocks)
        with pytest.raises(Killed):
            jaxslice.compress(source, place, options)


def test_the_same_command_goes_on_to_the_same_bytes(
    small_volume, small_archive, tmp_path, monkeypatch
):
    place = tmp_path / "small.zarr"
    interrupt(small_volume.path, str(place), monkeypatch)
    assert os.listdir(tmp_path) == [".small.zarr.partial"]
    seen = []
    report = jaxslice.compress(
        small_volume.path, str(place), ONE, progress=lambda *done: seen.append(done)
    )
    assert (f"resume {str(place)!r}", 5, 18) in seen
    assert report.details["resumed_blocks"] == 5
    assert content(place) == content(Path(small_archive))
    assert os.listdir(tmp_path) == ["small.zarr"]


def test_blocks_that_are_damaged_or_half_written_are_encoded_again(
    small_volume, small_archive, tmp_path, monkeypatch
):
    place = tmp_path / "small.zarr"
    interrupt(small_volume.path, str(place), monkeypatch)
    blocks = content_of(workspace_of(place)) / "0" / "c"
    first, second, *_ = sorted(path for path in blocks.rglob("*") if path.is_file())
    first.write_bytes(first.read_bytes()[:-7])
    second.with_name(second.name + ".__lock").write_bytes(second.read_bytes()[:9])
    second.unlink()
    report = jaxslice.compress(small_volume.path, str(place), ONE)
    assert report.details["resumed_blocks"] == 3
    assert content(place) == content(Path(small_archive))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"effort": 0}, "with effort 1 instead of 0"),
        ({"seed": 7}, "seed 0 instead of 7"),
        ({"block_shape": (4, 8, 16)}, r"with block shape \[4, 16, 32\] instead of \[4, 8, 13\]"),
    ],
)
def test_other_options_are_refused(small_volume, tmp_path, monkeypatch, change, message):
    place = str(tmp_path / "a.zarr")
    interrupt(small_volume.path, place, monkeypatch)
    other = dataclasses.replace(ONE, **change)
    with pytest.raises(UsageError, match=f"{message}.*--no_resume"):
        jaxslice.compress(small_volume.path, place, other)
    jaxslice.compress(small_volume.path, place, dataclasses.replace(other, resume=False))
    jaxslice.verify(place, source=small_volume.path)
    assert os.listdir(tmp_path) == ["a.zarr"]


def test_another_source_is_refused(small_volume, tmp_path, monkeypatch):
    place = str(tmp_path / "a.zarr")
    interrupt(small_volume.path, place, monkeypatch)
    other = write_volume(tmp_path / "other", small_volume.voxels[:, ::-1])
    with pytest.raises(UsageError, match=r"source voxels .* instead of"):
        jaxslice.compress(other.path, place, ONE)


def test_what_does_not_change_the_bytes_may_differ(
    small_volume, small_archive, tmp_path, monkeypatch
):
    place = tmp_path / "small.zarr"
    interrupt(small_volume.path, str(place), monkeypatch)
    other = dataclasses.replace(ONE, workers=2, batch_blocks=3, verify="none")
    assert jaxslice.compress(small_volume.path, str(place), other).details["resumed_blocks"] == 5
    assert content(place) == content(Path(small_archive))


def test_a_source_that_fails_leaves_what_is_finished(small_volume, tmp_path, monkeypatch):
    from jaxslice.volumes.interface import Source

    place, read, reads, most = tmp_path / "a.zarr", Source.read, [0], [math.inf]

    def fails(self, box):
        reads[0] += 1
        if reads[0] > most[0]:
            raise SourceDataError("cable cut")
        return read(self, box)

    with monkeypatch.context() as patch:
        patch.setattr(Source, "read", fails)
        jaxslice.compress(small_volume.path, str(tmp_path / "whole.zarr"), ONE)
        # The last eight are of the comparison at the end.
        reads[0], most[0] = 0, reads[0] - 10
        with pytest.raises(SourceDataError, match="cable cut"):
            jaxslice.compress(small_volume.path, str(place), ONE)
    with pytest.raises(UsageError, match=r"An unfinished one is in '.*\.a\.zarr\.partial'"):
        jaxslice.open(place)
    assert jaxslice.compress(small_volume.path, str(place), ONE).details["resumed_blocks"] > 0


def test_the_old_archive_is_readable_until_the_new_one_is_complete(
    small_volume, archive_copy, monkeypatch
):
    labels = archive_copy / "labels" / "zarr.json"
    labels.parent.mkdir()
    labels.write_text("mine")
    options = dataclasses.replace(ONE, overwrite=True, seed=3)
    interrupt(small_volume.path, str(archive_copy), monkeypatch, options=options)
    jaxslice.verify(str(archive_copy), source=small_volume.path)
    assert jaxslice.info(archive_copy).details["provenance"]["seed"] == 0
    jaxslice.compress(small_volume.path, str(archive_copy), options)
    jaxslice.verify(str(archive_copy), source=small_volume.path)
    assert jaxslice.info(archive_copy).details["provenance"]["seed"] == 3
    assert labels.read_text() == "mine"
    assert os.listdir(archive_copy.parent) == [archive_copy.name]


def test_a_kill_after_the_exchange_leaves_what_the_next_command_removes(
    small_volume, archive_copy, monkeypatch
):
    from jaxslice.storage import draft

    options = dataclasses.replace(ONE, overwrite=True)

    def killed(*_) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(draft, "remove_workspace", killed)
        with pytest.raises(Killed):
            jaxslice.compress(small_volume.path, str(archive_copy), options)
    assert len(os.listdir(archive_copy.parent)) == 2
    with pytest.raises(UsageError, match="exists"):
        jaxslice.compress(small_volume.path, str(archive_copy), ONE)
    assert os.listdir(archive_copy.parent) == [archive_copy.name]
    jaxslice.verify(str(archive_copy), source=small_volume.path)


def test_of_two_writers_one_is_refused(small_volume, tmp_path):
    place = tmp_path / "a.zarr"
    with (
        locked_workspace(str(place), place),
        pytest.raises(UsageError, match="another process is writing"),
    ):
        jaxslice.compress(small_volume.path, str(place), ONE)


@pytest.fixture
def bucket(monkeypatch):
    with s3_bucket(monkeypatch):
        yield "s3://volumes/small.zarr"


def objects(place: str) -> dict[str, bytes | None]:
    folder = open_folder(place)
    return {key: folder.read(key) for key in folder.list_keys()}


def test_in_a_bucket(small_volume, bucket, monkeypatch):
    jaxslice.compress(small_volume.path, bucket, ONE)
    undisturbed = objects(bucket)
    for key in undisturbed:
        open_folder(bucket).delete(key)
    open_folder(bucket).write("labels/zarr.json", b"mine")
    interrupt(small_volume.path, bucket, monkeypatch)
    with pytest.raises(UsageError, match=r"no zarr\.json.*unfinished one is in"):
        jaxslice.open(bucket)
    with pytest.raises(UsageError, match="seed 0 instead of 1"):
        jaxslice.compress(small_volume.path, bucket, dataclasses.replace(ONE, seed=1))
    assert jaxslice.compress(small_volume.path, bucket, ONE).details["resumed_blocks"] == 5
    assert objects(bucket) == {**undisturbed, "labels/zarr.json": b"mine"}


def test_replacing_in_a_bucket(small_volume, bucket, monkeypatch):
    jaxslice.compress(small_volume.path, bucket, ONE)
    open_folder(bucket).write("labels/zarr.json", b"mine")
    before = objects(bucket)
    options = dataclasses.replace(ONE, overwrite=True, seed=3)
    interrupt(small_volume.path, bucket, monkeypatch, options=options)
    meanwhile = objects(bucket)
    assert {key: meanwhile[key] for key in before} == before
    jaxslice.compress(small_volume.path, bucket, options)
    jaxslice.verify(bucket, source=small_volume.path)
    after = objects(bucket)
    assert len(after) == len(before)
    assert set(after) & set(before) == {"zarr.json", "labels/zarr.json"}


def test_an_archive_that_appears_meanwhile_is_not_replaced(small_volume, bucket, monkeypatch):
    from jaxslice.jobs import compress as module

    publish = module.publish

    def late(draft, *others) -> None:
        draft.folder.write("zarr.json", b"somebody else's")
        publish(draft, *others)

    monkeypatch.setattr(module, "publish", late)
    with pytest.raises(UsageError, match="somebody else wrote"):
        jaxslice.compress(small_volume.path, bucket, ONE)
    assert open_folder(bucket).read("zarr.json") == b"somebody else's"
