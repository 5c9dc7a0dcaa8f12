"""Served volumes as Neuroglancer precomputed ones: the info file, and raw chunks.

https://github.com/google/neuroglancer/tree/master/src/datasource/precomputed, "volume" and "raw".
That format writes x, y, z.
"""

from __future__ import annotations

import json
import re

import numpy as np

from jaxslice.core.box import Box
from jaxslice.serve.volume import ServedVolume

_CHUNK = re.compile(
    r"(-?[0-9]{1,19})-(-?[0-9]{1,19})_(-?[0-9]{1,19})-(-?[0-9]{1,19})_(-?[0-9]{1,19})-(-?[0-9]{1,19})"
)


def info(volume: ServedVolume) -> bytes:
    """The info file."""
    scales = []
    for number, scale in enumerate(volume.scales):
        placement = volume.placement(number)
        scales.append(
            {
                "key": str(number),
                "size": scale.shape[::-1],
                "voxel_offset": placement.offset_voxels[::-1],
                "resolution": placement.voxel_size_nm[::-1],
                "chunk_sizes": [volume.chunk_shape(number)[::-1]],
                "encoding": "raw",
            }
        )
    document = {
        "@type": "neuroglancer_multiscale_volume",
        "type": "image",
        "data_type": volume.dtype.name,
        "num_channels": 1,
        "scales": scales,
    }
    return json.dumps(document).encode()


def box_of_chunk(volume: ServedVolume, scale: int, name: str) -> Box | None:
    """The voxels of a chunk, in coordinates that begin at the corner of the volume.

    Args:
      volume: that is served.
      scale: number of one of its scales.
      name: of the chunk, such as "0-64_0-64_0-16", in global coordinates.

    Returns:
      None if the volume has no such chunk.
    """
    found = _CHUNK.fullmatch(name)
    if found is None:
        return None
    x0, x1, y0, y1, z0, z1 = map(int, found.groups())
    box = Box((z0, y0, x0), (z1, y1, x1)).relative_to(volume.placement(scale).offset_voxels)
    whole, shape = Box.of_shape(volume.scales[scale].shape), volume.chunk_shape(scale)
    if not whole.contains(box) or any(a % n for a, n in zip(box.start, shape, strict=True)):
        return None
    return box if box == Box.of_shape(shape, box.start).intersect(whole) else None


def chunk_bytes(voxels: np.ndarray) -> bytes:
    """A raw chunk: x fastest, as in arrays [z, y, x], and little endian."""
    return voxels.astype(voxels.dtype.newbyteorder("<"), copy=False).tobytes()
