"""Drafts: what an encoder knows of a block before it runs the march."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from jaxslice.codec import body, slices
from jaxslice.codec.payload import (
    CODED,
    CONSTANT,
    STORED,
    Payload,
    block_digest,
    extent_of,
    within,
)
from jaxslice.codec.place import Place
from jaxslice.codec.slices import SliceTable


@dataclasses.dataclass(frozen=True)
class Draft:
    """A block's payload without its body.

    Attributes:
      payload: with an empty body; CONSTANT if every voxel is equal.
      voxels: [z, y, x] of the extent.
      slices: the slice table, or None.
    """

    payload: Payload
    voxels: np.ndarray
    slices: SliceTable | None

    @functools.cached_property
    def coded_voxels(self) -> np.ndarray:
        """The slices that are coded."""
        return self.voxels if self.slices is None else self.voxels[self.slices.coded]

    @property
    def has_coded_slices(self) -> bool:
        """Whether the march has anything to do."""
        return self.payload.mode == CODED and len(self.coded_voxels) > 0


def draft_of(block: np.ndarray, place: Place | None) -> Draft:
    """The draft of a block; a place of None is for archives before version 4."""
    fill = int(block[-1, -1, -1])
    extent = extent_of(block, fill)
    mode = CODED if extent[0] else CONSTANT
    voxels = block[within(extent)]
    table = slices.find(voxels) if place is not None and mode == CODED else None
    item = Payload(
        mode, fill, extent, block_digest(block, place), b"",
        slice_table=table is not None, place=place,
    )  # fmt: skip
    return Draft(item, voxels, table)


def shortest(draft: Draft, coded: bytes | None, block_network: bool) -> Payload:
    """The payload with the shortest body: coded, or else stored.

    Args:
      draft: of the block.
      coded: the body in mode CODED; None if no slice is coded.
      block_network: whether that body has a block network.
    """
    item = draft.payload
    if item.mode == CONSTANT:
        return item
    plain = draft.voxels.nbytes
    without_repeats = plain
    if draft.slices is not None:
        without_repeats = len(slices.pack(draft.slices)) + draft.coded_voxels.nbytes
    if coded is not None and len(coded) < min(plain, without_repeats):
        return dataclasses.replace(item, body=coded, block_network=block_network)
    table = draft.slices if without_repeats < plain else None
    return dataclasses.replace(
        item,
        mode=STORED,
        body=body.stored_body(draft.voxels, table),
        slice_table=table is not None,
    )
