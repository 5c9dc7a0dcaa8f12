"""Parts of a job: any order, at once, again, killed; the archive is that of a single run."""

from __future__ import annotations

import dataclasses
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from destinations_for_tests import content
from servers import s3_bucket

import jaxslice
from jaxslice.archive.store import Archive
from jaxslice.bench.synthetic import synthetic_volume
from jaxslice.core.errors import UsageError
from jaxslice.jobs import parts, scale_job
from jaxslice.jobs.parts import Part, compress_part, prepare_parts, seal_parts
from jaxslice.storage.draft import unfinished_draft
from jaxslice.storage.folder import open_folder
from jaxslice.storage.lease import Lease

OPTIONS = jaxslice.CompressOptions(effort="fast", block_shape=(4, 32, 32), workers=1)
SHAPE = (10, 70, 80)


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("source") / "v.npy"
    np.save(path, synthetic_volume(SHAPE, seed=1))
    return str(path)


@pytest.fixture(scope="module")
def whole(source, tmp_path_factory) -> Path:
    """The archive of a single run."""
    place = tmp_path_factory.mktemp("whole") / "a.zarr"
    jaxslice.compress(source, place, OPTIONS)
    return place


class Killed(BaseException):
    """What nothing catches."""


def kill_after(monkeypatch, blocks: int) -> None:
    write, left = Archive.write_payload, [blocks]

    def limited(self, index, payload) -> None:
        if not left[0]:
            raise Killed
        left[0] -= 1
        write(self, index, payload)

    monkeypatch.setattr(Archive, "write_payload", limited)


def run(source, place, index: int, count: int, options=OPTIONS) -> bool:
    return compress_part(source, place, Part(index, count), options).complete


@pytest.mark.parametrize(
    "change",
    [{}, {"shard_shape": (8, 64, 64)}, {"downsample": 2}],
    ids=["plain", "shards", "pooled"],
)
def test_any_order_and_repetition_gives_the_bytes_of_a_single_run(source, tmp_path, change):
    options = dataclasses.replace(OPTIONS, **change)
    for folder in ("single", "parts"):
        (tmp_path / folder).mkdir()
    jaxslice.compress(source, tmp_path / "single" / "a.zarr", options)
    place = tmp_path / "parts" / "a.zarr"
    assert [run(source, place, index, 3, options) for index in (2, 0, 2, 1, 1, 0)] == [
        False, False, False, True, True, True,
    ]  # fmt: skip
    assert content(tmp_path / "parts") == content(tmp_path / "single")
    assert os.listdir(tmp_path / "parts") == ["a.zarr"]


def test_parts_at_the_same_time_fit_one_network(source, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(scale_job, "WAIT_SECONDS", 0.05)
    fit, fitted = scale_job.fit_base_network, []
    started = threading.Barrier(4)

    def counted(*arguments):
        fitted.append(1)
        return fit(*arguments)

    def part(index: int) -> bool:
        started.wait()
        return run(source, tmp_path / "a.zarr", index, 4)

    monkeypatch.setattr(scale_job, "fit_base_network", counted)
    with ThreadPoolExecutor(4) as pool:
        states = list(pool.map(part, range(4)))
    assert len(fitted) == 1
    # Who ends last finds the others gone, or they find it at work and leave the rest to it.
    assert any(states)
    assert content(tmp_path / "a.zarr") == content(whole)
    assert os.listdir(tmp_path) == ["a.zarr"]


def test_a_killed_part_is_gone_on_with(source, whole, tmp_path, monkeypatch):
    place = tmp_path / "a.zarr"
    with monkeypatch.context() as patch:
        kill_after(patch, 3)
        with pytest.raises(Killed):
            run(source, place, 0, 2)
    assert os.listdir(tmp_path) == [".a.zarr.partial"]
    assert not run(source, place, 1, 2)
    report = compress_part(source, place, Part(0, 2), OPTIONS)
    assert report.complete
    assert report.stats.found_blocks == 3
    assert content(place) == content(whole)


def test_the_number_of_parts_may_change_and_a_single_run_may_finish(source, whole, tmp_path):
    for number, finish in enumerate((
        lambda place: run(source, place, 2, 3),
        lambda place: jaxslice.compress(source, place, OPTIONS),
    )):  # fmt: skip
        (tmp_path / str(number)).mkdir()
        place = tmp_path / str(number) / "a.zarr"
        assert not run(source, place, 0, 2)
        assert not run(source, place, 1, 3)
        finish(place)
        assert content(tmp_path / str(number)) == {
            f"a.zarr/{key}": data for key, data in content(whole).items()
        }


def test_a_plan_spares_the_parts_the_fitting(source, whole, tmp_path, monkeypatch):
    place = tmp_path / "a.zarr"
    planned, report = prepare_parts(source, place, OPTIONS)
    assert (planned.num_blocks, report.done, report.expected) == (27, 0, 27)
    monkeypatch.setattr(scale_job, "fit_base_network", None)
    assert not run(source, place, 0, 2)
    assert run(source, place, 1, 2)
    assert content(place) == content(whole)


def test_sealing_needs_every_block_but_not_the_source(source, whole, tmp_path, monkeypatch):
    place = tmp_path / "a.zarr"
    with pytest.raises(UsageError, match="no unfinished job"):
        seal_parts(place)
    prepare_parts(source, place, OPTIONS)
    run(source, place, 0, 2)
    with pytest.raises(UsageError, match=r"without 14 of 27 blocks .* of them \(1, 1, 1\)"):
        seal_parts(place)
    monkeypatch.setattr(parts._Run, "complete", lambda self: False)
    assert not run(source, place, 1, 2)
    (tmp_path / "v.npy").unlink(missing_ok=True)
    assert seal_parts(place).num_blocks == 27
    assert content(place) == content(whole)
    assert os.listdir(tmp_path) == ["a.zarr"]


def test_sealing_leaves_pooled_scales_to_a_part(source, tmp_path):
    options = dataclasses.replace(OPTIONS, downsample=1)
    prepare_parts(source, tmp_path / "a.zarr", options)
    with pytest.raises(UsageError, match=r"without its coarser scales, expected .* any part"):
        seal_parts(tmp_path / "a.zarr")


def test_other_jobs_are_refused_and_leave_the_draft(source, tmp_path):
    place = tmp_path / "a.zarr"
    run(source, place, 0, 2)
    before = content(tmp_path)
    with pytest.raises(UsageError, match=r'effort 0 instead of "fast"|effort "fast" instead of 0'):
        run(source, place, 1, 2, dataclasses.replace(OPTIONS, effort=0))
    with pytest.raises(UsageError, match="Got --no_resume for a part"):
        run(source, place, 1, 2, dataclasses.replace(OPTIONS, resume=False))
    assert content(tmp_path) == before
    # Begun anew by the one command that may.
    prepare_parts(source, place, dataclasses.replace(OPTIONS, effort=0, resume=False))
    kept = json.loads((tmp_path / ".a.zarr.partial" / "job.json").read_text())
    assert kept["options"]["effort"] == 0


def test_a_part_that_cannot_begin_leaves_nothing(source, tmp_path, monkeypatch):
    def refuses(*_) -> None:
        raise Killed

    monkeypatch.setattr(parts, "job_of", refuses)
    with pytest.raises(Killed):
        run(source, tmp_path / "a.zarr", 0, 2)
    assert os.listdir(tmp_path) == []


def test_a_finished_archive_of_another_volume_is_not_taken_for_this_one(source, tmp_path):
    place = tmp_path / "a.zarr"
    other = np.load(source)
    other[0, 0, 0] ^= 1
    jaxslice.compress(other, place, OPTIONS)
    with pytest.raises(UsageError, match="exists, expected a new name or --overwrite"):
        run(source, place, 0, 2)
    options = dataclasses.replace(OPTIONS, overwrite=True)
    assert not run(source, place, 0, 2, options)
    np.testing.assert_array_equal(jaxslice.open(place)[...], other)
    assert run(source, place, 1, 2, options)
    np.testing.assert_array_equal(jaxslice.open(place)[...], np.load(source))
    assert unfinished_draft(str(place)) is None


def test_a_single_run_does_not_join_parts_at_work(source, tmp_path, monkeypatch):
    prepare, seen = scale_job.ScaleJob.prepare, []

    def prepared(self, shared=False):
        if shared:
            with pytest.raises(UsageError, match="which another process is writing"):
                jaxslice.compress(source, tmp_path / "a.zarr", OPTIONS)
            seen.append(1)
        return prepare(self, shared)

    monkeypatch.setattr(scale_job.ScaleJob, "prepare", prepared)
    run(source, tmp_path / "a.zarr", 0, 2)
    assert seen


def test_missing_chunks_are_counted_over_all_parts(tmp_path):
    box = jaxslice.Box.of_shape(SHAPE)
    from jaxslice.volumes.destination import create_destination

    with create_destination(tmp_path / "v", box, (1, 1, 1), chunk_shape=(10, 16, 16)) as made:
        made.write(box, synthetic_volume(SHAPE, seed=1))
    chunks = sorted(path for path in (tmp_path / "v").glob("*/*") if path.is_file())
    for chunk in chunks[::3]:
        chunk.unlink()
    options = dataclasses.replace(OPTIONS, missing="zero")
    for index in range(3):
        run(str(tmp_path / "v"), tmp_path / "a.zarr", index, 3, options)
    provenance = jaxslice.archive.store.open_archive(tmp_path / "a.zarr").provenance
    assert provenance["missing_chunks"] == len(chunks[::3])


def test_parts_in_a_bucket(source, tmp_path, monkeypatch):
    with s3_bucket(monkeypatch):
        jaxslice.compress(source, "s3://volumes/single/a.zarr", OPTIONS)
        place = "s3://volumes/parts/a.zarr"
        states = [run(source, place, index, 3) for index in (1, 0, 2, 0)]
        assert states == [False, False, True, True]

        def objects(folder: str) -> dict[str, bytes | None]:
            opened = open_folder(folder)
            return {key: opened.read(key) for key in opened.list_keys()}

        assert objects("s3://volumes/parts") == objects("s3://volumes/single")


def test_a_lease_is_one_processs_until_it_ends_or_dies(tmp_path):
    folder = open_folder(tmp_path)
    first = Lease(folder, "lease", renew_seconds=0.05, stale_seconds=0.5)
    second = Lease(folder, "lease", renew_seconds=0.05, stale_seconds=0.5)
    assert first.try_take()
    for _ in range(14):
        assert not second.try_take()
        threading.Event().wait(0.05)
    # It dies: nothing is renewed, nothing given back.
    first._ended.set()
    while not second.try_take():
        threading.Event().wait(0.05)
    first.release()
    assert folder.read("lease") is not None
    second.release()
    assert folder.read("lease") is None
    assert first.try_take()
    first.release()


@pytest.mark.parametrize(("index", "count"), [(3, 3), (-1, 2), (0, 0)])
def test_parts_that_do_not_exist(index, count):
    with pytest.raises(UsageError, match=f"Got part {index} of {count}, expected 0 to"):
        Part(index, count)
