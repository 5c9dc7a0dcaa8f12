"""Neuroglancer precomputed image volumes, read through TensorStore.

TensorStore orders the axes x,y,z,channel. They are turned round where a volume is opened.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

import numpy as np

from jaxslice.core.box import Box
from jaxslice.core.errors import SourceDataError, UsageError
from jaxslice.core.placement import Placement
from jaxslice.core.shorten import short_repr
from jaxslice.storage import location as locations
from jaxslice.storage.folder import folder_at
from jaxslice.storage.location import (
    Location,
    kvstore_spec,
    one_line,
    storage_context,
    unreachable_is_usage_error,
)
from jaxslice.storage.pickling import PicklesFields
from jaxslice.volumes.interface import Format, NotThisFormat, Source, SourceOptions
from jaxslice.volumes.precomputed_writer import KIND, create


@dataclasses.dataclass(frozen=True)
class PrecomputedReader(PicklesFields):
    """Reads boxes of one scale of a precomputed volume.

    Attributes:
      place: as the user wrote it, for messages.
      location: of the volume's folder.
      scale_index: which of the scales.
      missing: "error" or "zero".
    """

    place: str
    location: Location
    scale_index: int
    missing: str

    def __call__(self, box: Box) -> np.ndarray:
        try:
            return self.tensorstore[box.slices].read(order="C").result()
        except UsageError:
            raise
        except ValueError as error:
            message = f"Cannot read the box {box} of {self.place!r}: {one_line(error)}."
            if str(error).startswith("NOT_FOUND"):
                message += " Pass --missing=zero to read missing chunks as zeros."
            raise SourceDataError(message) from error

    @functools.cached_property
    def tensorstore(self) -> Any:
        """The scale as a TensorStore z,y,x, opened when it is first needed."""
        import tensorstore as ts

        spec = {
            "driver": "neuroglancer_precomputed",
            "kvstore": kvstore_spec(self.location),
            "scale_index": self.scale_index,
            "fill_missing_data_reads": self.missing == "zero",
            # The volume is taken not to change while it is open, so that cached chunks are
            # requested once and not confirmed with the server at each read.
            "recheck_cached_data": "open",
        }
        with unreachable_is_usage_error(self.place):
            opening = ts.open(ts.Spec(spec), read=True, context=storage_context())
            store = opening.result(locations.OPEN_TIMEOUT_SECONDS)
        return store[ts.d["channel"][0]][ts.d["z", "y", "x"].transpose[:]]


def _is_named(location: Location) -> bool:
    """Any folder and any URL may hold a precomputed volume: its name does not say."""
    return True


def _open(place: str, location: Location, options: SourceOptions) -> Source:
    if isinstance(location, Path) and location.is_file():
        raise NotThisFormat("is a file of another format")
    with unreachable_is_usage_error(place):
        info = folder_at(place, location).read("info", locations.OPEN_TIMEOUT_SECONDS)
    if info is None:
        raise NotThisFormat("has no info file")
    index = _checked_scale(place, info, options.scale)
    reader = PrecomputedReader(place, location, index, options.missing)
    store = reader.tensorstore
    domain: Any = store.domain
    box = Box(tuple(domain.inclusive_min), tuple(domain.exclusive_max))
    if box.size == 0:
        raise UsageError(f"Got {place!r} of shape {box.shape} (z,y,x), expected at least 1 voxel.")
    resolution = store.spec().to_json()["scale_metadata"]["resolution"]
    x_nm, y_nm, z_nm = (float(size) for size in resolution)
    return Source(place, box, Placement((z_nm, y_nm, x_nm), box.start), reader)


def _checked_scale(place: str, info: bytes, scale: int | str) -> int:
    """Refuses what is no uint8 image of one channel; returns the index of a scale."""
    try:
        metadata = json.loads(info)
        if not isinstance(metadata, dict):
            raise ValueError("it is no JSON object")
    except (ValueError, RecursionError) as error:
        raise UsageError(f"The info file of {place!r} is not JSON: {one_line(error)}.") from error
    for key, expected in (("type", "image"), ("data_type", "uint8"), ("num_channels", 1)):
        if metadata.get(key) != expected:
            raise NotThisFormat(f"has {key} {short_repr(metadata.get(key))}, expected {expected!r}")
    scales = metadata.get("scales")
    if not isinstance(scales, list) or not scales or not all(isinstance(s, dict) for s in scales):
        raise UsageError(f"The info file of {place!r} lists no scales, expected at least one.")
    text, keys = str(scale), [str(s.get("key")) for s in scales]
    for names in ([str(index) for index in range(len(keys))], keys):
        if text in names:
            return names.index(text)
    raise UsageError(
        f"Got the scale {text!r}, expected an index from 0 to {len(keys) - 1} or one of the keys"
        f" {', '.join(keys)}."
    )


PRECOMPUTED = Format(
    "a neuroglancer precomputed image volume with one uint8 channel (a folder, or a URL with one of"
    f" {'://, '.join(locations.SCHEMES)}://)",
    _is_named,
    _open,
    create,
    KIND,
)
