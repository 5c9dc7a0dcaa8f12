"""Neuroglancer precomputed image volumes, written through TensorStore."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from typing import Any

import numpy as np

from jaxslice.core.box import Box
from jaxslice.storage import location as locations
from jaxslice.storage.kind import Kind, OwnKeys
from jaxslice.storage.location import (
    Location,
    kvstore_spec,
    one_line,
    storage_context,
    unreachable_is_usage_error,
)
from jaxslice.storage.pickling import PicklesFields
from jaxslice.volumes.interface import NewVolume


@dataclasses.dataclass(frozen=True)
class PrecomputedWriter(PicklesFields):
    """Writes boxes of the only scale of a precomputed volume.

    Attributes:
      place: as the user wrote it, for messages.
      location: of the folder to write to.
    """

    place: str
    location: Location

    def __call__(self, box: Box, voxels: np.ndarray) -> None:
        try:
            self.tensorstore[box.slices].write(voxels).result()
        except ValueError as error:
            raise OSError(f"Cannot write {box} of {self.place!r}: {one_line(error)}.") from error

    @functools.cached_property
    def tensorstore(self) -> Any:
        """The volume as a TensorStore z,y,x, opened when it is first needed."""
        return _open(self.place, self.location, {}, create=False)


def create(place: str, location: Location, new: NewVolume) -> PrecomputedWriter:
    """Creates a volume of one scale with raw chunks; boxes of whole chunks are written fastest.

    Raises:
      UsageError: it cannot be created.
    """
    description = {
        "multiscale_metadata": {"type": "image", "data_type": "uint8", "num_channels": 1},
        "scale_metadata": {
            "size": new.box.shape[::-1],
            "voxel_offset": new.box.start[::-1],
            "resolution": new.voxel_size_nm[::-1],
            "chunk_size": new.chunk_shape[::-1],
            "encoding": "raw",
        },
    }
    _open(place, location, description, create=True)
    return PrecomputedWriter(place, location)


def _open(place: str, location: Location, description: dict[str, Any], *, create: bool) -> Any:
    import tensorstore as ts

    spec = {
        "driver": "neuroglancer_precomputed",
        "kvstore": kvstore_spec(location),
        **description,
        # Otherwise a chunk of zeros would not be stored, and look like a lost one.
        "store_data_equal_to_fill_value": True,
    }
    # Local chunks are synced all together, before the volume gets its name.
    context = storage_context(sync=False)
    with unreachable_is_usage_error(place):
        opening = ts.open(ts.Spec(spec), create=create, open=not create, context=context)
        volume = opening.result(locations.OPEN_TIMEOUT_SECONDS)
    return volume[ts.d["channel"][0]][ts.d["z", "y", "x"].transpose[:]]


_CHUNK = re.compile(r"-?\d+--?\d+_-?\d+--?\d+_-?\d+--?\d+(\.gz)?|[0-9a-f]+\.shard")


def _own_keys(info: bytes | None) -> OwnKeys | None:
    """The info file, and the chunks of the scales that it lists."""
    try:
        folders = {scale["key"] for scale in json.loads(info or b"")["scales"]}
    except (ValueError, TypeError, LookupError, RecursionError):
        return None
    if not folders:
        return None

    def is_own(key: str) -> bool:
        folder, _, name = key.rpartition("/")
        return key == "info" or (folder in folders and _CHUNK.fullmatch(name) is not None)

    return is_own


KIND = Kind("a precomputed volume", "info", _own_keys)
