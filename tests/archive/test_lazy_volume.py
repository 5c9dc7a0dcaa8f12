"""Archives as arrays: through jaxslice.open, and through zarr without importing jaxslice."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxslice
from jaxslice.codec import block


def _keys(size: int):
    return st.one_of(
        st.integers(-size, size - 1),
        st.slices(size),
    )


@settings(max_examples=60, deadline=None)
@given(z=_keys(10), y=_keys(40), x=_keys(50), dots=st.sampled_from(["", "start", "end"]))
def test_indexing_is_numpys(small_volume, small_archive, z, y, x, dots):
    opened = jaxslice.open(small_archive)
    index = {"": (z, y, x), "start": (..., x), "end": (z, ...)}[dots]
    np.testing.assert_array_equal(opened[index], small_volume.voxels[index])


def test_wrong_indices(small_archive):
    opened = jaxslice.open(small_archive)
    for index in (10, (0, 40), (0, 0, -51), (0, 0, 0, 0), (..., ...), "z", 1.5, [0, 1], True):
        with pytest.raises(IndexError):
            opened[index]


def test_is_an_array(small_volume, small_archive):
    opened = jaxslice.open(small_archive)
    assert (opened.shape, opened.dtype, opened.ndim) == ((10, 40, 50), np.uint8, 3)
    assert opened.chunks == (4, 16, 32)
    np.testing.assert_array_equal(np.asarray(opened), small_volume.voxels)


def test_a_voxel_costs_one_block_and_is_remembered(small_archive, monkeypatch):
    calls = []
    real = block.decode_blocks
    monkeypatch.setattr(
        block, "decode_blocks", lambda *args, **kw: calls.append(1) or real(*args, **kw)
    )
    opened = jaxslice.open(small_archive)
    opened[5, 20, 20]
    assert len(calls) == 1
    opened[5, 20, 21], opened[4, 16, 0]
    assert len(calls) == 1
    opened[0, 0, 0]
    assert len(calls) == 2


def test_damage_is_named(archive_copy):
    path = archive_copy / "0" / "c" / "0" / "0" / "0"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(jaxslice.FormatError, match="CRC32C"):
        jaxslice.open(str(archive_copy))[0]


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
    import zarr

    from jaxslice.archive.zarr_codec import JaxsliceCodec

    source = zarr.open_array(f"{small_archive}/0", mode="r")
    (codec,) = source.metadata.codecs
    assert isinstance(codec, JaxsliceCodec)
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


def test_zarr_refuses_other_data(small_archive, tmp_path):
    import zarr

    (codec,) = zarr.open_array(f"{small_archive}/0", mode="r").metadata.codecs
    with pytest.raises(ValueError, match="expected uint8"):
        zarr.create_array(
            tmp_path / "n.zarr", shape=(4, 4, 4), chunks=(4, 4, 4), dtype="uint16",
            serializer=codec, compressors=None,
        )  # fmt: skip
