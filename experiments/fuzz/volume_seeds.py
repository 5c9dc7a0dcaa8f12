"""Small volumes of every format, which the readers' fuzzing begins with."""

from __future__ import annotations

import gzip
import io
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import imagecodecs
import mrcfile
import nrrd
import numpy as np
import tensorstore as ts
import tifffile
from volumes.dm_files import DmWriter

from fuzz.target import SEPARATOR

SHAPE = (4, 6, 8)


def voxels(dtype: str = "uint8") -> np.ndarray:
    """Of all seeds."""
    return np.random.default_rng(1).integers(1, 9, SHAPE).astype(dtype)


def _npy() -> Iterator[bytes]:
    for array in (voxels(), np.asfortranarray(voxels(">u2"))):
        file = io.BytesIO()
        np.save(file, array)
        yield file.getvalue()


def _npy_gz() -> Iterator[bytes]:
    yield from (gzip.compress(data, mtime=0) for data in _npy())


def _tif() -> Iterator[bytes]:
    for options in (
        {}, {"tile": (16, 16)}, {"compression": "zlib"}, {"ome": True}, {"imagej": True},
        {"bigtiff": True, "compression": "lzw"}, {"byteorder": ">"}, {"photometric": "rgb"},
    ):  # fmt: skip
        file = io.BytesIO()
        array = voxels("uint16") if "imagej" in options else voxels()
        array = array[..., :3].copy() if "photometric" in options else array
        tifffile.imwrite(file, array, **options)
        yield file.getvalue()


def _h5() -> Iterator[bytes]:
    for options in ({}, {"chunks": (2, 3, 4), "compression": "gzip"}):
        file = io.BytesIO()
        with h5py.File(file, "w") as opened:
            made = opened.create_dataset("a", data=voxels(), **options)
            made.attrs["resolution"] = (1.0, 2.0, 3.0)
        yield file.getvalue()


def _mrc() -> Iterator[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        for dtype in ("int8", "uint16"):
            path = Path(folder) / f"{dtype}.mrc"
            with mrcfile.new(path, voxels(dtype)) as made:
                made.voxel_size = 40.0
            yield path.read_bytes()


def _nrrd() -> Iterator[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        for encoding in ("raw", "gzip", "ascii"):
            path = Path(folder) / "a.nrrd"
            header = {"encoding": encoding, "spacings": [1.0, 2.0, 3.0], "units": ["nm"] * 3}
            nrrd.write(str(path), voxels(), header, index_order="C")
            yield path.read_bytes()


def _dm(version: int) -> Iterator[bytes]:
    writer = DmWriter(version)
    yield writer.file([writer.thumbnail(), writer.image(voxels("uint16"), [4.0, 4.0, 40.0], "nm")])


def _info(**scale: Any) -> bytes:
    described = {
        "key": "a", "size": SHAPE[::-1], "chunk_sizes": [SHAPE[::-1]], "encoding": "raw",
        "resolution": [4, 4, 40], "voxel_offset": [0, 0, 0],
    }  # fmt: skip
    info = {"type": "image", "data_type": "uint8", "num_channels": 1,
            "scales": [{**described, **scale}]}  # fmt: skip
    return json.dumps(info, separators=(",", ":")).encode()


def _precomputed() -> Iterator[bytes]:
    yield _info() + SEPARATOR + voxels().tobytes()
    image = voxels().reshape(-1, SHAPE[2])
    for encoding, encode in (
        ("png", imagecodecs.png_encode), ("jpeg", imagecodecs.jpeg8_encode),
        ("jxl", imagecodecs.jpegxl_encode),
    ):  # fmt: skip
        yield _info(encoding=encoding) + SEPARATOR + encode(image)


def _packed_precomputed() -> Iterator[bytes]:
    packed = gzip.compress(voxels().tobytes(), mtime=0)
    yield _info() + SEPARATOR + packed
    yield (
        _info(encoding="png")
        + SEPARATOR
        + gzip.compress(imagecodecs.png_encode(voxels().reshape(-1, SHAPE[2])), mtime=0)
    )


def _sharded_precomputed() -> Iterator[bytes]:
    sharding = {
        "@type": "neuroglancer_uint64_sharded_v1", "preshift_bits": 0, "hash": "identity",
        "minishard_bits": 0, "shard_bits": 0, "minishard_index_encoding": "raw",
        "data_encoding": "raw",
    }  # fmt: skip
    for encodings in ({}, {"minishard_index_encoding": "gzip", "data_encoding": "gzip"}):
        info = _info(sharding=sharding | encodings)
        with tempfile.TemporaryDirectory() as folder:
            base = {"driver": "file", "path": f"{folder}/a/"}
            spec = {"driver": "neuroglancer_uint64_sharded", "base": base,
                    "metadata": sharding | encodings}  # fmt: skip
            store = ts.KvStore.open(spec).result()
            store.write(bytes(8), voxels().tobytes()).result()
            yield info + SEPARATOR + (Path(folder) / "a" / "0.shard").read_bytes()


def _stored(driver: str, metadata: Any, names: tuple[str, ...]) -> bytes:
    """What TensorStore writes of the voxels."""
    with tempfile.TemporaryDirectory() as folder:
        kvstore = {"driver": "file", "path": f"{folder}/"}
        spec = {"driver": driver, "kvstore": kvstore, "metadata": metadata, "create": True}
        store = ts.open(spec).result()
        order = voxels() if store.shape == SHAPE else voxels().transpose()
        store.write(order).result()
        paths = (Path(folder) / name for name in names)
        return SEPARATOR.join(path.read_bytes() if path.exists() else b"{}" for path in paths)


def _n5() -> Iterator[bytes]:
    for compression in ({"type": "raw"}, {"type": "gzip", "level": 6}):
        metadata = {"dimensions": SHAPE[::-1], "blockSize": SHAPE[::-1], "dataType": "uint8",
                    "compression": compression, "pixelResolution": {"dimensions": [4, 4, 40],
                    "unit": "nm"}}  # fmt: skip
        yield _stored("n5", metadata, ("attributes.json", "0/0/0"))


def _zarr2() -> Iterator[bytes]:
    for compressor in (None, {"id": "zlib", "level": 1}):
        metadata = {"shape": SHAPE, "chunks": SHAPE, "dtype": "|u1", "compressor": compressor,
                    "fill_value": 0}  # fmt: skip
        yield _stored("zarr", metadata, (".zarray", ".zattrs", "0.0.0"))


def _zarr3() -> Iterator[bytes]:
    for codecs in ([{"name": "bytes"}], [{"name": "bytes"}, {"name": "gzip"}, {"name": "crc32c"}]):
        metadata = {
            "shape": SHAPE, "data_type": "uint8", "codecs": codecs,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": SHAPE}},
        }  # fmt: skip
        yield _stored("zarr3", metadata, ("zarr.json", "c/0/0/0"))


def _ome() -> Iterator[bytes]:
    array = next(_zarr3())
    axes = [{"name": axis, "type": "space", "unit": "nanometer"} for axis in "zyx"]
    steps = [{"type": "scale", "scale": [40, 4, 4]}, {"type": "translation",
             "translation": [0, 4, 8]}]  # fmt: skip
    image = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": steps}]}
    channels = {"channels": [{"label": "a"}]}
    ome = {"version": "0.5", "multiscales": [image], "omero": channels}
    group = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome}}
    yield json.dumps(group).encode() + SEPARATOR + array


SEEDS: dict[str, Callable[[], Iterator[bytes]]] = {
    "reader_npy": _npy,
    "reader_npy_gz": _npy_gz,
    "reader_tif": _tif,
    "reader_h5": _h5,
    "reader_mrc": _mrc,
    "reader_nrrd": _nrrd,
    "reader_dm3": lambda: _dm(3),
    "reader_dm4": lambda: _dm(4),
    "reader_precomputed": _precomputed,
    "reader_packed_precomputed": _packed_precomputed,
    "reader_sharded_precomputed": _sharded_precomputed,
    "reader_n5": _n5,
    "reader_zarr2": _zarr2,
    "reader_zarr3": _zarr3,
    "reader_ome": _ome,
}
"""Name of a target -> its seeds."""
