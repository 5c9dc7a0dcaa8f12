"""The group's `zarr.json`: OME-Zarr 0.5 metadata of all scales of an archive, and its seal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from jaxslice.archive.configuration import CODEC_NAME
from jaxslice.archive.metadata import COARSER_SCALES, SEAL, Metadata
from jaxslice.archive.seal import Seal, metadata_digest


def group_json(
    name: str, scales: Sequence[Metadata], layers: Sequence[Sequence[bytes]] | None = None
) -> bytes:
    """The group's `zarr.json`.

    Args:
      name: of the volume.
      scales: its arrays, the finest first.
      layers: of each array, to seal the archive with; None to leave it unsealed.
    """
    group = _group(name, scales)
    if layers is not None:
        digest = metadata_digest(group, [scale.to_json() for scale in scales])
        seal = Seal(digest, tuple(map(tuple, layers)))
        group["attributes"][CODEC_NAME][SEAL] = seal.to_json()
    return json.dumps(group, indent=1).encode()


def _group(name: str, scales: Sequence[Metadata]) -> dict[str, Any]:
    multiscale = {
        "name": name,
        "axes": [{"name": axis, "type": "space", "unit": "nanometer"} for axis in "zyx"],
        "datasets": [
            {"path": scale.path, "coordinateTransformations": _transformations(scale, scales[0])}
            for scale in scales
        ],
    }
    own, *coarser = (
        {**scale.provenance, "offset_voxels": list(scale.placement.offset_voxels)}
        for scale in scales
    )
    attributes = {
        "ome": {"version": "0.5", "multiscales": [multiscale]},
        CODEC_NAME: own | ({COARSER_SCALES: coarser} if coarser else {}),
    }
    return {"zarr_format": 3, "node_type": "group", "attributes": attributes}


def _transformations(scale: Metadata, finest: Metadata) -> list[dict[str, Any]]:
    """From an array's indices to nanometres: where the centres of voxels lie.

    The centre of the voxel at the global coordinate 0 of the finest scale is the origin. A coarser
    voxel that begins where a finer one does has its centre half the difference further on.
    """
    size, offset = scale.placement.voxel_size_nm, scale.placement.offset_voxels
    finest_size = finest.placement.voxel_size_nm
    translation = [o * s + (s - f) / 2 for o, s, f in zip(offset, size, finest_size, strict=True)]
    return [
        {"type": "scale", "scale": list(size)},
        {"type": "translation", "translation": translation},
    ]
