"""Damage to the files of an archive."""

from pathlib import Path

import jaxslice
from jaxslice.archive.model import model_of
from jaxslice.archive.store import open_archive
from jaxslice.codec.block import encode_block


def flip(path: Path) -> None:
    """Flips one bit of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def older_block(archive, index) -> None:
    """Replaces a block by another one of the same voxels' place, which is whole in itself."""
    opened = open_archive(archive)
    voxels = jaxslice.open(archive)[opened.box_of(index).relative_to(opened.box.start).slices]
    changed = voxels.copy()
    changed[0, 0, 0] ^= 1
    assert changed.shape == opened.block_shape
    model = model_of(opened.configuration)
    payload = encode_block(changed, model, place=opened.place_of(index))
    opened.write_payload(index, payload)
