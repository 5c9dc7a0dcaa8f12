"""Files of every format as other programs write them, for the tests of sources."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import h5py
import imagecodecs
import mrcfile
import nrrd
import numpy as np
import tensorstore as ts
import tifffile
import zarr
from dm_files import DmWriter

from jaxslice.volumes.options import RawHeader, SourceOptions

SHAPE = (12, 34, 45)
SIZE_NM = (40.0, 4.0, 4.5)


class Made(NamedTuple):
    """A file that was made.

    Attributes:
      place: of the volume.
      options: to open it with.
      size_nm: that it says; None if it says none.
    """

    place: str
    options: SourceOptions = SourceOptions()
    size_nm: tuple[float, float, float] | None = None


Maker = Callable[[Path, np.ndarray], Made]


def made_voxels(dtype: str = "uint8") -> np.ndarray:
    # No zeros, so that a chunk that was not read cannot pass for one that was.
    top = np.iinfo(dtype).max
    return np.random.default_rng(5).integers(1, top, SHAPE, dtype)


def _npz(folder: Path, voxels: np.ndarray) -> Made:
    np.savez_compressed(folder / "v.npz", raw=voxels, labels=np.zeros(3))
    return Made(f"{folder}/v.npz", SourceOptions(dataset="raw"))


def _npz_of_one(folder: Path, voxels: np.ndarray) -> Made:
    np.savez(folder / "v.npz", np.asfortranarray(voxels))
    return Made(f"{folder}/v.npz")


def _npy_gz(folder: Path, voxels: np.ndarray) -> Made:
    np.save(folder / "v.npy", voxels)
    (folder / "v.npy.gz").write_bytes(gzip.compress((folder / "v.npy").read_bytes()))
    return Made(f"{folder}/v.npy.gz")


def _zarr_2(folder: Path, voxels: np.ndarray) -> Made:
    array = zarr.create_array(
        folder / "v", shape=voxels.shape, chunks=(5, 16, 16), dtype=voxels.dtype, zarr_format=2
    )
    array[...] = voxels
    return Made(f"zarr2://{folder}/v/")


def _zarr_2_filters(folder: Path, voxels: np.ndarray) -> Made:
    """Codecs that TensorStore does not know."""
    import numcodecs

    array = zarr.create_array(
        folder / "v.zarr", shape=voxels.shape, chunks=(5, 16, 16), dtype=voxels.dtype,
        zarr_format=2, filters=[numcodecs.Delta(dtype=voxels.dtype)],
        compressors=numcodecs.LZMA(),
    )  # fmt: skip
    array[...] = voxels
    return Made(f"{folder}/v.zarr")


def _zarr_3_sharded(folder: Path, voxels: np.ndarray) -> Made:
    array = zarr.create_array(
        folder / "v", shape=voxels.shape, chunks=(4, 16, 16), shards=(8, 32, 32),
        dtype=voxels.dtype, zarr_format=3, dimension_names=["z", "y", "x"],
    )  # fmt: skip
    array[...] = voxels
    return Made(f"{folder}/v|zarr3:")


def _zarr_3_turned(folder: Path, voxels: np.ndarray) -> Made:
    """Axes in another order, and two more."""
    array = zarr.create_array(
        folder / "v", shape=(*voxels.shape[::-1], 2, 3), chunks=(16, 16, 4, 1, 1),
        dtype=voxels.dtype, dimension_names=["x", "y", "z", "t", "channel"],
    )  # fmt: skip
    array[..., 1, 2] = voxels.T
    return Made(f"{folder}/v", SourceOptions(time=1, channel=2))


def _zarr_in_zip(folder: Path, voxels: np.ndarray) -> Made:
    with zarr.storage.ZipStore(folder / "v.zip", mode="w") as store:
        group = zarr.create_group(store)
        array = group.create_array(
            "a/b", shape=voxels.shape, dtype=voxels.dtype, chunks=(6, 16, 16)
        )
        array[...] = voxels
    return Made(f"file://{folder}/v.zip|zip:|zarr3:a/b")


def ome_zarr(folder: Path, voxels: np.ndarray, version: str) -> Made:
    """Two scales of two channels and one time, in micrometers."""
    group = zarr.create_group(folder / "v.ome.zarr", zarr_format=2 if version == "0.4" else 3)
    datasets = []
    for path, step in (("full", 1), ("half", 2)):
        part = voxels[:, ::step, ::step]
        array = group.create_array(
            path, shape=(1, 2, *part.shape), chunks=(1, 1, 5, 16, 16), dtype=voxels.dtype
        )
        array[0, 1] = part
        size = [SIZE_NM[0] / 1000, SIZE_NM[1] / 1000 * step, SIZE_NM[2] / 1000 * step]
        datasets.append(
            {
                "path": path,
                "coordinateTransformations": [
                    {"type": "scale", "scale": [1.0, 1.0, *size]},
                    {"type": "translation", "translation": [0, 0, 0, 10 * size[1], 0]},
                ],
            }
        )
    axes = [{"name": "t", "type": "time"}, {"name": "c", "type": "channel"}]
    axes += [{"name": a, "type": "space", "unit": "micrometer"} for a in "zyx"]
    image = {"axes": axes, "datasets": datasets}
    omero = {"channels": [{"label": "dark"}, {"label": "SEM"}]}
    if version == "0.4":
        group.attrs.update({"multiscales": [image | {"version": version}], "omero": omero})
    else:
        group.attrs["ome"] = {"version": version, "multiscales": [image], "omero": omero}
    return Made(f"{folder}/v.ome.zarr", SourceOptions(channel="SEM"), SIZE_NM)


def _n5(folder: Path, voxels: np.ndarray) -> Made:
    spec = {"driver": "n5", "kvstore": f"file://{folder}/v.n5/em/s0/"}
    metadata = {
        "dimensions": voxels.shape[::-1], "blockSize": [16, 16, 5], "dataType": str(voxels.dtype),
        "compression": {"type": "gzip"},
        "pixelResolution": {"dimensions": [v / 1000 for v in SIZE_NM[::-1]], "unit": "um"},
    }  # fmt: skip
    ts.open(spec | {"metadata": metadata}, create=True).result().write(voxels.T).result()
    for path in ("", "em/"):
        (folder / "v.n5" / path / "attributes.json").write_text(json.dumps({"n5": "2.0.0"}))
    return Made(f"n5://file://{folder}/v.n5", SourceOptions(dataset="em"), SIZE_NM)


def _hdf5(folder: Path, voxels: np.ndarray) -> Made:
    with h5py.File(folder / "v.h5", "w") as file:
        file.create_dataset("other/labels", data=np.zeros((2, 2, 2), np.uint8))
        data = file.create_dataset("em/raw", data=voxels, chunks=(3, 16, 16), compression="gzip")
        data.attrs["element_size_um"] = [v / 1000 for v in SIZE_NM]
    return Made(f"{folder}/v.h5", SourceOptions(dataset="em/raw"), SIZE_NM)


def _hdf5_of_one(folder: Path, voxels: np.ndarray) -> Made:
    """Without a suffix, big-endian."""
    with h5py.File(folder / "v", "w") as file:
        file.create_dataset("raw", data=voxels.astype(voxels.dtype.newbyteorder(">")))
    return Made(f"{folder}/v")


def _tiff(**options) -> Maker:
    def make(folder: Path, voxels: np.ndarray) -> Made:
        tifffile.imwrite(
            folder / "v.tif", voxels, photometric="minisblack", metadata={"axes": "ZYX"}, **options
        )
        return Made(f"{folder}/v.tif")

    return make


def _ome_tiff(folder: Path, voxels: np.ndarray) -> Made:
    size = {f"PhysicalSize{a}": v / 1000 for a, v in zip("ZYX", SIZE_NM, strict=True)}
    two = np.stack([np.zeros_like(voxels), voxels], axis=1)
    tifffile.imwrite(
        folder / "v.ome.tif", two, ome=True, photometric="minisblack", compression="zlib",
        metadata={"axes": "ZCYX", **size},
    )  # fmt: skip
    return Made(f"{folder}/v.ome.tif", SourceOptions(channel=1), SIZE_NM)


def _imagej(folder: Path, voxels: np.ndarray) -> Made:
    tifffile.imwrite(
        folder / "v.tif", voxels, imagej=True, resolution=(1000 / SIZE_NM[2], 1000 / SIZE_NM[1]),
        metadata={"axes": "ZYX", "spacing": SIZE_NM[0] / 1000, "unit": "um"},
    )  # fmt: skip
    return Made(f"{folder}/v.tif", SourceOptions(), SIZE_NM)


def _tiff_stack(folder: Path, voxels: np.ndarray) -> Made:
    (folder / "v").mkdir()
    for number, picture in enumerate(voxels):
        tifffile.imwrite(folder / "v" / f"slice{number}.tif", picture, compression="lzw")
    (folder / "v" / "notes.txt").write_text("slice10 comes after slice9")
    return Made(f"{folder}/v")


def _pictures(suffix: str, encode: Callable[[np.ndarray], bytes]) -> Maker:
    def make(folder: Path, voxels: np.ndarray) -> Made:
        for number, picture in enumerate(voxels, 95):
            (folder / f"s {number}{suffix}").write_bytes(encode(np.ascontiguousarray(picture)))
        return Made(f"{folder}/s *{suffix}")

    return make


def _mrc(folder: Path, voxels: np.ndarray) -> Made:
    with mrcfile.new(folder / "v.mrc", overwrite=True) as file:
        file.set_data(voxels.astype(np.uint16))
        file.voxel_size = tuple(10 * v for v in SIZE_NM[::-1])
    return Made(f"{folder}/v.mrc", SourceOptions(), SIZE_NM)


def _mrc_imod(folder: Path, voxels: np.ndarray) -> Made:
    """Unsigned bytes, with IMOD's stamp."""
    with mrcfile.new(folder / "v.rec") as file:
        file.set_data(voxels.view(np.int8))
    data = bytearray((folder / "v.rec").read_bytes())
    data[152:160] = np.array([1146047817, 0], "<i4").tobytes()
    (folder / "v.rec").write_bytes(data)
    return Made(f"{folder}/v.rec")


def _dm(version: int, *, thumbnail: bool) -> Maker:
    def make(folder: Path, voxels: np.ndarray) -> Made:
        writer = DmWriter(version)
        image = writer.image(voxels, [v / 1000 for v in SIZE_NM[::-1]], "µm")
        images = [writer.thumbnail(), image] if thumbnail else [image]
        (folder / f"v.dm{version}").write_bytes(writer.file(images))
        return Made(f"{folder}/v.dm{version}", SourceOptions(), SIZE_NM)

    return make


def _dm_stack(folder: Path, voxels: np.ndarray) -> Made:
    """As a serial block-face microscope leaves them: a file for each slice."""
    (folder / "v").mkdir()
    writer = DmWriter(3)
    for number, picture in enumerate(voxels, 8):
        image = writer.image(picture, SIZE_NM[:0:-1], "nm")
        (folder / "v" / f"s_{number}.dm3").write_bytes(writer.file([writer.thumbnail(), image]))
    return Made(f"{folder}/v")


def _nrrd(encoding: str) -> Maker:
    def make(folder: Path, voxels: np.ndarray) -> Made:
        header = {
            "encoding": encoding,
            "space directions": np.diag([v / 1000 for v in SIZE_NM[::-1]]),
            "space": "left-posterior-superior",
            "space units": ["um", "um", "um"],
        }
        nrrd.write(str(folder / "v.nrrd"), voxels, header, index_order="C")
        return Made(f"{folder}/v.nrrd", SourceOptions(), SIZE_NM)

    return make


def _raw(folder: Path, voxels: np.ndarray) -> Made:
    (folder / "v.raw").write_bytes(
        b"header" + voxels.astype(voxels.dtype.newbyteorder(">")).tobytes()
    )
    header = RawHeader(SHAPE, voxels.dtype.newbyteorder(">").str, 6)
    return Made(f"{folder}/v.raw", SourceOptions(raw=header, voxel_size_nm=SIZE_NM), SIZE_NM)


MAKERS: dict[str, Maker] = {
    "npz": _npz,
    "npz of one": _npz_of_one,
    "npy.gz": _npy_gz,
    "zarr 2": _zarr_2,
    "zarr 2 with filters": _zarr_2_filters,
    "zarr 3 sharded": _zarr_3_sharded,
    "zarr 3 turned": _zarr_3_turned,
    "zarr in zip": _zarr_in_zip,
    "OME-Zarr 0.4": lambda folder, voxels: ome_zarr(folder, voxels, "0.4"),
    "OME-Zarr 0.5": lambda folder, voxels: ome_zarr(folder, voxels, "0.5"),
    "n5": _n5,
    "hdf5": _hdf5,
    "hdf5 of one": _hdf5_of_one,
    "tiff": _tiff(),
    "tiff big-endian": _tiff(byteorder=">"),
    "tiff of strips": _tiff(compression="lzw", rowsperstrip=7),
    "tiff predictor": _tiff(compression="zlib", predictor=True),
    "BigTIFF tiled": _tiff(bigtiff=True, tile=(16, 32), compression="zstd"),
    "tiff tiled raw": _tiff(tile=(16, 16)),
    "OME-TIFF": _ome_tiff,
    "ImageJ": _imagej,
    "stack of TIFF": _tiff_stack,
    "stack of PNG": _pictures(".png", imagecodecs.png_encode),
    "stack of JPEG 2000": _pictures(".jp2", lambda p: imagecodecs.jpeg2k_encode(p, level=0)),
    "stack of JPEG-XL": _pictures(".jxl", lambda p: imagecodecs.jpegxl_encode(p, lossless=True)),
    "mrc of IMOD": _mrc_imod,
    "dm3": _dm(3, thumbnail=True),
    "dm4": _dm(4, thumbnail=False),
    "stack of DM3": _dm_stack,
    "nrrd": _nrrd("raw"),
    "nrrd gzip": _nrrd("gzip"),
    "raw": _raw,
}
"""What is of 8 bits -> who makes it."""

MAKERS_16: dict[str, Maker] = {
    name: MAKERS[name]
    for name in (
        "npz", "zarr 2", "zarr 3 sharded", "OME-Zarr 0.4", "n5", "hdf5 of one", "tiff",
        "tiff big-endian", "BigTIFF tiled", "stack of PNG", "stack of JPEG 2000", "dm4", "nrrd",
        "raw",
    )
} | {"mrc": _mrc}  # fmt: skip
