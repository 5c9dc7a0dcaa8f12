"""An archive as an array that decodes only what is looked at."""

from __future__ import annotations

import dataclasses
import functools
import math
import os
from typing import Any

import numpy as np
from ndindex import ndindex

from jaxslice.archive.block_reader import BlockReader, read_block
from jaxslice.archive.decoder import forked_after_reading, shared_pool
from jaxslice.archive.store import Archive, open_archive
from jaxslice.core.box import Box, Triple
from jaxslice.storage.pickling import PicklesFields

CACHE_BYTES = 512 * 2**20


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class LazyVolume(PicklesFields):
    """A volume z, y, x that reads, indexed as NumPy arrays are, decode block by block.

    Blocks that were decoded are kept in a cache of bounded size. It pickles, without the cache, so
    that it can be handed to other processes. Those may be forked where the native engine decodes
    local files; otherwise they must be spawned: neither JAX nor TensorStore survives a fork.

    Attributes:
      archive: that it reads from.
      cache_bytes: most memory for decoded blocks.
    """

    archive: Archive
    cache_bytes: int = CACHE_BYTES

    @property
    def dtype(self) -> np.dtype:
        """uint8 or uint16."""
        return self.archive.dtype

    @property
    def ndim(self) -> int:
        """Always 3."""
        return 3

    @property
    def size(self) -> int:
        """Voxels in all."""
        return math.prod(self.shape)

    @property
    def shape(self) -> Triple:
        """Voxels along z, y and x."""
        return self.archive.shape

    @property
    def chunks(self) -> Triple:
        """Shape of the blocks: what one access decodes at least."""
        return self.archive.block_shape

    @functools.cached_property
    def tensorstore(self) -> Any:
        """The same as a TensorStore, for everything that TensorStore can do with one."""
        return _view_of(self.archive, self.cache_bytes)

    def __getitem__(self, index: Any) -> np.ndarray | np.uint8 | np.uint16:
        """Voxels, by NumPy's basic indexing: integers, slices and one ellipsis.

        Returns:
          [z, y, x] without the axes of integers; a scalar where all three indices are integers.

        Raises:
          IndexError: an index that is out of range or of another kind.
          FormatError: a block is missing or damaged.
          UsageError: the process was forked from one that had read, and the engine or the storage
            does not survive that.
        """
        keys = _expanded(index, self.shape)
        picked = [
            range(key, key + 1) if isinstance(key, int) else range(*key.indices(size))
            for key, size in zip(keys, self.shape, strict=True)
        ]
        if all(picked):
            starts = [min(places[0], places[-1]) for places in picked]
            stops = [max(places[0], places[-1]) + 1 for places in picked]
            voxels = self._read(starts, stops)
            # A negative step counts from the far end of what was read.
            voxels = voxels[tuple(slice(None, None, places.step) for places in picked)]
        else:
            voxels = np.zeros([len(places) for places in picked], self.dtype)
        return voxels[tuple(0 if isinstance(key, int) else slice(None) for key in keys)]

    def _read(self, starts: list[int], stops: list[int]) -> np.ndarray:
        # Raises in a process whose engine does not survive the fork that made it.
        shared_pool()
        if forked_after_reading():
            (z0, y0, x0), (z1, y1, x1) = starts, stops
            return self._forked_reader.read(Box((z0, y0, x0), (z1, y1, x1)))
        parts = tuple(slice(a, b) for a, b in zip(starts, stops, strict=True))
        return self.tensorstore[parts].read(order="C").result()

    @functools.cached_property
    def _forked_reader(self) -> BlockReader:
        return BlockReader(self.archive, self.cache_bytes)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """All voxels, decoded.

        Raises:
          ValueError: `copy` is False, as decoding always makes a new array.
        """
        if copy is False:
            raise ValueError("Got copy=False, expected None or True: decoding makes a new array.")
        voxels = np.asarray(self[...])
        return voxels if dtype is None else voxels.astype(dtype, copy=False)

    def __repr__(self) -> str:
        return f"<jaxslice volume {self.archive.location!r} {self.shape} {self.dtype}>"

    def _repr_html_(self) -> str:
        """What notebooks show: a table, and a picture of the block in the middle."""
        from jaxslice.archive.notebook import html_of

        return html_of(self)


def open_volume(
    location: str | os.PathLike[str], *, scale: int = 0, cache_bytes: int = CACHE_BYTES
) -> LazyVolume:
    """Opens an archive as an array that is decoded where it is looked at.

    Args:
      location: a local folder or a file://, http(s)://, gs:// or s3:// URL.
      scale: index of one of its resolutions, the finest being 0.
      cache_bytes: most memory for decoded blocks.

    Returns:
      An array [z, y, x], to be indexed as NumPy arrays are.

    Raises:
      UsageError: there is no archive, or no such scale.
      FormatError: its metadata are damaged or of a later version.

    >>> import jaxslice
    >>> volume = jaxslice.open("volume.zarr")
    >>> volume.shape, volume[1, 2, :4].tolist()
    ((4, 32, 48), [96, 97, 98, 99])
    """
    return LazyVolume(open_archive(location, scale), cache_bytes)


def _view_of(archive: Archive, cache_bytes: int) -> Any:
    import tensorstore as ts

    def decode(domain: Any, block: np.ndarray, promise: Any) -> None:
        try:
            z, y, x = (o // b for o, b in zip(domain.origin, archive.block_shape, strict=True))
            decoded = read_block(archive, (z, y, x))
            block[...] = decoded[tuple(slice(n) for n in block.shape)]
            promise.set_result(None)
        except Exception as error:
            promise.set_exception(error)

    def read(domain: Any, block: np.ndarray, _parameters: Any) -> Any:
        promise, future = ts.Promise.new()
        # TensorStore's own threads must not wait here: they are what brings the payloads.
        shared_pool().submit(decode, domain, block, promise)
        return future

    return ts.virtual_chunked(
        read,
        dtype=ts.dtype(archive.data_type),
        domain=ts.IndexDomain(shape=archive.shape, labels=["z", "y", "x"]),
        chunk_layout=ts.ChunkLayout(chunk_shape=archive.block_shape),
        context=ts.Context({"cache_pool": {"total_bytes_limit": cache_bytes}}),
    )


def _expanded(index: Any, shape: Triple) -> tuple[int | slice, ...]:
    """One key for each axis: an integer in range, or a slice."""
    keys = ndindex(index).expand(shape).raw
    if len(keys) != 3 or not all(isinstance(key, int | slice) for key in keys):
        raise IndexError(f"Got the index {index!r}, expected integers, slices or an ellipsis.")
    return keys
