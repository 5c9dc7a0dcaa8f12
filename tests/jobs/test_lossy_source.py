"""Sources that were JPEG: both sizes are said before the work begins, and traces are noticed."""

from __future__ import annotations

import dataclasses
import re
import warnings
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tensorstore as ts

import jaxslice
from jaxslice.archive.store import open_archive
from jaxslice.bench.synthetic import synthetic_volume
from jaxslice.core.errors import LossySourceWarning, UsageError

SHAPE = (16, 96, 96)
OPTIONS = jaxslice.CompressOptions(effort=0)


@pytest.fixture(scope="module")
def voxels() -> np.ndarray:
    return synthetic_volume(SHAPE, seed=2)


def jpeg_volume(folder: Path, voxels: np.ndarray, quality: int, **info) -> str:
    spec = {
        "driver": "neuroglancer_precomputed",
        "kvstore": f"file://{folder}/",
        "multiscale_metadata": {"type": "image", "data_type": "uint8", "num_channels": 1},
        "scale_metadata": {
            "size": voxels.shape[::-1], "resolution": [4, 4, 40], "chunk_size": [32, 32, 16],
            "encoding": "jpeg", "jpeg_quality": quality,
        },
    }  # fmt: skip
    ts.open(spec, create=True).result().write(voxels.T[..., None]).result()
    return str(folder)


@pytest.mark.parametrize("quality", [75, 90, 95])
def test_a_jpeg_volume_is_refused_with_both_sizes(tmp_path: Path, voxels, quality: int):
    place = jpeg_volume(tmp_path / "v", voxels, quality)
    chunks = [path for path in (tmp_path / "v").glob("*/*") if path.is_file()]
    exact = 8 * sum(path.stat().st_size for path in chunks) / voxels.size
    with pytest.raises(UsageError, match="--lossy_source=allow") as caught:
        jaxslice.compress(place, tmp_path / "a.zarr", OPTIONS)
    stored, about = map(
        float, re.findall(r"stored ([\d.]+), as voxels about ([\d.]+) bits", str(caught.value))[0]
    )
    assert stored == pytest.approx(exact, abs=0.1)
    assert not (tmp_path / "a.zarr").exists()

    allowed = dataclasses.replace(OPTIONS, lossy_source="allow")
    report = jaxslice.compress(place, tmp_path / "a.zarr", allowed)
    decoded = jaxslice.open_source(place)
    np.testing.assert_array_equal(jaxslice.open(tmp_path / "a.zarr"), decoded.read(decoded.box))
    kept = open_archive(tmp_path / "a.zarr").provenance["source_format"]
    assert kept["encoding"] == "jpeg"
    assert kept["lossy"] is True
    assert kept["source_bits_per_voxel"] == pytest.approx(exact, abs=0.1)
    # The estimate is of the shipped network, before it is fitted; metadata weigh in a small volume.
    payload_bits = 8 * open_archive(tmp_path / "a.zarr").provenance["blocks_bytes"] / voxels.size
    assert about == pytest.approx(payload_bits, rel=0.15)
    assert report.raw_bytes == voxels.size


def test_the_original_is_named(tmp_path: Path, voxels):
    place = jpeg_volume(tmp_path / "v", voxels, 80)
    info = (tmp_path / "v" / "info").read_text()
    (tmp_path / "v" / "info").write_text(info.replace("{", '{"original": "gs://bucket/raw",', 1))
    with pytest.raises(UsageError, match="said to be at 'gs://bucket/raw'"):
        jaxslice.compress(place, tmp_path / "a.zarr", OPTIONS)


def test_jpeg_pictures_are_refused_too(tmp_path: Path, voxels):
    for number, picture in enumerate(voxels):
        data = imagecodecs.jpeg8_encode(picture, level=80)
        (tmp_path / f"{number}.jpg").write_bytes(data)
    with pytest.raises(UsageError, match="jpg-coded with loss: stored"):
        jaxslice.compress(f"{tmp_path}/*.jpg", tmp_path / "a.zarr", OPTIONS)


def test_lossless_jxl_is_not_refused(tmp_path: Path):
    """It may be lossy, but where it takes more bytes than voxels do, nothing speaks against it."""
    noise = np.random.default_rng(0).integers(0, 256, (4, 64, 64), np.uint8)
    for number, picture in enumerate(noise):
        data = imagecodecs.jpegxl_encode(picture, lossless=True)
        (tmp_path / f"{number}.jxl").write_bytes(data)
    jaxslice.compress(f"{tmp_path}/*.jxl", tmp_path / "a.zarr", OPTIONS)


@pytest.mark.parametrize("quality", [60, 80, 92])
def test_voxels_that_were_jpeg_once_are_noticed(tmp_path: Path, voxels, quality: int):
    once = np.stack(
        [imagecodecs.jpeg8_decode(imagecodecs.jpeg8_encode(p, level=quality)) for p in voxels]
    )
    with pytest.warns(LossySourceWarning, match=f"were JPEG once, of quality {quality}"):
        jaxslice.compress(once, tmp_path / "a.zarr", OPTIONS)
    kept = open_archive(tmp_path / "a.zarr").provenance["source_format"]
    assert kept["source_was_jpeg_of_quality"] == quality


def test_voxels_that_were_not_raise_no_warning(tmp_path: Path, voxels):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        jaxslice.compress(voxels, tmp_path / "a.zarr", OPTIONS)
    assert not open_archive(tmp_path / "a.zarr").provenance["source_format"]["lossy"]
