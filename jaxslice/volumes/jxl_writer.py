"""Scales of precomputed volumes in lossless JPEG-XL, which TensorStore does not write.

Each chunk is one grey picture, as wide as the chunk is along x, that holds its rows along y and
then z. Neuroglancer and cloud-volume read such chunks.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
from typing import Any

import numpy as np

from jaxslice.core.box import Box, Triple
from jaxslice.core.errors import SourceDataError, StorageError, UsageError
from jaxslice.storage.folder import folder_at
from jaxslice.storage.location import (
    Location,
    explained,
    is_fault,
    kvstore_spec,
    storage_context,
    without_secrets,
)
from jaxslice.storage.pickling import PicklesFields
from jaxslice.storage.store_options import waited
from jaxslice.volumes.chunk_grid import ChunkGrid
from jaxslice.volumes.extras import require

EFFORT = 3
"""Of the encoder: higher ones take several times longer for a few thousandths of the bytes."""

_TRIES = 50
"""Tries to change a chunk that others write at the same time."""


def append_scale(
    place: str, location: Location, multiscale: dict[str, Any], scale: dict[str, Any]
) -> None:
    """Adds a scale to the info file of a volume, or writes the file.

    Args:
      place: as the user wrote it, for messages.
      location: of the volume.
      multiscale: what holds for all scales.
      scale: as the info file describes it.

    Raises:
      OSError: it cannot be written.
    """
    folder = folder_at(place, location)
    first = {"@type": "neuroglancer_multiscale_volume", **multiscale, "scales": []}
    info = json.loads(folder.read("info") or json.dumps(first))
    info["scales"].append(scale)
    folder.write("info", json.dumps(info).encode())


def scale_of(description: dict[str, Any]) -> dict[str, Any]:
    """A scale of an info file, from TensorStore's description of a new one."""
    resolution = description["resolution"]
    scale = {
        "key": "_".join(f"{v:g}" for v in resolution),
        **description,
        "chunk_sizes": [description["chunk_size"]],
        # What cloud-volume calls lossless.
        "jxl_quality": 100,
    }
    del scale["chunk_size"]
    return scale


@dataclasses.dataclass(frozen=True)
class JxlWriter(PicklesFields):
    """Writes boxes of one scale; those of whole chunks without reading.

    Attributes:
      place: as the user wrote it, for messages.
      location: of the volume.
      scale: as the info file describes it.
    """

    place: str
    location: Location = dataclasses.field(hash=False)
    scale: dict[str, Any] = dataclasses.field(hash=False)

    def __call__(self, box: Box, voxels: np.ndarray) -> None:
        for attempt in itertools.count(1):
            try:
                self._write(box, voxels)
                return
            except (TimeoutError, ValueError) as error:
                if attempt < _TRIES and "Generation mismatch" in str(error):
                    continue
                shown = without_secrets(self.place)
                message = f"Cannot write {box} of {shown!r}: {explained(error)}"
                raise (StorageError if is_fault(error) else OSError)(message) from error

    def _write(self, box: Box, voxels: np.ndarray) -> None:
        """Writes all chunks of a box together, so that a shard is written once."""
        import tensorstore as ts

        x, y, z = self.scale["voxel_offset"]
        local = box.relative_to((z, y, x))
        transaction = ts.Transaction(repeatable_read=True)
        store = self._store.with_transaction(transaction)
        try:
            for index in self.grid.indices(local):
                whole = self.grid.box(index)
                part = whole.intersect(local)
                chunk = voxels[part.relative_to(local.start).slices]
                if part != whole:
                    chunk = self._changed(store, index, part, chunk)
                waited(store.write(self._key(index), self._encoded(chunk)))
            waited(transaction.commit_async())
        finally:
            transaction.abort()

    def _changed(self, store: Any, index: Triple, part: Box, voxels: np.ndarray) -> np.ndarray:
        """A chunk as it is stored, with a part of it replaced."""
        whole = self.grid.box(index)
        found = waited(store.read(self._key(index)))
        chunk = np.zeros(whole.shape, np.uint8)
        if found.state == "value":
            picture = require("imagecodecs").jpegxl_decode(found.value)
            if picture.size != chunk.size:
                raise SourceDataError(f"A chunk of {self.place!r} was changed meanwhile.")
            chunk = picture.reshape(whole.shape)
        chunk[part.relative_to(whole.start).slices] = voxels
        return chunk

    def _encoded(self, chunk: np.ndarray) -> bytes:
        picture = np.ascontiguousarray(chunk).reshape(-1, chunk.shape[-1])
        encode = require("imagecodecs").jpegxl_encode
        return bytes(encode(picture, lossless=True, effort=EFFORT, numthreads=1))

    def _key(self, index: Triple) -> str | bytes:
        sharded = "sharding" in self.scale
        return self.grid.number(index).to_bytes(8, "big") if sharded else self.grid.name(index)

    @functools.cached_property
    def grid(self) -> ChunkGrid:
        """Of the chunks."""
        (chunk_size,) = self.scale["chunk_sizes"]
        size, offset = self.scale["size"], self.scale["voxel_offset"]
        return ChunkGrid(tuple(size), tuple(chunk_size), tuple(offset))

    @functools.cached_property
    def _store(self) -> Any:
        import tensorstore as ts

        base = kvstore_spec(self.location)
        base = {**base, "path": f"{base.get('path', '')}{self.scale['key']}/"}
        spec = base
        if "sharding" in self.scale:
            metadata = self.scale["sharding"]
            spec = {"driver": "neuroglancer_uint64_sharded", "base": base, "metadata": metadata}
        # Local chunks are synced all together, before the volume gets its name.
        return ts.KvStore.open(ts.KvStore.Spec(spec), context=storage_context(sync=False)).result()


def create_jxl(
    place: str, location: Location, multiscale: dict[str, Any], description: dict[str, Any]
) -> JxlWriter:
    """Creates a volume of JPEG-XL, or adds a scale to it.

    Args:
      place: as the user wrote it, for messages.
      location: of the volume.
      multiscale: what holds for all scales, as TensorStore takes it.
      description: of the scale, as TensorStore takes it.

    Raises:
      UsageError: the voxels are not of 8 bits.
      MissingExtraError: imagecodecs is not installed.
      OSError: it cannot be written.
    """
    if multiscale["data_type"] != "uint8":
        raise UsageError(
            f"Got {multiscale['data_type']} voxels for {place!r}, expected uint8 for the encoding "
            "jxl, as its readers do: choose raw or png."
        )
    require("imagecodecs")
    scale = scale_of(description)
    append_scale(place, location, multiscale, scale)
    return JxlWriter(place, location, scale)
