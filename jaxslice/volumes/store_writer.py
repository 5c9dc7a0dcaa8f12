"""Writes boxes of arrays in chunks through TensorStore."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np

from jaxslice.core.box import Box, Triple
from jaxslice.core.errors import StorageError
from jaxslice.storage import location as locations
from jaxslice.storage.location import (
    explained,
    is_fault,
    storage_context,
    unreachable_is_usage_error,
    without_secrets,
)
from jaxslice.storage.pickling import PicklesFields
from jaxslice.storage.store_options import waited

_CACHE_BYTES = 256 * 2**20
"""For chunks that are written in parts."""


@dataclasses.dataclass(frozen=True)
class StoreWriter(PicklesFields):
    """Writes boxes of one array.

    Attributes:
      place: as the user wrote it, for messages.
      spec: TensorStore's description of the array.
      axes: of the array, slowest first: "zyx", "xyz", or "xyzc" with one channel.
      offset: global coordinate of the array's index 0, or 0,0,0 where its indices are global.
    """

    place: str
    spec: dict[str, Any] = dataclasses.field(hash=False)
    axes: str
    offset: Triple

    def __call__(self, box: Box, voxels: np.ndarray) -> None:
        local = dict(zip("zyx", box.relative_to(self.offset).slices, strict=True))
        index = tuple(local.get(axis, 0) for axis in self.axes)
        order = ["zyx".index(axis) for axis in self.axes if axis in "zyx"]
        try:
            waited(self.tensorstore[index].write(voxels.transpose(order)))
        except (TimeoutError, ValueError) as error:
            shown = without_secrets(self.place)
            message = f"Cannot write {box} of {shown!r}: {explained(error)}"
            raise (StorageError if is_fault(error) else OSError)(message) from error

    @functools.cached_property
    def tensorstore(self) -> Any:
        """The array as a TensorStore, opened when it is first needed."""
        return _opened(self.place, self.spec, create=False)


def create_store(place: str, spec: dict[str, Any]) -> None:
    """Creates an array.

    Raises:
      UsageError: it cannot be created.
    """
    _opened(place, spec, create=True)


def _opened(place: str, spec: dict[str, Any], *, create: bool) -> Any:
    import tensorstore as ts

    # Otherwise a chunk of zeros would not be stored, and look like a lost one.
    full = {**spec, "store_data_equal_to_fill_value": True}
    # Local chunks are synced all together, before the volume gets its name.
    context = storage_context(sync=False, cache_bytes=_CACHE_BYTES)
    with unreachable_is_usage_error(place):
        opening = ts.open(ts.Spec(full), create=create, open=not create, context=context)
        return waited(opening, locations.OPEN_TIMEOUT_SECONDS)
