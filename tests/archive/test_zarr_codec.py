"""Archives through zarr, with nothing of zarr but what it makes public."""

import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import zarr

import jaxslice
from jaxslice.archive import decoder, zarr_codec
from jaxslice.archive.zarr_codec import JaxsliceCodec
from jaxslice.core.errors import FormatError, UsageError


def test_zarr_reads_it_without_importing_jaxslice(small_volume, small_archive):
    program = (
        "import sys, zarr, numpy as np\n"
        "assert 'jaxslice' not in sys.modules\n"
        "array = zarr.open(sys.argv[1], mode='r')\n"
        "np.save(sys.argv[2], array[...])\n"
    )
    out = f"{small_archive}-out.npy"
    subprocess.run([sys.executable, "-c", program, f"{small_archive}/0", out], check=True)
    np.testing.assert_array_equal(np.load(out), small_volume.voxels)


def test_zarr_writes_what_zarr_reads(small_volume, small_archive, tmp_path):
    source = zarr.open_array(f"{small_archive}/0", mode="r")
    (codec,) = source.metadata.codecs
    assert isinstance(codec, JaxsliceCodec)
    codec = codec.for_new_array()
    target = zarr.create_array(
        tmp_path / "new.zarr",
        shape=(6, 20, 40),
        chunks=(4, 16, 32),
        dtype="uint8",
        serializer=codec,
        compressors=None,
    )
    target[...] = small_volume.voxels[:6, :20, :40]
    np.testing.assert_array_equal(target[...], small_volume.voxels[:6, :20, :40])
    again = zarr.open_array(tmp_path / "new.zarr", mode="r+")
    again[1:3, 5:, 3] = 9
    assert (again[2, 5:, 3] == 9).all()


def test_a_sealed_array_is_not_written(archive_copy):
    array = zarr.open_array(archive_copy / "0", mode="r+")
    with pytest.raises(UsageError, match="write to a sealed array"):
        array[0] = 7
    assert jaxslice.verify(str(archive_copy)).details["verified"]


def test_a_lost_chunk_of_a_sealed_array_is_noticed(archive_copy):
    (archive_copy / "0" / "c" / "0" / "0" / "1").unlink()
    array = zarr.open_array(archive_copy / "0", mode="r")
    assert array[0, 0, 0] > 0
    with pytest.raises(FormatError, match="Got no chunk, expected every chunk"):
        array[...]


def test_a_chunk_of_another_array_is_noticed(archive_copy, tmp_path):
    (codec,) = zarr.open_array(archive_copy / "0", mode="r").metadata.codecs
    for name in ("a", "b"):
        array = zarr.create_array(
            tmp_path / name, shape=(4, 16, 32), chunks=(4, 16, 32), dtype="uint8",
            serializer=codec.for_new_array(), compressors=None,
        )  # fmt: skip
        array[...] = 7
    shutil.copy(tmp_path / "a" / "c" / "0" / "0" / "0", tmp_path / "b" / "c" / "0" / "0" / "0")
    with pytest.raises(FormatError, match="of the array"):
        zarr.open_array(tmp_path / "b", mode="r")[...]


def test_zarr_refuses_other_data(small_archive, tmp_path):
    (codec,) = zarr.open_array(f"{small_archive}/0", mode="r").metadata.codecs
    with pytest.raises(ValueError, match="expected uint8"):
        zarr.create_array(
            tmp_path / "n.zarr", shape=(4, 4, 4), chunks=(4, 4, 4), dtype="uint16",
            serializer=codec, compressors=None,
        )  # fmt: skip


def test_chunks_of_a_batch_are_decoded_together(small_volume, small_archive, monkeypatch):
    sizes = []
    decode = decoder.decode_payloads

    def counted(payloads, *args):
        sizes.append(len(payloads))
        return decode(payloads, *args)

    monkeypatch.setattr(zarr_codec, "decode_payloads", counted)
    monkeypatch.setattr(zarr_codec, "blocks_together", lambda: 4)
    with zarr.config.set({"codec_pipeline.batch_size": 9}):
        array = zarr.open_array(f"{small_archive}/0", mode="r")
        np.testing.assert_array_equal(array[...], small_volume.voxels)
    assert sorted(sizes) == [1, 1, 4, 4, 4, 4]


def test_chunks_that_are_not_there_are_left_out(small_archive, tmp_path):
    (codec,) = zarr.open_array(f"{small_archive}/0", mode="r").metadata.codecs
    codec = codec.for_new_array()
    with zarr.config.set({"codec_pipeline.batch_size": 4}):
        array = zarr.create_array(
            tmp_path / "n.zarr", shape=(4, 16, 96), chunks=(4, 16, 32), dtype="uint8",
            serializer=codec, compressors=None,
        )  # fmt: skip
        array[:, :, 32:64] = 7
        assert len(list((tmp_path / "n.zarr" / "c").rglob("[0-9]/[0-9]/[0-9]"))) == 1
        np.testing.assert_array_equal(np.unique(array[:, :, 32:64]), [7])
        assert not array[:, :, :32].any()


def test_absurd_chunks_are_refused(small_archive, tmp_path):
    (codec,) = zarr.open_array(f"{small_archive}/0", mode="r").metadata.codecs
    with pytest.raises(FormatError, match="Got blocks of"):
        zarr.create_array(
            tmp_path / "n.zarr", shape=(4, 4, 2**20), chunks=(1, 1, 2**20), dtype="uint8",
            serializer=codec, compressors=None,
        )  # fmt: skip


def test_only_public_names_of_zarr_are_used():
    source = Path(zarr_codec.__file__).read_text()
    assert "zarr." in source
    assert "zarr.core" not in source
    assert "_single" not in source


def test_a_zip_file_and_consolidated_metadata(archive_copy, small_volume, tmp_path):
    shutil.make_archive(str(tmp_path / "packed"), "zip", archive_copy)
    with zarr.storage.ZipStore(tmp_path / "packed.zip", mode="r") as store:
        packed = zarr.open_group(store, mode="r")["0"]
        np.testing.assert_array_equal(packed[...], small_volume.voxels)  # pyright: ignore
    place = f"{tmp_path / 'packed.zip'}|zip:"
    np.testing.assert_array_equal(jaxslice.open(place)[...], small_volume.voxels)
    with pytest.raises(UsageError, match=r"is a ZIP file.*packed\.zip\|zip:"):
        jaxslice.open_source(tmp_path / "packed.zip")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(str(archive_copy))
    consolidated = zarr.open_consolidated(str(archive_copy))["0"]
    np.testing.assert_array_equal(consolidated[...], small_volume.voxels)  # pyright: ignore
    assert jaxslice.verify(str(archive_copy)).details["verified"]


def test_reading_writes_nothing(archive_copy, tmp_path):
    def state():
        return {p: (p.stat().st_mtime_ns, p.stat().st_mode) for p in archive_copy.rglob("*")}

    for path in (*archive_copy.rglob("*"), archive_copy):
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = state()
    jaxslice.info(str(archive_copy))
    jaxslice.verify(str(archive_copy))
    jaxslice.decompress(str(archive_copy), str(tmp_path / "out.npy"))
    assert (
        jaxslice.open(archive_copy)[0, 0, 0]
        == zarr.open_array(archive_copy / "0", mode="r")[0, 0, 0]
    )
    assert state() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["out.npy", archive_copy.name])
