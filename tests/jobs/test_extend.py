"""Archives that grow along z: old blocks keep their bytes, and a crash keeps the old archive."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from destinations_for_tests import content
from servers import s3_bucket

import jaxslice
from jaxslice.archive.store import Archive, open_archive, open_scales
from jaxslice.bench.synthetic import synthetic_volume
from jaxslice.core.errors import UsageError
from jaxslice.jobs import encoding

FAST = jaxslice.CompressOptions(effort="fast", block_shape=(4, 16, 32), workers=1)
VOXELS = synthetic_volume((19, 24, 40), seed=3)


def saved(path: Path, depth: int) -> str:
    np.save(path, VOXELS[:depth])
    return str(path)


@pytest.fixture
def grown(tmp_path) -> tuple[str, str]:
    """An archive of 10 slices, and the volume with 19."""
    archive = str(tmp_path / "a.zarr")
    jaxslice.compress(saved(tmp_path / "v.npy", 10), archive, FAST)
    return archive, saved(tmp_path / "v.npy", 19)


def test_the_new_slices_are_added_and_old_blocks_stay(grown):
    archive, source = grown
    before, root = content(Path(archive)), open_archive(archive).root
    report = jaxslice.extend(archive, source, workers=1)
    after = content(Path(archive))
    assert report.details["added_slices"] == 9
    assert report.details["encoded_blocks"] == 3 * 4
    kept = [key for key in before if key.startswith(("0/c/0/", "0/c/1/"))]
    assert len(kept) == 8
    assert {key: after[key] for key in kept} == {key: before[key] for key in kept}
    assert after["0/c/2/0/0"] != before["0/c/2/0/0"]
    np.testing.assert_array_equal(jaxslice.open(archive)[...], VOXELS)
    jaxslice.verify(archive, source=source)
    opened = open_archive(archive)
    assert opened.seal is not None
    assert opened.root != root
    blocks = sum(len(data) for key, data in after.items() if "/c/" in key)
    assert opened.provenance["blocks_bytes"] == blocks
    assert [path.name for path in Path(archive).parent.iterdir() if "partial" in path.name] == []


def test_a_crash_keeps_the_old_archive_and_can_be_resumed(grown, monkeypatch):
    archive, source = grown
    before, write, left = content(Path(archive)), Archive.write_payload, [5]

    def limited(self, index, payload) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        write(self, index, payload)

    with monkeypatch.context() as patch:
        patch.setattr(Archive, "write_payload", limited)
        with pytest.raises(KeyboardInterrupt):
            jaxslice.extend(archive, source, workers=1)
    assert content(Path(archive)) == before
    jaxslice.verify(archive)
    undisturbed = shutil.copytree(archive, f"{archive}.copy/a.zarr")
    assert jaxslice.extend(archive, source, workers=1).details["encoded_blocks"] == 3 * 4 - 5
    jaxslice.extend(undisturbed, source, workers=1)
    assert content(Path(archive)) == content(Path(undisturbed))


def test_scales_and_shards_grow_too(tmp_path):
    archive = str(tmp_path / "a.zarr")
    options = dataclasses.replace(FAST, downsample=2, shard_shape=(8, 32, 64))
    jaxslice.compress(saved(tmp_path / "v.npy", 10), archive, options)
    source, first = saved(tmp_path / "v.npy", 19), open_archive(archive)
    payloads = {index: first.read_payload(index) for index in first.blocks()}
    jaxslice.extend(archive, source, workers=1)
    jaxslice.verify(archive, source=source)
    assert [scale.shape[0] for scale in open_scales(archive)] == [19, 10, 5]
    opened = open_archive(archive)
    for index in payloads:
        assert (opened.read_payload(index) == payloads[index]) == (index[0] < 2)


def test_an_archive_of_whole_layers_encodes_only_what_is_new(tmp_path):
    archive = str(tmp_path / "a.zarr")
    jaxslice.compress(saved(tmp_path / "v.npy", 8), archive, FAST)
    source = saved(tmp_path / "v.npy", 12)
    assert jaxslice.extend(archive, source, workers=1).details["encoded_blocks"] == 4
    np.testing.assert_array_equal(jaxslice.open(archive)[...], VOXELS[:12])


def test_what_does_not_continue_is_refused(grown, tmp_path):
    archive, _ = grown
    np.save(tmp_path / "other.npy", VOXELS[:, :20])
    for source in (saved(tmp_path / "v.npy", 10), str(tmp_path / "other.npy")):
        with pytest.raises(UsageError, match="expected the same y and x"):
            jaxslice.extend(archive, source)
    old = Path(__file__).parents[1] / "golden" / "v3" / "tissue.zarr"
    before = open_archive(old)
    np.save(tmp_path / "w.npy", np.zeros((before.shape[0] + 1, *before.shape[1:]), np.uint8))
    with pytest.raises(UsageError, match="not sealed"):
        jaxslice.extend(str(old), str(tmp_path / "w.npy"))


def test_in_a_bucket(tmp_path, monkeypatch):
    with s3_bucket(monkeypatch):
        place = "s3://volumes/a.zarr"
        jaxslice.compress(saved(tmp_path / "v.npy", 10), place, FAST)
        first = open_archive(place)
        jaxslice.extend(place, saved(tmp_path / "v.npy", 19), workers=1)
        second = open_archive(place)
        assert second.path != first.path
        assert all(not key.startswith(f"{first.path}/") for key in second.folder.list_keys())
        np.testing.assert_array_equal(jaxslice.open(place)[...], VOXELS)


def test_only_a_block_that_decodes_is_kept(grown, monkeypatch):
    archive, source = grown
    before = content(Path(archive))
    monkeypatch.setattr(
        encoding.EncodeTask, "read", lambda *_: (_ for _ in ()).throw(OSError("cable cut"))
    )
    with pytest.raises(OSError, match="cable cut"):
        jaxslice.extend(archive, source, workers=1)
    assert content(Path(archive)) == before
