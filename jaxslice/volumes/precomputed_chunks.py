"""Chunks of precomputed volumes that TensorStore does not find or decode by itself.

cloud-volume and neuroglancer-scripts write local chunks as `NAME.gz`, or nested as `x/y/z.gz`; web
servers are expected to unpack them. Others leave gzip in a chunk's file without a suffix. And
jxl-coded chunks are unpacked here by imagecodecs.
"""

from __future__ import annotations

import dataclasses
import functools
import gzip
import io
import itertools
import lzma
import math
import os
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from jaxslice.core.box import Box, Triple
from jaxslice.core.errors import SourceDataError, StorageError
from jaxslice.storage import traffic
from jaxslice.storage.folder import folder_at
from jaxslice.storage.location import (
    Location,
    is_fault,
    is_refused,
    kvstore_spec,
    one_line,
    storage_context,
)
from jaxslice.storage.pickling import PicklesFields
from jaxslice.storage.store_options import waited
from jaxslice.volumes.chunk_cache import SHARD_INDICES_BYTES, ChunkCache, Chunking
from jaxslice.volumes.chunk_grid import ChunkGrid
from jaxslice.volumes.extras import require
from jaxslice.volumes.interface import MissingChunks

_XZ_MEMORY_BYTES = 128 << 20
"""For what xz keeps while it unpacks; the highest of its presets needs half of that."""

_GZIP_MAGIC = b"\x1f\x8b"
_NESTED = re.compile(r"-?\d+--?\d+")


def _plain(data: bytes, _most: int) -> bytes:
    return data


def _gzip(data: bytes, most: int) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        return file.read(most)


def _xz(data: bytes, most: int) -> bytes:
    unpacker = lzma.LZMADecompressor(memlimit=_XZ_MEMORY_BYTES)
    unpacked = unpacker.decompress(data, most)
    if not unpacker.eof and len(unpacked) < most:
        raise EOFError("it is cut short")
    return unpacked


def _brotli(data: bytes, most: int) -> bytes:
    return bytes(require("imagecodecs").brotli_decode(data, out=most))


def _zstd(data: bytes, most: int) -> bytes:
    return bytes(require("imagecodecs").zstd_decode(data, out=most))


UNPACK: dict[str, Callable[[bytes, int], bytes]] = {
    "": _plain,
    ".gz": _gzip,
    ".br": _brotli,
    ".zstd": _zstd,
    ".xz": _xz,
}
"""Suffix of a chunk's file -> what unpacks it, to a number of bytes at most."""

_MOST_OVERHEAD_BYTES = 1 << 20
"""By which an encoded chunk may be longer than twice its voxels."""

_DECODERS = {"jpeg": "jpeg8_decode", "png": "png_decode", "jxl": "jpegxl_decode"}


@dataclasses.dataclass(frozen=True)
class UnpackedReader(PicklesFields):
    """Reads boxes of a scale chunk by chunk.

    Attributes:
      place: as the user wrote it, for messages.
      location: of the volume.
      scale: as `precomputed.checked_scale` returns it.
      dtype: of the voxels.
      channels: of the volume.
      channel: that is read.
      fill: the voxels of a missing chunk; None where it is an error.
      absent: missing chunks.
      chunks: that are kept.
    """

    place: str
    location: Location = dataclasses.field(hash=False)
    scale: dict[str, Any] = dataclasses.field(hash=False)
    dtype: np.dtype
    channels: int
    channel: int
    fill: int | None
    absent: MissingChunks = dataclasses.field(
        default_factory=MissingChunks, repr=False, compare=False
    )
    chunks: ChunkCache = dataclasses.field(default_factory=ChunkCache, repr=False, compare=False)

    def __call__(self, box: Box) -> np.ndarray:
        x, y, z = self.scale["voxel_offset"]
        local = box.relative_to((z, y, x))
        voxels = np.full(box.shape, self.fill or 0, self.dtype)
        indices, missing = list(self.grid.indices(local)), []
        for index in indices:
            chunk = self._kept_chunk(index)
            if chunk is None:
                missing.append(index)
                continue
            whole = self.grid.box(index)
            part = whole.intersect(local)
            voxels[part.relative_to(local.start).slices] = chunk[
                part.relative_to(whole.start).slices
            ]
        if missing and self.fill is None:
            name = self.grid.name(missing[0])
            raise SourceDataError(
                f"Cannot read the box {box} of {self.place!r}: chunk {name} is missing. "
                "Pass --missing=zero to read missing chunks as zeros."
            )
        self.absent.add(missing, found=len(missing) < len(indices))
        return voxels

    def stored_sample(self, count: int, seed: int) -> tuple[int, int]:
        """Bytes and voxels of some chunks, of those that are there."""
        shape = [-(-n // c) for n, c in zip(self.grid.size, self.grid.chunk_size, strict=True)]
        total = math.prod(shape)
        drawn = np.random.default_rng(seed).choice(total, min(total, count), replace=False)
        stored = voxels = 0
        for number in drawn:
            x, y, z = (int(i) for i in np.unravel_index(number, shape))
            data = self._encoded((x, y, z))
            if data is not None:
                stored += len(data)
                voxels += math.prod(self.grid.extent((x, y, z))[1])
        return stored, voxels

    @functools.cached_property
    def grid(self) -> ChunkGrid:
        """Of the chunks."""
        names = ("size", "chunk_size", "voxel_offset")
        return ChunkGrid(*(tuple(self.scale[name]) for name in names))

    @property
    def chunking(self) -> Chunking:
        """How the chunks lie."""
        (x, y, z), (nx, ny, nz) = self.grid.offset, self.grid.chunk_size
        return Chunking((z, y, x), (nz, ny, nx), self.dtype.itemsize, self.chunks)

    def _kept_chunk(self, index: Triple) -> np.ndarray | None:
        chunk_bytes = math.prod(self.grid.chunk_size) * self.dtype.itemsize
        x, y, z = index
        return self.chunks.get((z, y, x), chunk_bytes, lambda: self._chunk(index))

    def _chunk(self, index: Triple) -> np.ndarray | None:
        data = self._encoded(index)
        if data is None:
            return None
        _, (x, y, z) = self.grid.extent(index)
        try:
            voxels = self._decoded(data).reshape(self.channels, z, y, x)[self.channel]
        except (ValueError, RuntimeError) as error:
            raise SourceDataError(
                f"Cannot decode the chunk {self.grid.name(index)} of {self.place!r}: "
                f"{one_line(error)}."
            ) from error
        return voxels.astype(self.dtype, copy=False)

    def _encoded(self, index: Triple) -> bytes | None:
        return self._sharded(index) if "sharding" in self.scale else self._file(index)

    def _decoded(self, data: bytes) -> np.ndarray:
        """Voxels in the order of the format: x fastest, channel slowest."""
        encoding = self.scale["encoding"]
        if encoding == "raw":
            return np.frombuffer(data, self.dtype.newbyteorder("<"))
        image = getattr(require("imagecodecs"), _DECODERS[encoding])(data)
        if self.channels > 1:
            return np.moveaxis(image.reshape(-1, self.channels), -1, 0)
        return image

    def _file(self, index: Triple) -> bytes | None:
        """The encoded chunk of an unsharded scale, whatever its file is called."""
        folder, name = folder_at(self.place, self.location), self.grid.name(index)
        # Remote storage unpacks by itself, and asking for each name takes long.
        local = isinstance(self.location, Path)
        stems = (name, name.replace("_", "/")) if local else (name,)
        for stem, suffix in itertools.product(stems, UNPACK if local else ("",)):
            try:
                data = folder.read(f"{self.scale['key']}/{stem}{suffix}")
            except OSError as error:
                if self.fill is not None and is_refused(error):
                    # Access may have ended meanwhile; then this read is refused as well.
                    folder.read("info")
                    self.absent.refuse(one_line(error))
                    continue
                if is_fault(error):
                    raise
                raise SourceDataError(f"{one_line(error)}.") from error
            if data is not None:
                traffic.count(read_bytes=len(data))
                return self._unpacked(index, data, f"{stem}{suffix}", UNPACK[suffix])
        return None

    def _unpacked(
        self, index: Triple, data: bytes, name: str, unpack: Callable[[bytes, int], bytes]
    ) -> bytes:
        raw_bytes = math.prod(self.grid.extent(index)[1]) * self.channels * self.dtype.itemsize
        try:
            # A few bytes may unpack to more than the memory holds.
            most = 2 * raw_bytes + _MOST_OVERHEAD_BYTES
            data = unpack(data, most)
            # A raw chunk may begin with any bytes, but then it is as long as its voxels are.
            is_raw = self.scale["encoding"] == "raw" and len(data) == raw_bytes
            packed = data.startswith(_GZIP_MAGIC) and not is_raw
            return _gzip(data, most) if packed else data
        except (OSError, EOFError, ValueError, RuntimeError, zlib.error, lzma.LZMAError) as error:
            raise SourceDataError(
                f"Cannot unpack the chunk {name} of {self.place!r}: {one_line(error)}."
            ) from error

    def _sharded(self, index: Triple) -> bytes | None:
        key = self.grid.number(index).to_bytes(8, "big")
        try:
            found = waited(self._shards.read(key))
        except (TimeoutError, ValueError) as error:
            raise (StorageError if is_fault(error) else SourceDataError)(
                f"Cannot read the chunk {self.grid.name(index)} of {self.place!r}: "
                f"{one_line(error)}."
            ) from error
        return found.value if found.state == "value" else None

    @functools.cached_property
    def _shards(self) -> Any:
        import tensorstore as ts

        base = kvstore_spec(self.location)
        spec = {
            "driver": "neuroglancer_uint64_sharded",
            "base": {**base, "path": f"{base.get('path', '')}{self.scale['key']}/"},
            "metadata": self.scale["sharding"],
        }
        context = storage_context(cache_bytes=SHARD_INDICES_BYTES)
        return ts.KvStore.open(spec, context=context).result()


def needs_unpacking(location: Location, scale: dict[str, Any]) -> bool:
    """Whether the chunks of a scale are to be read by `UnpackedReader`."""
    if scale["encoding"] == "jxl":
        return True
    if not isinstance(location, Path) or "sharding" in scale:
        return False
    try:
        with os.scandir(location / scale["key"]) as entries:
            first = list(itertools.islice(entries, 64))
    except OSError:
        return False
    packed = tuple(suffix for suffix in UNPACK if suffix)
    for entry in first:
        if entry.name.endswith(packed) or (_NESTED.fullmatch(entry.name) and entry.is_dir()):
            return True
    files = [entry for entry in first if entry.is_file()]
    return any(_begins_with_gzip(entry.path) for entry in files[:4])


def _begins_with_gzip(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read(3) == _GZIP_MAGIC + b"\x08"
