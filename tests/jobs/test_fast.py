"""Whole archives of the fast level: lossless, repeatable, by any engine."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import zarr
from models_for_tests import strange_blocks

import jaxslice
from jaxslice import reference
from jaxslice.archive.store import open_archive
from jaxslice.bench.synthetic import synthetic_volume
from jaxslice.codec.linear import LinearArchitecture
from jaxslice.models.presets import LINEAR

OPTIONS = jaxslice.CompressOptions(effort="fast", block_shape=(8, 40, 48))


@pytest.fixture(scope="module")
def volume(tmp_path_factory) -> tuple[str, np.ndarray]:
    """Slices of two kinds, levels with gaps in some, and two slices alike."""
    voxels = synthetic_volume((12, 70, 90), seed=4)
    voxels[5:9] = voxels[5:9] // 3 * 3
    voxels[10] = voxels[9]
    path = str(tmp_path_factory.mktemp("volume") / "volume.npy")
    np.save(path, voxels)
    return path, voxels


def files_of(archive: str) -> dict[str, bytes]:
    return {str(p.relative_to(archive)): p.read_bytes() for p in Path(archive).rglob("*.*")}


@pytest.fixture(scope="module")
def archive(volume, tmp_path_factory) -> str:
    path = str(tmp_path_factory.mktemp("archive") / "volume.zarr")
    jaxslice.compress(volume[0], path, OPTIONS)
    return path


def test_the_voxels_come_back(volume, archive, tmp_path):
    path = str(tmp_path / "back.npy")
    jaxslice.decompress(archive, path)
    assert np.array_equal(np.load(path), volume[1])
    assert np.array_equal(zarr.open(archive)["0"][...], volume[1])


def test_the_archive_says_what_it_is(archive):
    architecture = open_archive(archive).configuration.architecture
    assert architecture == LINEAR
    report = jaxslice.info(archive).to_json()
    assert report["provenance"]["effort"] == "fast"
    assert report["multiply_adds_per_voxel"] == 128


def test_blocks_choose_more_than_one_predictor(archive):
    from jaxslice.codec import body, payload

    opened, seen = open_archive(archive), set()
    for index in opened.blocks():
        item = payload.unpack(opened.read_payload(index), opened.block_shape)
        seen |= set(body.split_coded_body(item, predictors=LINEAR.predictors).choices.tolist())
    assert len(seen) > 1


def test_the_reference_decodes_it(volume, archive, tmp_path):
    reference.decode_array(f"{archive}/0", tmp_path / "back.npy")
    assert np.array_equal(np.load(tmp_path / "back.npy"), volume[1])


@pytest.mark.parametrize(("engine", "workers"), [("native", 2), ("xla", 1)])
def test_every_engine_gives_the_same_bytes(volume, archive, tmp_path, engine, workers):
    options = dataclasses.replace(OPTIONS, engine=engine, workers=workers)
    jaxslice.compress(volume[0], str(tmp_path / "volume.zarr"), options)
    assert files_of(str(tmp_path / "volume.zarr")) == files_of(archive)


@pytest.mark.parametrize("kind", strange_blocks((5, 20, 24)))
def test_strange_volumes_pass(tmp_path, kind):
    voxels = strange_blocks((5, 20, 24))[kind]
    np.save(tmp_path / "volume.npy", voxels)
    jaxslice.compress(str(tmp_path / "volume.npy"), str(tmp_path / "a.zarr"), OPTIONS)
    assert np.array_equal(zarr.open(str(tmp_path / "a.zarr"))["0"][...], voxels)


def test_predictors_have_no_networks_of_their_own(archive):
    from jaxslice.core.errors import FormatError

    configuration = open_archive(archive).configuration
    assert isinstance(configuration.architecture, LinearArchitecture)
    for changes in ({"block_networks": True}, {"format_version": 3}):
        with pytest.raises(FormatError, match="own_networks"):
            dataclasses.replace(configuration, **changes)
