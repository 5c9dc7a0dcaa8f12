"""Volumes of uint16 through every command and reader; other types are refused by name."""

import json

import numpy as np
import pytest
import zarr

import jaxslice
from jaxslice.archive.store import open_archive
from jaxslice.archive.zarr_codec import JaxsliceCodec
from jaxslice.core.errors import FormatError, UsageError
from jaxslice.reference import decode_array
from jaxslice.volumes.source import open_source

SHAPE = (5, 24, 40)
OPTIONS = jaxslice.CompressOptions(effort=1, training_steps=2, block_shape=(3, 24, 24))


def volume() -> np.ndarray:
    """12 bits of a detector in the upper bits, with noise."""
    wave = 2000 + 1500 * np.sin(0.1 * np.indices(SHAPE).sum(axis=0))
    noise = np.random.default_rng(0).normal(0, 25, SHAPE)
    return (np.rint(wave + noise).astype(np.uint16)) * np.uint16(16)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The volume as a file, its archive, and the report of making it."""
    folder = tmp_path_factory.mktemp("sixteen")
    np.save(folder / "volume.npy", volume())
    report = jaxslice.compress(str(folder / "volume.npy"), str(folder / "a.zarr"), OPTIONS)
    return folder, report


def test_the_report_counts_bytes(made):
    folder, report = made
    voxels = volume()
    assert report.raw_bytes == voxels.nbytes
    assert report.bits_per_voxel == 8 * report.compressed_bytes / voxels.size
    info = jaxslice.info(str(folder / "a.zarr")).to_json()
    assert info["data_type"] == "uint16"
    assert info["architecture"]["voxel_bits"] == 16
    assert open_archive(folder / "a.zarr").dtype == np.uint16


def test_verify_compares_with_the_source(made):
    folder, _ = made
    jaxslice.verify(str(folder / "a.zarr"), source=str(folder / "volume.npy"))
    other = volume()
    other[2, 3, 4] += 16
    np.save(folder / "other.npy", other)
    with pytest.raises(FormatError):
        jaxslice.verify(str(folder / "a.zarr"), source=str(folder / "other.npy"))


def test_readers_agree(made, tmp_path):
    folder, _ = made
    voxels, lazy = volume(), jaxslice.open(folder / "a.zarr")
    assert lazy.dtype == np.uint16
    assert lazy[1:1].dtype == np.uint16
    np.testing.assert_array_equal(lazy[1:4, 5, ::3], voxels[1:4, 5, ::3])
    np.testing.assert_array_equal(zarr.open_array(folder / "a.zarr" / "0", mode="r")[...], voxels)
    decode_array(folder / "a.zarr" / "0", tmp_path / "reference.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "reference.npy"), voxels)


@pytest.mark.parametrize("name", ["new.npy", "new.precomputed"])
def test_decompress_writes_uint16_and_it_is_read_again(made, tmp_path, name):
    folder, _ = made
    jaxslice.decompress(str(folder / "a.zarr"), str(tmp_path / name))
    source = open_source(tmp_path / name)
    assert source.dtype == np.uint16
    np.testing.assert_array_equal(source.read(source.box), volume())
    jaxslice.verify(str(folder / "a.zarr"), source=str(tmp_path / name))


def test_zarr_writes_uint16(made, tmp_path):
    folder, _ = made
    (codec,) = zarr.open_array(folder / "a.zarr" / "0", mode="r").metadata.codecs
    assert isinstance(codec, JaxsliceCodec)
    options = {"shape": SHAPE, "chunks": (3, 24, 24), "compressors": None, "filters": None}
    target = zarr.create_array(
        tmp_path / "new.zarr", dtype="uint16", serializer=codec.for_new_array(), **options
    )
    target[...] = volume()
    read = zarr.open_array(tmp_path / "new.zarr", mode="r")
    np.testing.assert_array_equal(read[...], volume())
    for dtype in ("uint8", "int16"):
        with pytest.raises(UsageError, match=f"of {dtype}.*expected uint"):
            zarr.create_array(
                tmp_path / dtype, dtype=dtype, serializer=codec.for_new_array(), **options
            )


def test_metadata_that_contradict_themselves_are_refused(made, tmp_path):
    folder, _ = made
    array = json.loads((folder / "a.zarr" / "0" / "zarr.json").read_text())
    array["data_type"] = "uint8"
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "zarr.json").write_text(json.dumps(array))
    (tmp_path / "zarr.json").write_bytes((folder / "a.zarr" / "zarr.json").read_bytes())
    with pytest.raises(FormatError, match="network for uint16"):
        open_archive(tmp_path)
    with pytest.raises(FormatError, match="network for 16 bits"):
        decode_array(tmp_path / "0", tmp_path / "out.npy")


@pytest.mark.parametrize("dtype", ["bool", "int8", "int16", "int32", "uint64", "float32"])
def test_other_types_are_refused_by_name(tmp_path, dtype):
    np.save(tmp_path / "volume.npy", np.ones((2, 3, 4), dtype))
    with pytest.raises(UsageError, match=f"of {dtype}, expected uint8 or uint16: "):
        jaxslice.compress(str(tmp_path / "volume.npy"), str(tmp_path / "a.zarr"))
