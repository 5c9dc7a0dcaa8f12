"""Compress, decompress, verify: in, out, checked, and nothing half-written."""

import json
from pathlib import Path

import numpy as np
import pytest
from servers import serve_folder
from small_volume import OPTIONS, write_volume

import jaxslice
from jaxslice import reference
from jaxslice.archive.store import open_archive
from jaxslice.codec import payload
from jaxslice.core.box import Box
from jaxslice.core.errors import (
    ChecksumError,
    FormatError,
    SourceDataError,
    UsageError,
    VersionError,
)
from jaxslice.jobs import encoding
from jaxslice.volumes.source import open_source


def test_decompress_gives_the_volume_back(small_volume, small_archive, tmp_path):
    dest = tmp_path / "back"
    jaxslice.decompress(small_archive, str(dest))
    back = open_source(str(dest))
    assert back.box == small_volume.box
    assert back.placement.voxel_size_nm == (40.0, 4.0, 4.5)
    np.testing.assert_array_equal(back.read(back.box), small_volume.voxels)


def test_decompress_a_box_to_npy(small_volume, small_archive, tmp_path):
    box = Box((33, 205, 120), (39, 231, 149))
    jaxslice.decompress(small_archive, str(tmp_path / "part.npy"), bbox=box)
    local = box.shift((-30, -200, -100))
    expected = small_volume.voxels[local.slices]
    np.testing.assert_array_equal(np.load(tmp_path / "part.npy"), expected)


def test_report_counts_every_byte(small_archive):
    report = jaxslice.info(small_archive)
    files = [path for path in Path(small_archive).rglob("*") if path.is_file()]
    assert report.compressed_bytes == sum(path.stat().st_size for path in files)
    assert report.raw_bytes == 10 * 40 * 50
    assert report.bits_per_voxel == 8 * report.compressed_bytes / 20000
    assert report.num_blocks == 3 * 3 * 2
    assert len(files) == report.num_blocks + 2


def test_recorded_block_bytes_are_those_of_the_objects(small_archive):
    blocks = (Path(small_archive) / "0" / "c").rglob("*")
    total = sum(path.stat().st_size for path in blocks if path.is_file())
    assert open_archive(small_archive).provenance["blocks_bytes"] == total


def test_archive_keeps_the_placement(small_archive):
    group = json.loads((Path(small_archive) / "zarr.json").read_text())
    dataset = group["attributes"]["ome"]["multiscales"][0]["datasets"][0]
    scale, translation = dataset["coordinateTransformations"]
    assert scale["scale"] == [40.0, 4.0, 4.5]
    assert translation["translation"] == [30 * 40.0, 200 * 4.0, 100 * 4.5]


def test_reference_decodes_the_archive(small_volume, small_archive):
    opened = open_archive(small_archive)
    for index in opened.blocks():
        block = reference.read_archive_block(Path(small_archive) / "0", index)
        box = opened.box_of(index)
        local = box.shift((-30, -200, -100))
        np.testing.assert_array_equal(
            block[Box.of_shape(box.shape).slices], small_volume.voxels[local.slices]
        )


@pytest.mark.parametrize(("workers", "batch"), [(1, 3), (3, 8)])
def test_same_bytes_for_any_workers_and_batch(
    small_volume, small_archive, tmp_path, workers, batch
):
    import dataclasses

    options = dataclasses.replace(OPTIONS, workers=workers, batch_blocks=batch, verify="sample")
    other = str(tmp_path / "other.zarr")
    jaxslice.compress(small_volume.path, other, options)
    first, second = open_archive(small_archive), open_archive(other)
    assert first.configuration == second.configuration
    for index in first.blocks():
        assert first.read_payload(index) == second.read_payload(index)


def test_bbox_and_offset(small_volume, tmp_path):
    import dataclasses

    box = Box((31, 203, 101), (32, 240, 150))
    archive = str(tmp_path / "part.zarr")
    jaxslice.compress(small_volume.path, archive, dataclasses.replace(OPTIONS, bbox=box))
    assert open_archive(archive).box == box
    assert open_archive(archive).block_shape == (1, 13, 32)
    local = box.shift((-30, -200, -100))
    np.testing.assert_array_equal(jaxslice.open(archive)[...], small_volume.voxels[local.slices])


def test_slices_context_round_trips(small_volume, tmp_path):
    import dataclasses

    archive = str(tmp_path / "slices.zarr")
    jaxslice.compress(small_volume.path, archive, dataclasses.replace(OPTIONS, context="slices"))
    context = open_archive(archive).configuration.architecture.context
    assert all(-4 <= dz <= -1 for dz, _, _ in context)
    jaxslice.verify(archive, source=small_volume.path)


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 9, 6)], ids=str)
def test_degenerate_volumes(shape, tmp_path):
    voxels = np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)
    np.save(tmp_path / "v.npy", voxels)
    archive = str(tmp_path / "a.zarr")
    options = jaxslice.CompressOptions(block_shape=(4, 8, 8), training_steps=1)
    jaxslice.compress(str(tmp_path / "v.npy"), archive, options)
    np.testing.assert_array_equal(jaxslice.open(archive)[...], voxels)
    opened = open_archive(archive)
    for index in opened.blocks():
        block_bytes = np.prod(opened.block_shape)
        assert len(opened.read_payload(index)) <= block_bytes + 64


def test_verify_finds_another_source(small_volume, small_archive, tmp_path):
    changed = small_volume.voxels.copy()
    changed[7, 20, 30] ^= 1
    other = write_volume(tmp_path / "other", changed)
    jaxslice.verify(small_archive, source=small_volume.path)
    with pytest.raises(FormatError, match=r"block \(1, 1, 0\).*differs"):
        jaxslice.verify(small_archive, source=other.path)


def test_every_damaged_block_is_found(archive_copy):
    path = archive_copy / "0" / "c" / "1" / "0" / "1"
    good = path.read_bytes()
    for data in (good[:-1], good[: len(good) // 2], b"", good[:40] + b"x" + good[41:]):
        path.write_bytes(data)
        with pytest.raises(FormatError, match=r"In block \(1, 0, 1\)"):
            jaxslice.verify(str(archive_copy))
    path.unlink()
    with pytest.raises(FormatError, match="no object '0/c/1/0/1'"):
        jaxslice.verify(str(archive_copy))


def test_failed_decompression_leaves_nothing(archive_copy, tmp_path):
    path = archive_copy / "0" / "c" / "2" / "2" / "1"
    path.write_bytes(path.read_bytes()[:-3])
    for dest in ("back", "back.npy"):
        with pytest.raises(ChecksumError):
            jaxslice.decompress(str(archive_copy), str(tmp_path / dest))
    assert [p.name for p in tmp_path.iterdir()] == ["copy.zarr"]


def _edit_configuration(archive: Path, **changes) -> None:
    path = archive / "0" / "zarr.json"
    metadata = json.loads(path.read_text())
    metadata["codecs"][0]["configuration"].update(changes)
    path.write_text(json.dumps(metadata))


def test_a_version_from_the_future_is_refused(archive_copy):
    _edit_configuration(archive_copy, format_version=5)
    with pytest.raises(VersionError, match="format version 5, expected 1 to 4"):
        jaxslice.verify(str(archive_copy))


def test_a_damaged_network_is_refused(archive_copy):
    configuration = open_archive(str(archive_copy)).configuration.to_json()
    network = configuration["network"]
    _edit_configuration(archive_copy, network=("A" if network[0] != "A" else "B") + network[1:])
    with pytest.raises(ChecksumError, match="network"):
        jaxslice.verify(str(archive_copy))
    _edit_configuration(archive_copy, network="not base64!")
    with pytest.raises(FormatError, match="without a network"):
        jaxslice.verify(str(archive_copy))


def test_a_source_that_fails_leaves_nothing(small_volume, tmp_path):
    import shutil

    source = Path(shutil.copytree(small_volume.path, tmp_path / "broken"))
    chunk = sorted(p for p in source.rglob("*-*") if p.is_file())[-1]
    chunk.write_bytes(chunk.read_bytes()[:3])
    with pytest.raises(SourceDataError):
        jaxslice.compress(str(source), str(tmp_path / "a.zarr"), OPTIONS)
    assert [p.name for p in tmp_path.iterdir()] == ["broken"]


def test_a_block_that_does_not_verify_is_never_kept(small_volume, tmp_path, monkeypatch):
    real = encoding.blocks.decode_blocks

    def faulty(*args, **kwargs):
        decoded = real(*args, **kwargs)
        decoded[0][0, 0, 0] ^= 1
        return decoded

    monkeypatch.setattr(encoding.blocks, "decode_blocks", faulty)
    with pytest.raises(FormatError, match="did not decode"):
        jaxslice.compress(small_volume.path, str(tmp_path / "a.zarr"), OPTIONS)
    # What is left can be resumed, and holds no block.
    assert [path.name for path in tmp_path.iterdir()] == [".a.zarr.partial"]
    assert not [path for path in tmp_path.rglob("c/*") if path.is_file()]


def test_an_archive_is_not_overwritten_unasked(small_volume, archive_copy, tmp_path):
    import dataclasses

    before = (archive_copy / "zarr.json").read_bytes()
    with pytest.raises(UsageError, match="exists"):
        jaxslice.compress(small_volume.path, str(archive_copy), OPTIONS)
    assert (archive_copy / "zarr.json").read_bytes() == before
    replace = dataclasses.replace(OPTIONS, overwrite=True)
    jaxslice.compress(small_volume.path, str(archive_copy), replace)
    jaxslice.verify(str(archive_copy), source=small_volume.path)

    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="not a jaxslice archive"):
        jaxslice.compress(small_volume.path, str(precious), replace)
    assert (precious / "thesis.txt").exists()


def test_over_http(small_volume, small_archive, tmp_path):
    with serve_folder(Path(small_volume.path)) as url:
        jaxslice.compress(url, str(tmp_path / "a.zarr"), OPTIONS)
    ours, other = open_archive(str(tmp_path / "a.zarr")), open_archive(small_archive)
    assert ours.configuration.identity != other.configuration.identity
    for index in other.blocks():
        bodies = (
            payload.unpack(archive.read_payload(index), archive.block_shape).body
            for archive in (ours, other)
        )
        assert len(set(bodies)) == 1
    with serve_folder(Path(small_archive)) as url:
        opened = jaxslice.open(url)
        np.testing.assert_array_equal(opened[3], small_volume.voxels[3])
        size = jaxslice.info(url).compressed_bytes
    assert size == jaxslice.info(small_archive).compressed_bytes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"effort": 4}, "effort 4, expected one of fast, 0, 1, 2, 3"),
        ({"effort": -1}, "effort -1, expected one of"),
        ({"effort": True}, "effort True, expected a whole"),
        ({"effort": "fast", "model": "default"}, "model 'default' with effort 'fast'"),
        ({"effort": "fast", "context": "slices"}, "context 'slices' with effort 'fast'"),
        ({"effort": "fast", "training_steps": 3}, "training_steps 3 with effort 'fast'"),
        ({"effort": 0, "context": "slices"}, "with effort 0"),
        ({"model": "default", "context": "slices"}, "with model 'default'"),
        ({"context": "future"}, "context 'future'"),
        ({"verify": "maybe"}, "verify 'maybe'"),
        ({"block_shape": (0, 4, 4)}, "block shape"),
        ({"block_shape": (2048, 2048, 2048)}, "at most 268435456"),
        ({"workers": 0}, "workers 0"),
        ({"batch_blocks": -1}, "batch_blocks -1"),
        ({"training_steps": 0}, "training_steps 0"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        jaxslice.CompressOptions(**options)
