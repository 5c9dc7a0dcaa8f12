"""A small volume at an offset, for the tests of whole volumes."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

import jaxslice
from jaxslice.core.box import Box
from jaxslice.volumes.destination import create_destination

OFFSET = (30, 200, 100)
SHAPE = (10, 40, 50)
VOXEL_SIZE_NM = (40.0, 4.0, 4.5)
OPTIONS = jaxslice.CompressOptions(block_shape=(4, 16, 32), training_steps=50)


class SmallVolume(NamedTuple):
    path: str
    voxels: np.ndarray
    box: Box


def write_volume(path: Path, voxels: np.ndarray) -> SmallVolume:
    box = Box.of_shape(voxels.shape, OFFSET)
    with create_destination(str(path), box, VOXEL_SIZE_NM, chunk_shape=(8, 16, 16)) as written:
        written.write(box, voxels)
    return SmallVolume(str(path), voxels, box)
