"""Volumes to read from: `.npy` files and neuroglancer precomputed volumes through TensorStore.

TensorStore orders the axes x,y,z,channel. They are turned round where a volume is opened, and
everything that leaves this module is z,y,x.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from jaxslice.core.box import Box, Triple
from jaxslice.core.errors import SourceDataError, UsageError
from jaxslice.core.placement import Placement
from jaxslice.storage.location import (
    OPEN_TIMEOUT_SECONDS,
    SUPPORTED,
    kvstore_spec,
    one_line,
    parse_location,
    read_info,
    storage_context,
    unreachable_is_usage_error,
)


@dataclasses.dataclass(frozen=True)
class Source:
    """A volume, or the part of it that was selected, that can be read box by box.

    Attributes:
      description: the file or URL, to be printed.
      box: the voxels that can be read, in global coordinates.
      placement: voxel size, and the global coordinate of the first voxel of `box`.
    """

    description: str
    box: Box
    placement: Placement
    _fetch: Callable[[Box], np.ndarray] = dataclasses.field(repr=False)

    @property
    def shape(self) -> Triple:
        """Voxels along z, y and x."""
        return self.box.shape

    def read(self, box: Box) -> np.ndarray:
        """Reads the voxels of `box`; may be called from several threads.

        Args:
          box: global coordinates, wholly inside `self.box`.

        Returns:
          uint8 [z,y,x], C-contiguous, the caller's own copy.

        Raises:
          UsageError: `box` is not inside `self.box`.
          SourceDataError: a chunk is missing, damaged or cannot be fetched.
        """
        if not self.box.contains(box):
            raise UsageError(f"Got the box {box}, expected one inside {self.box}.")
        return np.ascontiguousarray(self._fetch(box))


def open_source(
    source: str, *, bbox: Box | None = None, scale: int | str = 0, missing: str = "error"
) -> Source:
    """Opens a volume for reading; no voxel is read yet.

    Args:
      source: a `.npy` file, or the folder or URL of a precomputed volume. A `precomputed://` in
        front and a `|neuroglancer-precomputed:` at the end are accepted.
      bbox: the voxels wanted, in global coordinates (voxel_offset included); all of them if None.
      scale: which scale of a precomputed volume, by its index or its key (such as "8_8_8").
      missing: what a chunk that the volume does not have means: "error", or "zero" for black.

    Returns:
      The source, restricted to `bbox`.

    Raises:
      UsageError: no such volume, one of an unsupported kind, or a wrong option.
      SourceDataError: a `.npy` file that is shorter than its header says.
    """
    if missing not in ("error", "zero"):
        raise UsageError(f"Got missing={missing!r}, expected 'error' or 'zero'.")
    location = parse_location(source)
    if isinstance(location, Path) and not location.is_dir():
        opened = _open_npy(source, location, scale)
    else:
        opened = _open_precomputed(source, location, scale, missing)
    if bbox is None:
        return opened
    if min(bbox.shape) < 1 or not opened.box.contains(bbox):
        raise UsageError(
            f"Got the bbox {bbox}, expected a box of at least one voxel wholly inside the volume,"
            f" which is {opened.box} (z,y,x)."
        )
    placement = dataclasses.replace(opened.placement, offset_voxels=bbox.start)
    return dataclasses.replace(opened, box=bbox, placement=placement)


def _open_npy(source: str, path: Path, scale: int | str) -> Source:
    if not path.exists():
        raise UsageError(f"Got {source!r}, but there is no such file or folder.")
    if path.suffix != ".npy":
        raise UsageError(f"Got the file {source!r}, expected {SUPPORTED}.")
    if str(scale) != "0":
        raise UsageError(f"Got the scale {scale!r}, expected 0: a .npy file has one scale only.")
    try:
        with path.open("rb") as file:
            form = np.lib.format
            is_old = form.read_magic(file) == (1, 0)
            read_header = form.read_array_header_1_0 if is_old else form.read_array_header_2_0
            shape, fortran_order, dtype = read_header(file)
            first_voxel = file.tell()
    # NumPy evaluates the header as Python source: a damaged one raises any of a parser's errors.
    except Exception as error:
        raise UsageError(f"Cannot read {source!r} as a .npy file: {one_line(error)}.") from error
    if dtype != np.uint8 or len(shape) != 3 or min(shape) < 1:
        raise UsageError(
            f"Got {source!r} with dtype {dtype} and shape {shape}, expected dtype uint8 and a"
            " shape [z,y,x] of at least 1 voxel."
        )
    box = Box.of_shape(shape)
    expected_bytes, got_bytes = first_voxel + box.size, path.stat().st_size
    if got_bytes < expected_bytes:
        raise SourceDataError(
            f"{source!r} is cut short: got {got_bytes} bytes, expected {expected_bytes}."
        )
    order = "F" if fortran_order else "C"

    def read(part: Box) -> np.ndarray:
        # Mapped anew each time: pages that were read stay resident for as long as the map does.
        voxels = np.memmap(path, np.uint8, "r", first_voxel, shape, order)
        return np.array(voxels[part.slices], order="C")

    return Source(source, box, Placement((1.0, 1.0, 1.0), box.start), read)


def _open_precomputed(
    source: str, location: Path | dict[str, Any], scale: int | str, missing: str
) -> Source:
    import tensorstore as ts

    context = storage_context()
    kvstore = kvstore_spec(location)
    index = _check_info(source, read_info(source, kvstore, context), scale)
    spec = {
        "driver": "neuroglancer_precomputed",
        "kvstore": kvstore,
        "scale_index": index,
        "fill_missing_data_reads": missing == "zero",
        # The volume is taken not to change while it is open, so that cached chunks are asked for
        # once and not confirmed with the server at each read.
        "recheck_cached_data": "open",
    }
    with unreachable_is_usage_error(source):
        store = ts.open(ts.Spec(spec), read=True, context=context).result(OPEN_TIMEOUT_SECONDS)
    resolution = store.spec().to_json()["scale_metadata"]["resolution"]
    store = store[ts.d["channel"][0]][ts.d["z", "y", "x"].transpose[:]]
    domain: Any = store.domain
    box = Box(domain.inclusive_min, domain.exclusive_max)
    if box.size == 0:
        raise UsageError(f"Got {source!r} of shape {box.shape} (z,y,x), expected at least 1 voxel.")

    def fetch(part: Box) -> np.ndarray:
        try:
            return store[part.slices].read(order="C").result()
        except ValueError as error:
            message = f"Cannot read the box {part} of {source!r}: {one_line(error)}."
            if str(error).startswith("NOT_FOUND"):
                message += " Pass --missing=zero to read missing chunks as zeros."
            raise SourceDataError(message) from error

    x_nm, y_nm, z_nm = (float(size) for size in resolution)
    return Source(source, box, Placement((z_nm, y_nm, x_nm), box.start), fetch)


def _check_info(source: str, info: bytes | None, scale: int | str) -> int:
    """Refuses what is no uint8 image of one channel; returns the index of the scale meant."""
    if info is None:
        raise UsageError(f"Got {source!r}, which has no info file, expected {SUPPORTED}.")
    try:
        metadata = json.loads(info)
        if not isinstance(metadata, dict):
            raise ValueError("it is no JSON object")
    except (ValueError, RecursionError) as error:
        raise UsageError(f"The info file of {source!r} is not JSON: {one_line(error)}.") from error
    for key, expected in (("type", "image"), ("data_type", "uint8"), ("num_channels", 1)):
        if metadata.get(key) != expected:
            got = f"Got {source!r} with {key} {metadata.get(key)!r}, expected {expected!r}."
            raise UsageError(f"{got} Supported: {SUPPORTED}.")
    scales = metadata.get("scales")
    if not isinstance(scales, list) or not scales or not all(isinstance(s, dict) for s in scales):
        raise UsageError(f"The info file of {source!r} lists no scales, expected at least one.")
    text, keys = str(scale), [str(s.get("key")) for s in scales]
    for names in ([str(index) for index in range(len(keys))], keys):
        if text in names:
            return names.index(text)
    raise UsageError(
        f"Got the scale {text!r}, expected an index from 0 to {len(keys) - 1} or one of the keys"
        f" {', '.join(keys)}."
    )
