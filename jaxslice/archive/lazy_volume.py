"""An archive as an array that decodes only what is looked at."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from jaxslice.archive.store import Archive, open_archive
from jaxslice.core.box import Box, Triple

CACHE_BYTES = 512 * 2**20


class LazyVolume:
    """A volume z, y, x of uint8 that reads, indexed as NumPy arrays are, decode block by block.

    Blocks that were decoded are kept in a cache of bounded size.

    Attributes:
      archive: that it reads from.
      tensorstore: the same as a TensorStore, for everything that TensorStore can do with one.
    """

    dtype = np.dtype(np.uint8)
    ndim = 3

    def __init__(self, archive: Archive, cache_bytes: int = CACHE_BYTES) -> None:
        self.archive = archive
        self.tensorstore = _view_of(archive, cache_bytes)

    @property
    def shape(self) -> Triple:
        """Voxels along z, y and x."""
        return self.archive.shape

    @property
    def chunks(self) -> Triple:
        """Shape of the blocks: what one access decodes at least."""
        return self.archive.block_shape

    def __getitem__(self, index: Any) -> np.ndarray:
        """Voxels, by NumPy's basic indexing: integers, slices and one ellipsis.

        Raises:
          IndexError: an index that is out of range or of another kind.
          FormatError: a block is missing or damaged.
        """
        keys = _expanded(index)
        starts, stops, steps, dropped = [], [], [], []
        for axis, (key, size) in enumerate(zip(keys, self.shape, strict=True)):
            if isinstance(key, slice):
                picked = range(*key.indices(size))
            else:
                place = key + size if key < 0 else key
                if not 0 <= place < size:
                    raise IndexError(f"Got index {key}, expected -{size} to {size - 1}.")
                picked = range(place, place + 1)
                dropped.append(axis)
            ordered = picked if picked.step > 0 else picked[::-1]
            starts.append(ordered[0] if ordered else 0)
            stops.append(ordered[-1] + 1 if ordered else 0)
            steps.append(picked.step)
        if any(a == b for a, b in zip(starts, stops, strict=True)):
            shape = [len(range(a, b, abs(s))) for a, b, s in zip(starts, stops, steps, strict=True)]
            return np.zeros([n for axis, n in enumerate(shape) if axis not in dropped], np.uint8)
        voxels = self._read(Box(tuple(starts), tuple(stops)))  # type: ignore[arg-type]
        # A negative step counts from the far end of what was read.
        voxels = voxels[tuple(slice(None, None, step) for step in steps)]
        return voxels[tuple(0 if axis in dropped else slice(None) for axis in range(3))]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[...] if dtype is None else self[...].astype(dtype)

    def __repr__(self) -> str:
        return f"<jaxslice volume {self.archive.location!r} {self.shape} uint8>"

    def _read(self, box: Box) -> np.ndarray:
        return self.tensorstore[box.slices].read(order="C").result()


def open_volume(location: str, *, cache_bytes: int = CACHE_BYTES) -> LazyVolume:
    """Opens an archive as an array that is decoded where it is looked at.

    Args:
      location: a local folder or a file://, http(s)://, gs:// or s3:// URL.
      cache_bytes: most memory for decoded blocks.

    Raises:
      UsageError: there is no archive.
      FormatError: its metadata are damaged or of a later version.
    """
    return LazyVolume(open_archive(location), cache_bytes)


def _view_of(archive: Archive, cache_bytes: int) -> Any:
    import tensorstore as ts

    # TensorStore's own threads must not wait here: they are what brings the payloads.
    pool = ThreadPoolExecutor(os.cpu_count(), "jaxslice-decode")

    def decode(domain: Any, block: np.ndarray, promise: Any) -> None:
        from jaxslice.archive.model import model_of
        from jaxslice.codec.block import decode_block

        try:
            z, y, x = (o // b for o, b in zip(domain.origin, archive.block_shape, strict=True))
            payload = archive.read_payload((z, y, x))
            configuration = archive.configuration
            decoded = decode_block(
                payload, archive.block_shape, model_of(configuration),
                own_networks=configuration.own_networks,
            )  # fmt: skip
            block[...] = decoded[tuple(slice(n) for n in block.shape)]
            promise.set_result(None)
        except Exception as error:
            promise.set_exception(error)

    def read(domain: Any, block: np.ndarray, _parameters: Any) -> Any:
        promise, future = ts.Promise.new()
        pool.submit(decode, domain, block, promise)
        return future

    return ts.virtual_chunked(
        read,
        dtype=ts.uint8,
        domain=ts.IndexDomain(shape=archive.shape, labels=["z", "y", "x"]),
        chunk_layout=ts.ChunkLayout(chunk_shape=archive.block_shape),
        context=ts.Context({"cache_pool": {"total_bytes_limit": cache_bytes}}),
    )


def _expanded(index: Any) -> tuple[int | slice, ...]:
    keys = index if isinstance(index, tuple) else (index,)
    dots = sum(key is Ellipsis for key in keys)
    if dots > 1 or len(keys) - dots > 3:
        raise IndexError(f"Got the index {index!r}, expected at most 3 axes and one ellipsis.")
    keys = keys if dots else (*keys, Ellipsis)
    expanded: list[int | slice] = []
    for key in keys:
        if key is Ellipsis:
            expanded += [slice(None)] * (4 - len(keys))
        elif isinstance(key, slice):
            expanded.append(key)
        elif isinstance(key, int | np.integer) and not isinstance(key, bool):
            expanded.append(int(key))
        else:
            raise IndexError(f"Got the index {key!r}, expected integers, slices or an ellipsis.")
    return tuple(expanded)
