"""Reads arrays in chunks through TensorStore, and keeps account of chunks that are not there."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from concurrent.futures import Future
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
from jaxslice.volumes.chunk_cache import SHARD_INDICES_BYTES, ChunkCache, Chunking
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
      sharded: whether chunks lie in larger objects, with an index.
      absent: missing chunks.
      chunks: that are kept.
    """

    place: str
    spec: dict[str, Any] = dataclasses.field(hash=False)
    view: View
    offset: Triple
    fill: int | None
    sharded: bool = False
    absent: MissingChunks = dataclasses.field(
        default_factory=MissingChunks, repr=False, compare=False
    )
    chunks: ChunkCache = dataclasses.field(default_factory=ChunkCache, repr=False, compare=False)

    def __call__(self, box: Box) -> np.ndarray:
        local = box.relative_to(self.offset)
        parts = self._fetched(local)
        voxels = np.empty(box.shape, self.dtype)
        missing, refused = [], None
        for index, whole, chunk in parts:
            wanted = whole.intersect(local)
            target = voxels[wanted.relative_to(local.start).slices]
            try:
                target[...] = chunk.result()[wanted.relative_to(whole.start).slices]
            except UsageError:
                raise
            except (TimeoutError, ValueError) as error:
                if self.fill is None or not self._is_missing(error):
                    raise self._failure(box, error) from error
                refused = error if is_refused(error) else refused
                missing.append(index)
                target[...] = self.fill
        if refused is not None:
            # Access may have ended meanwhile; then the metadata, read anew, are refused as well.
            self._read_metadata()
            self.absent.refuse(explained(refused))
        self.absent.add(missing, found=len(missing) < len(parts))
        return voxels

    def _fetched(self, local: Box) -> list[tuple[Triple, Box, Future[np.ndarray]]]:
        """Index, voxels and future of each chunk that holds voxels of a box.

        Those that no other thread is fetching have been fetched.
        """
        import tensorstore as ts

        array, parts, claimed = self.tensorstore, [], []
        # Requests of a batch for neighbouring bytes of one object become one.
        with self.chunks.claims() as claims:
            with ts.Batch() as batch:
                for index, whole in self._chunks(local):
                    chunk, is_new = claims.get(index, whole.size * self.dtype.itemsize)
                    parts.append((index, whole, chunk))
                    if is_new:
                        part = array[self.view.index(whole)]
                        claimed.append((chunk, part.read(order="C", batch=batch)))
            for chunk, reading in claimed:
                try:
                    chunk.set_result(self.view.arrange(waited(reading)).copy())
                except ValueError as error:
                    chunk.set_exception(error)
                except TimeoutError as error:
                    # The others would take as long.
                    chunk.set_exception(error)
                    break
        return parts

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
        """Index and voxels, inside the array, of each chunk that holds voxels of a box."""
        origin, shape = self.grid
        all_voxels = Box.of_shape(self.view.volume_shape)
        ranges = [
            range((a - o) // n, -(-(b - o) // n))
            for a, b, o, n in zip(local.start, local.stop, origin, shape, strict=True)
        ]
        found = []
        for index in itertools.product(*ranges):
            z, y, x = (o + i * n for o, i, n in zip(origin, index, shape, strict=True))
            found.append((index, Box.of_shape(shape, (z, y, x)).intersect(all_voxels)))
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
        """Where the chunks begin, at the first voxel or before, and their shape."""
        layout = self.tensorstore.chunk_layout
        shape = self.view.triple(layout.read_chunk.shape)
        origin = self.view.triple(layout.grid_origin, absent=0)
        z, y, x = (-(-o % n) for o, n in zip(origin, shape, strict=True))
        return (z, y, x), shape

    @property
    def chunking(self) -> Chunking:
        """How the chunks lie."""
        (z, y, x), shape = self.grid
        oz, oy, ox = self.offset
        return Chunking((z + oz, y + oy, x + ox), shape, self.dtype.itemsize, self.chunks)

    @functools.cached_property
    def dtype(self) -> np.dtype:
        """Of the voxels."""
        return self.tensorstore.dtype.numpy_dtype

    @functools.cached_property
    def tensorstore(self) -> Any:
        """The array as a TensorStore whose first voxel is at 0, opened when it is first needed."""
        store = open_tensorstore(self.place, self.spec, self.sharded)
        return store.translate_to[(0,) * store.rank] if hasattr(store, "translate_to") else store


def open_tensorstore(place: str, spec: dict[str, Any], sharded: bool = False) -> Any:
    """Opens an array for reading; a missing chunk raises.

    Args:
      place: as the user wrote it.
      spec: TensorStore's description.
      sharded: whether to keep what is read, which are then the indices of shards.

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
        # Chunks are kept by `ChunkCache`.
        context = storage_context(cache_bytes=SHARD_INDICES_BYTES if sharded else 0)
        opening = ts.open(ts.Spec(full), read=True, context=context)
        return waited(opening, locations.OPEN_TIMEOUT_SECONDS)
