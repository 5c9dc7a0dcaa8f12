"""Volumes written box by box, for the tests of destinations."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from jaxslice.core.box import Box
from jaxslice.volumes.destination import create_destination

BOX = Box((3, -5, 7), (23, 25, 47))
SIZE_NM = (30.0, 4.5, 4.0)
CHUNK = (8, 16, 12)


def random_voxels(seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, BOX.shape, dtype=np.uint8)


def part_of(voxels: np.ndarray, box: Box) -> np.ndarray:
    z, y, x = BOX.start
    return voxels[box.shift((-z, -y, -x)).slices]


def write_all(dest: str | Path, voxels: np.ndarray, tile_shape=CHUNK, **options) -> None:
    with create_destination(str(dest), BOX, SIZE_NM, chunk_shape=CHUNK, **options) as destination:
        for box in BOX.tiles(tile_shape):
            destination.write(box, part_of(voxels, box))


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if not p.is_dir()}
