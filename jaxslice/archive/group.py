"""The group's `zarr.json`: OME-Zarr 0.5 metadata of all scales of an archive."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from jaxslice.archive.configuration import CODEC_NAME
from jaxslice.archive.metadata import Metadata


def group_json(name: str, scales: Sequence[Metadata]) -> bytes:
    """The group's `zarr.json`.

    Args:
      name: of the volume.
      scales: its arrays, the finest first.
    """
    first, *others = scales
    datasets = [
        {"path": scale.path, "coordinateTransformations": _transformations(scale, first)}
        for scale in scales
    ]
    multiscale = {
        "name": name,
        "axes": [{"name": axis, "type": "space", "unit": "nanometer"} for axis in "zyx"],
        "datasets": datasets,
    }
    own, *further = (
        {**scale.provenance, "offset_voxels": list(scale.placement.offset_voxels)}
        for scale in scales
    )
    attributes = {
        "ome": {"version": "0.5", "multiscales": [multiscale]},
        CODEC_NAME: own | ({"coarser_scales": further} if others else {}),
    }
    group = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
    return json.dumps(group, indent=1).encode()


def _transformations(scale: Metadata, first: Metadata) -> list[dict[str, Any]]:
    """From an array's indices to nanometres: where the centres of voxels lie.

    The centre of the voxel at the global coordinate 0 of the finest scale is the origin. A coarser
    voxel that begins where a finer one does has its centre half the difference further on.
    """
    size, offset = scale.placement.voxel_size_nm, scale.placement.offset_voxels
    finest = first.placement.voxel_size_nm
    translation = [o * s + (s - f) / 2 for o, s, f in zip(offset, size, finest, strict=True)]
    return [
        {"type": "scale", "scale": list(size)},
        {"type": "translation", "translation": translation},
    ]
