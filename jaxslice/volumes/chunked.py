"""Reads arrays in chunks through TensorStore, and keeps account of chunks that are not there."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from typing import Any

import numpy as np

from jaxslice.core.box import Box, Triple
from jaxslice.core.errors import SourceDataError, StorageError, UsageError
from jaxslice.storage import location as locations
from jaxslice.storage.folder import RemoteFolder
from jaxslice.storage.location import (
    explained,
    is_fault,
    is_refused,
    storage_context,
    unreachable_is_usage_error,
    without_secrets,
)
from jaxslice.storage.pickling import PicklesFields
from jaxslice.storage.store_options import waited
from jaxslice.volumes.axes import View
from jaxslice.volumes.interface import MissingChunks


@dataclasses.dataclass(frozen=True)
class ChunkedReader(PicklesFields):
    """Reads boxes of one array.

    Attributes:
      place: as the user wrote it, for messages.
      spec: TensorStore's description of the array, without what happens to missing chunks.
      view: of the array.
      offset: global coordinate of the first voxel.
      fill: the voxels of a missing chunk; None where it is an error.
      absent: missing chunks.
    """

    place: str
    spec: dict[str, Any] = dataclasses.field(hash=False)
    view: View
    offset: Triple
    fill: int | None
    absent: MissingChunks = dataclasses.field(
        default_factory=MissingChunks, repr=False, compare=False
    )

    def __call__(self, box: Box) -> np.ndarray:
        local = box.relative_to(self.offset)
        try:
            voxels = waited(self._read(local))
        except UsageError:
            raise
        except (TimeoutError, ValueError) as error:
            if self.fill is None or not self._is_missing(error):
                raise self._failure(box, error) from error
            return self._filled(box)
        self.absent.add((), found=True)
        return self._arranged(voxels)

    def _read(self, local: Box) -> Any:
        return self.tensorstore[self.view.index(local)].read(order="C")

    def _arranged(self, voxels: np.ndarray) -> np.ndarray:
        return self.view.arrange(voxels)

    def _filled(self, box: Box) -> np.ndarray:
        """The box, chunk by chunk, so that it is known which are missing."""
        local = box.relative_to(self.offset)
        voxels = np.full(box.shape, self.fill, self.dtype)
        parts = [(index, chunk, self._read(chunk)) for index, chunk in self._chunks(local)]
        missing, refused = [], None
        for index, chunk, reading in parts:
            try:
                part = self._arranged(waited(reading))
            except (TimeoutError, ValueError) as error:
                if not self._is_missing(error):
                    raise self._failure(box, error) from error
                refused = error if is_refused(error) else refused
                missing.append(index)
                continue
            voxels[chunk.relative_to(local.start).slices] = part
        if refused is not None:
            # Access may have ended meanwhile; then the metadata, read anew, are refused as well.
            self._read_metadata()
            self.absent.refuse(explained(refused))
        self.absent.add(missing, found=len(missing) < len(parts))
        return voxels

    def _read_metadata(self) -> None:
        """Reads the metadata of the array anew (OSError, UsageError: they cannot be read)."""
        if self.spec.get("assume_metadata"):
            RemoteFolder(self.place, self.spec["kvstore"]).read("info")
        else:
            open_tensorstore(self.place, self.spec)

    def _is_missing(self, error: Exception) -> bool:
        # A local file that may not be read is there.
        remote = self.spec["kvstore"]["driver"] != "file"
        return str(error).startswith("NOT_FOUND") or (remote and is_refused(error))

    def _chunks(self, local: Box) -> list[tuple[Triple, Box]]:
        """Index and voxels of each chunk that holds voxels of a box, cut to the box."""
        origin, shape = self.grid
        ranges = [
            range((a - o) // n, -(-(b - o) // n))
            for a, b, o, n in zip(local.start, local.stop, origin, shape, strict=True)
        ]
        found = []
        for index in itertools.product(*ranges):
            z, y, x = (o + i * n for o, i, n in zip(origin, index, shape, strict=True))
            found.append((index, Box.of_shape(shape, (z, y, x)).intersect(local)))
        return found

    def _failure(self, box: Box, error: Exception) -> Exception:
        shown = without_secrets(self.place)
        message = f"Cannot read the box {box} of {shown!r}: {explained(error)}"
        if str(error).startswith("NOT_FOUND"):
            message += " Pass --missing=zero to read missing chunks as zeros."
        elif is_refused(error):
            message += (
                " A bucket that may not be listed refuses chunks that were never written; if that"
                " is so here, pass --missing=zero to read them as zeros."
            )
        return (StorageError if is_fault(error) else SourceDataError)(message)

    @functools.cached_property
    def grid(self) -> tuple[Triple, Triple]:
        """Where the chunks begin, relative to the first voxel, and their shape."""
        layout = self.tensorstore.chunk_layout
        origin = self.view.triple(layout.grid_origin, absent=0)
        return origin, self.view.triple(layout.read_chunk.shape)

    @functools.cached_property
    def dtype(self) -> np.dtype:
        """Of the voxels."""
        return self.tensorstore.dtype.numpy_dtype

    @functools.cached_property
    def tensorstore(self) -> Any:
        """The array as a TensorStore whose first voxel is at 0, opened when it is first needed."""
        store = open_tensorstore(self.place, self.spec)
        return store.translate_to[(0,) * store.rank] if hasattr(store, "translate_to") else store


def open_tensorstore(place: str, spec: dict[str, Any]) -> Any:
    """Opens an array for reading; a missing chunk raises.

    Raises:
      UsageError: there is none, or it cannot be reached.
    """
    import tensorstore as ts

    full = {
        "fill_missing_data_reads": False,
        # The volume is taken not to change while it is open, so that cached chunks are requested
        # once and not confirmed with the server at each read.
        "recheck_cached_data": "open",
        **spec,
    }
    with unreachable_is_usage_error(place):
        opening = ts.open(ts.Spec(full), read=True, context=storage_context())
        return waited(opening, locations.OPEN_TIMEOUT_SECONDS)
