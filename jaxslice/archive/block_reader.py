"""Blocks read without TensorStore, whose threads do not survive a fork."""

from __future__ import annotations

import collections
import threading

import numpy as np

from jaxslice.archive.decoder import decode_payloads, shared_pool
from jaxslice.archive.store import Archive
from jaxslice.core.box import Box, Triple
from jaxslice.core.errors import UsageError
from jaxslice.storage.folder import LocalFolder


def read_block(archive: Archive, index: Triple) -> np.ndarray:
    """Decodes one block, [z, y, x] of the block shape.

    Raises:
      FormatError: it is missing or damaged.
    """
    (decoded,) = decode_payloads(
        [archive.read_payload(index)], archive.block_shape, archive.configuration,
        [archive.place_of(index)], placeless=not archive.configuration.sealed,
    )  # fmt: skip
    return decoded


class BlockReader:
    """Reads boxes of an archive in local files, and keeps decoded blocks, within bounds.

    It serves processes that were forked from one that had read, such as the workers of a data
    loader: there is nothing in it that a fork could break.
    """

    def __init__(self, archive: Archive, cache_bytes: int) -> None:
        """Takes an archive, and the most memory for decoded blocks.

        Raises:
          UsageError: the archive is not in local files, which TensorStore would read.
        """
        if not isinstance(archive.folder, LocalFolder):
            raise UsageError(
                f"Got a read of {archive.location!r} in a process that was forked after its parent "
                "had read, expected an archive in local files, or a process that was spawned: "
                "multiprocessing.get_context('spawn')."
            )
        self._archive, self._limit = archive, cache_bytes
        self._kept: collections.OrderedDict[Triple, np.ndarray] = collections.OrderedDict()
        self._lock = threading.Lock()

    def read(self, box: Box) -> np.ndarray:
        """The voxels of a box, in coordinates that begin at the corner of the volume.

        Raises:
          FormatError: a block is missing or damaged.
        """
        voxels = np.empty(box.shape, self._archive.dtype)
        offset = self._archive.placement.offset_voxels
        indices = list(self._archive.blocks(box.shift(offset)))
        for index, block in zip(indices, shared_pool().map(self._block, indices), strict=True):
            whole = self._archive.box_of(index).relative_to(offset)
            part = whole.intersect(box)
            voxels[part.relative_to(box.start).slices] = block[part.relative_to(whole.start).slices]
        return voxels

    def _block(self, index: Triple) -> np.ndarray:
        with self._lock:
            if index in self._kept:
                self._kept.move_to_end(index)
                return self._kept[index]
        block = read_block(self._archive, index)
        with self._lock:
            self._kept[index] = block
            while len(self._kept) > max(1, self._limit // block.nbytes):
                self._kept.popitem(last=False)
        return block
