"""Served volumes as plain Zarr v3 with OME-Zarr 0.5 metadata: chunks of raw voxels.

Any Zarr program can read these, without jaxslice.
"""

from __future__ import annotations

import json
import re

import numpy as np

from jaxslice.core.box import Box, Triple
from jaxslice.serve.volume import ServedVolume

_CHUNK = re.compile(r"c/([0-9]{1,10})/([0-9]{1,10})/([0-9]{1,10})")


def group_json(volume: ServedVolume) -> bytes:
    """The group's `zarr.json`."""
    datasets = []
    for number in range(len(volume.scales)):
        placement = volume.placement(number)
        size, offset = placement.voxel_size_nm, placement.offset_voxels
        translation = [o * s for o, s in zip(offset, size, strict=True)]
        transformations = [
            {"type": "scale", "scale": size},
            {"type": "translation", "translation": translation},
        ]
        datasets.append({"path": str(number), "coordinateTransformations": transformations})
    axes = [{"name": axis, "type": "space", "unit": "nanometer"} for axis in "zyx"]
    multiscale = {"name": volume.name, "axes": axes, "datasets": datasets}
    attributes = {"ome": {"version": "0.5", "multiscales": [multiscale]}}
    group = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
    return json.dumps(group).encode()


def array_json(volume: ServedVolume, scale: int) -> bytes:
    """The `zarr.json` of a scale's array."""
    grid = {"name": "regular", "configuration": {"chunk_shape": volume.chunk_shape(scale)}}
    array = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": volume.scales[scale].shape,
        "data_type": volume.dtype.name,
        "chunk_grid": grid,
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
        "attributes": {},
        "dimension_names": ["z", "y", "x"],
    }
    return json.dumps(array).encode()


def box_of_chunk(volume: ServedVolume, scale: int, key: str) -> Box | None:
    """The voxels of a chunk, in coordinates that begin at the corner of the volume.

    Args:
      volume: that is served.
      scale: number of one of its scales.
      key: of the chunk, such as "c/0/1/2".

    Returns:
      None if the volume has no such chunk.
    """
    found = _CHUNK.fullmatch(key)
    if found is None:
        return None
    shape = volume.chunk_shape(scale)
    z, y, x = (int(i) * n for i, n in zip(found.groups(), shape, strict=True))
    box = Box.of_shape(shape, (z, y, x)).intersect(Box.of_shape(volume.scales[scale].shape))
    return box if box.size else None


def chunk_bytes(voxels: np.ndarray, chunk_shape: Triple) -> bytes:
    """A chunk's voxels; a Zarr chunk is whole also where it reaches out of the volume."""
    missing = [(0, whole - n) for whole, n in zip(chunk_shape, voxels.shape, strict=True)]
    whole = np.pad(voxels, missing) if voxels.shape != chunk_shape else voxels
    return whole.astype(whole.dtype.newbyteorder("<"), copy=False).tobytes()
