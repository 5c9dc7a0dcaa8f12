"""Places to write a volume to: `.npy` files and neuroglancer precomputed volumes.

A local destination is written under a temporary name beside its own and renamed at the end, so
that it is either complete or absent. Object storage cannot rename; there it is written in place.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jaxslice.core.box import Box, Triple
from jaxslice.core.errors import UsageError
from jaxslice.storage.location import (
    OPEN_TIMEOUT_SECONDS,
    kvstore_spec,
    one_line,
    parse_location,
    read_info,
    storage_context,
    unreachable_is_usage_error,
)
from jaxslice.storage.replace import Replaceable, renamed_at_the_end


@dataclasses.dataclass(frozen=True)
class Destination:
    """A new volume that is written box by box.

    Attributes:
      description: the file or URL, to be printed.
      box: the voxels of the volume, in global coordinates.
    """

    description: str
    box: Box
    _store: Callable[[Box, np.ndarray], None] = dataclasses.field(repr=False)

    def write(self, box: Box, voxels: np.ndarray) -> None:
        """Writes the voxels of `box`; threads may write disjoint boxes at the same time.

        Args:
          box: global coordinates, wholly inside `self.box`.
          voxels: uint8 [z,y,x] of the shape of `box`.

        Raises:
          UsageError: `box` is not inside `self.box`, or `voxels` does not fit it.
          OSError: the storage refuses, for instance because it is full.
        """
        if not self.box.contains(box):
            raise UsageError(f"Got the box {box}, expected one inside {self.box}.")
        if voxels.dtype != np.uint8 or voxels.shape != box.shape:
            raise UsageError(
                f"Got voxels of dtype {voxels.dtype} and shape {voxels.shape}, expected uint8 and"
                f" {box.shape}."
            )
        self._store(box, voxels)


@contextlib.contextmanager
def create_destination(
    dest: str,
    box: Box,
    voxel_size_nm: tuple[float, float, float],
    *,
    chunk_shape: Triple = (64, 64, 64),
    overwrite: bool = False,
) -> Iterator[Destination]:
    """Creates a volume, which is complete when the `with` block ends without an exception.

    Every `write` must have returned by then, or when the block is left by an exception.

    Args:
      dest: a `.npy` path, or the folder or file://, gs:// or s3:// URL of a precomputed volume.
      box: the voxels of the volume, in global coordinates; its start becomes the voxel offset.
      voxel_size_nm: z,y,x. A `.npy` file keeps neither it nor the offset.
      chunk_shape: voxels of a precomputed chunk, z,y,x. Boxes written at once should be made of
        whole chunks; others are correct too, but read and rewrite the chunks that they share.
      overwrite: replace an existing `.npy` file or precomputed volume. A local one stays as it
        is until the new one is complete.

    Yields:
      The destination to write to.

    Raises:
      UsageError: `dest` exists, or cannot be created.
    """
    if min(box.shape) < 1:
        raise UsageError(f"Got the box {box}, expected at least 1 voxel.")
    location = parse_location(dest)
    if isinstance(location, Path):
        kind = _NPY if location.suffix == ".npy" else _PRECOMPUTED
        with renamed_at_the_end(dest, location, kind, overwrite) as partial:
            if location.suffix == ".npy":
                store = _create_npy(dest, partial, box)
            else:
                kvstore = kvstore_spec(partial)
                store = _create_precomputed(dest, kvstore, box, voxel_size_nm, chunk_shape)
            yield Destination(dest, box, store)
            if isinstance(store, _NpyWriter):
                store.flush()
        return
    if location["driver"] not in ("gcs", "s3"):
        raise UsageError(f"Got {dest!r}, which is read only, expected a path, gs:// or s3://.")
    if dest.endswith(".npy"):
        raise UsageError(f"Got {dest!r}, expected a local path: a .npy file cannot be remote.")
    _clear_remote(dest, location, overwrite)
    store = _create_precomputed(dest, location, box, voxel_size_nm, chunk_shape)
    try:
        yield Destination(dest, box, store)
    except BaseException as error:
        _append(error, f"{dest} is incomplete.")
        raise


@dataclasses.dataclass(frozen=True)
class _NpyWriter:
    path: Path
    box: Box

    def __call__(self, part: Box, voxels: np.ndarray) -> None:
        z, y, x = self.box.start
        # Mapped anew each time: pages that were written stay resident for as long as the map does.
        whole = np.lib.format.open_memmap(self.path, "r+")
        whole[part.shift((-z, -y, -x)).slices] = voxels

    def flush(self) -> None:
        """Waits until all is on disk."""
        with self.path.open("r+b") as file:
            os.fsync(file.fileno())


def _create_npy(dest: str, path: Path, box: Box) -> _NpyWriter:
    try:
        np.lib.format.open_memmap(path, "w+", np.uint8, box.shape)
        # Reserved now, because running out of space later kills the process: a write to mapped
        # memory cannot report an error.
        if hasattr(os, "posix_fallocate"):
            with path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    except OSError as error:
        raise UsageError(f"Cannot create {dest!r}: {error.strerror}.") from error
    return _NpyWriter(path, box)


def _create_precomputed(
    dest: str,
    kvstore: dict[str, Any],
    box: Box,
    voxel_size_nm: tuple[float, float, float],
    chunk_shape: Triple,
) -> Callable[[Box, np.ndarray], None]:
    import tensorstore as ts

    spec = {
        "driver": "neuroglancer_precomputed",
        "kvstore": kvstore,
        "multiscale_metadata": {"type": "image", "data_type": "uint8", "num_channels": 1},
        "scale_metadata": {
            "size": box.shape[::-1],
            "voxel_offset": box.start[::-1],
            "resolution": voxel_size_nm[::-1],
            "chunk_size": chunk_shape[::-1],
            "encoding": "raw",
        },
        # Otherwise a chunk of zeros would not be stored, and could not be told from a lost one.
        "store_data_equal_to_fill_value": True,
    }
    with unreachable_is_usage_error(dest):
        opened = ts.open(ts.Spec(spec), create=True, context=storage_context())
        volume = opened.result(OPEN_TIMEOUT_SECONDS)
    volume = volume[ts.d["channel"][0]][ts.d["z", "y", "x"].transpose[:]]

    def store(part: Box, voxels: np.ndarray) -> None:
        try:
            volume[part.slices].write(voxels).result()
        except ValueError as error:
            raise OSError(f"Cannot write {part} of {dest!r}: {one_line(error)}.") from error

    return store


def _is_precomputed(folder: Path) -> bool:
    try:
        return bool(_scale_keys((folder / "info").read_bytes()))
    except OSError:
        return False


def _is_replaceable_folder(folder: Path) -> bool:
    return folder.is_dir() and (not any(folder.iterdir()) or _is_precomputed(folder))


def _scale_keys(info: bytes) -> list[str]:
    """The keys of the scales that an `info` file lists; none if it is no such file."""
    try:
        return [scale["key"] for scale in json.loads(info)["scales"]]
    except (ValueError, TypeError, LookupError, RecursionError):
        return []


_NPY = Replaceable("a file", Path.is_file)
_PRECOMPUTED = Replaceable("a precomputed volume", _is_replaceable_folder)


def _clear_remote(dest: str, kvstore: dict[str, Any], overwrite: bool) -> None:
    """Removes the volume at `dest`: its info file and the scales named there, nothing else."""
    import tensorstore as ts

    context = storage_context()
    info = read_info(dest, kvstore, context)
    if info is None:
        return
    if not overwrite:
        raise UsageError(f"Got {dest!r}, which exists, expected a new name or --overwrite.")
    with unreachable_is_usage_error(dest):
        folder = ts.KvStore.open(ts.KvStore.Spec(kvstore), context=context).result()
        for key in _scale_keys(info):
            folder.delete_range(ts.KvStore.KeyRange(f"{key}/", f"{key}0")).result()
        folder.write("info", None).result()


def _append(error: BaseException, sentence: str) -> None:
    if len(error.args) == 1 and isinstance(error.args[0], str):
        error.args = (f"{error.args[0]} {sentence}",)
    else:
        error.add_note(sentence)
