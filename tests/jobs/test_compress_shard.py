"""Job shards in any order, repeated or at the same time, make the archive of a plain run."""

import contextlib
import dataclasses
import os
import random
import threading
from pathlib import Path

import pytest
from destinations_for_tests import content
from servers import s3_bucket
from small_volume import OPTIONS

import jaxslice
from jaxslice.archive.store import Archive
from jaxslice.core.errors import UsageError
from jaxslice.jobs import agreement
from jaxslice.jobs.base_network import fit_base_network
from jaxslice.jobs.complete import seal
from jaxslice.jobs.compress_shard import compress_shard, plan_archive
from jaxslice.jobs.job_shard import JobShard
from jaxslice.storage.folder import open_folder

FAST = dataclasses.replace(
    OPTIONS, effort="fast", training_steps=None, workers=1, verify="none", downsample=1,

)  # fmt: skip


class Killed(BaseException):
    """What nothing catches."""


@pytest.fixture(scope="module")
def plain(small_volume, tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("plain") / "a.zarr"
    jaxslice.compress(small_volume.path, str(place), FAST)
    return place


def run(source: str, place, index: int, count: int, options=FAST):
    return compress_shard(source, str(place), JobShard(index, count), options).to_json()


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 0, 1]])
def test_any_order_and_repetition(small_volume, plain, tmp_path, order):
    reports = [run(small_volume.path, tmp_path / "a.zarr", index, 3) for index in order]
    assert content(tmp_path / "a.zarr") == content(plain)
    assert os.listdir(tmp_path) == ["a.zarr"]
    complete = [report["complete"] for report in reports]
    assert complete == sorted(complete)
    assert complete[-1]


@pytest.mark.parametrize("shards", [(2, 3), (25, 1)])
def test_arrays_of_different_sizes(small_volume, plain, tmp_path, shards):
    place = tmp_path / "a.zarr"
    for count in shards:
        # All but one of the first array, which may have fewer objects than job shards.
        for index in range(min(count, 3) - (count == shards[0])):
            run(small_volume.path, place, index, count)
    assert content(place) == content(plain)


def test_zarr_shards_are_not_divided(small_volume, tmp_path, monkeypatch):
    options = dataclasses.replace(FAST, shard_shape=(8, 32, 64))
    (tmp_path / "plain").mkdir()
    jaxslice.compress(small_volume.path, str(tmp_path / "plain" / "a.zarr"), options)
    written, write = [], Archive.write_shard
    monkeypatch.setattr(
        Archive,
        "write_shard",
        lambda *args: (written.append((args[0].path, args[1])), write(*args)),
    )
    for index in (1, 0):
        run(small_volume.path, tmp_path / "a.zarr", index, 2, options)
    assert len(written) == len(set(written)) == 6
    assert content(tmp_path / "a.zarr") == content(tmp_path / "plain" / "a.zarr")


def test_at_the_same_time(small_volume, plain, tmp_path):
    place, errors = tmp_path / "a.zarr", []

    def one(index: int) -> None:
        try:
            run(small_volume.path, place, index, 4)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=one, args=(index,)) for index in (0, 1, 2, 3, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert content(place) == content(plain)
    assert os.listdir(tmp_path) == ["a.zarr"]


def test_one_fits_the_network_and_others_wait(small_volume, tmp_path, monkeypatch):
    from jaxslice.jobs import scale_part

    fitted, waited = [], threading.Event()

    def slow(*args):
        fitted.append(1)
        assert waited.wait(60)
        return fit_base_network(*args)

    monkeypatch.setattr(scale_part, "fit_base_network", slow)
    options = dataclasses.replace(FAST, downsample=0)

    def progress(part, *_):
        if part.startswith("wait for the base network"):
            waited.set()

    def one(index: int) -> None:
        compress_shard(
            small_volume.path, str(tmp_path / "a.zarr"), JobShard(index, 2), options, progress
        )

    threads = [threading.Thread(target=one, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert fitted == [1]
    jaxslice.verify(str(tmp_path / "a.zarr"), source=small_volume.path)


def test_waiting_ends(small_volume, tmp_path, monkeypatch):
    monkeypatch.setattr(agreement, "MOST_WAIT_SECONDS", -1.0)
    monkeypatch.setattr("jaxslice.storage.lease.Lease.try_acquire", lambda _: False)
    with (
        jaxslice_draft(tmp_path) as draft,
        pytest.raises(TimeoutError, match="`jaxslice plan` makes it"),
    ):
        agreement.network_of_one(draft, 0, lambda: pytest.fail("fitted"), lambda *_: None)


@contextlib.contextmanager
def jaxslice_draft(folder: Path):
    from jaxslice.archive.keys import KIND
    from jaxslice.storage.draft import open_draft

    with open_draft(str(folder / "a.zarr"), KIND, overwrite=False) as draft:
        yield draft


def test_planned_beforehand_and_sealed_afterwards(small_volume, plain, tmp_path, monkeypatch):
    from jaxslice.jobs import scale_part

    place = tmp_path / "a.zarr"
    with pytest.raises(UsageError, match=r"no zarr\.json"):
        seal(place)
    planned = plan_archive(small_volume.path, place, FAST)
    assert (planned["num_blocks"], planned["stored_objects"]) == (18, 18)
    with pytest.raises(UsageError, match=r"0 of 18 blocks .* missing: \(0, 0, 0\), .* and 10 more"):
        seal(place)
    with monkeypatch.context() as patch:
        patch.setattr(scale_part, "fit_base_network", lambda *_: pytest.fail("fitted again"))
        patch.setattr("jaxslice.jobs.compress_shard.complete", lambda *_, **__: None)
        for index in range(3):
            assert not run(small_volume.path, place, index, 3)["complete"]
    os.remove(tmp_path / ".a.zarr.partial/new/0/c/1/0/1")
    with pytest.raises(UsageError, match=r"missing: \(1, 0, 1\)"):
        seal(place)
    run(small_volume.path, place, 1, 3)
    assert content(place) == content(plain)
    assert seal(place).archive == str(place)


def test_another_job_is_refused(small_volume, tmp_path):
    place = tmp_path / "a.zarr"
    run(small_volume.path, place, 0, 2)
    with pytest.raises(UsageError, match="seed 0 instead of 1"):
        run(small_volume.path, place, 1, 2, dataclasses.replace(FAST, seed=1))
    with pytest.raises(UsageError, match="jaxslice plan"):
        run(small_volume.path, place, 1, 2, dataclasses.replace(FAST, resume=False))


def test_a_plain_run_goes_on_with_what_job_shards_left(small_volume, plain, tmp_path):
    run(small_volume.path, tmp_path / "a.zarr", 0, 2)
    report = jaxslice.compress(small_volume.path, str(tmp_path / "a.zarr"), FAST)
    assert report.details["resumed_blocks"] == 9
    assert content(tmp_path / "a.zarr") == content(plain)
    assert os.listdir(tmp_path) == ["a.zarr"]


@pytest.mark.parametrize("seed", range(2))
def test_one_that_dies_is_run_again(small_volume, plain, tmp_path, monkeypatch, seed):
    write, draw = Archive.write_payload, random.Random(seed)
    left = [draw.randrange(18)]

    def limited(self, index, payload) -> None:
        if not left[0]:
            left[0] = -1
            raise Killed
        left[0] -= 1
        write(self, index, payload)

    monkeypatch.setattr(Archive, "write_payload", limited)
    for index in (1, 0):
        try:
            run(small_volume.path, tmp_path / "a.zarr", index, 2)
        except Killed:
            run(small_volume.path, tmp_path / "a.zarr", index, 2)
    assert content(tmp_path / "a.zarr") == content(plain)
    assert os.listdir(tmp_path) == ["a.zarr"]


def test_in_a_bucket(small_volume, monkeypatch):
    def objects() -> dict[str, bytes | None]:
        folder = open_folder("s3://volumes/a.zarr")
        return {key: folder.read(key) for key in folder.list_keys()}

    with s3_bucket(monkeypatch):
        jaxslice.compress(small_volume.path, "s3://volumes/a.zarr", FAST)
        expected = objects()
        for key in expected:
            open_folder("s3://volumes/a.zarr").delete(key)
        threads = [
            threading.Thread(target=run, args=(small_volume.path, "s3://volumes/a.zarr", n, 3))
            for n in (2, 0)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert any("part-0" in key for key in objects())
        # A process that was killed while it tried whether it can write.
        open_folder("s3://volumes/a.zarr").write(".partial-0123456789abcdef", b"")
        assert run(small_volume.path, "s3://volumes/a.zarr", 1, 3)["complete"]
        assert objects() == expected
        assert run(small_volume.path, "s3://volumes/a.zarr", 1, 3)["complete"]
        assert objects() == expected
