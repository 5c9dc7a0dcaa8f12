"""Where `repair` takes blocks from: a second copy of an archive, or the volume that it holds."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from jaxslice.archive.model import model_of
from jaxslice.archive.store import Archive
from jaxslice.codec.block import decode_blocks, encode_blocks
from jaxslice.core.box import Box, Triple
from jaxslice.core.errors import FormatError
from jaxslice.jobs.scrub import problem_of
from jaxslice.jobs.verify import expected_source
from jaxslice.volumes.source import Source


@dataclasses.dataclass(frozen=True)
class Copy:
    """A second copy: it has the very payloads, so that each can be trusted for itself.

    Attributes:
      name: for the report.
      scales: of the copy.
    """

    name: str
    scales: Sequence[Archive]
    is_copy = True

    def payload(self, scale: Archive, index: Triple, ours: bytes | None) -> bytes | str:
        """The payload of a block, or why there is none.

        Args:
          scale: of the archive that is repaired.
          index: of the block.
          ours: its payload in the archive if that is whole in itself.
        """
        try:
            data = self.scales[scale.scale].read_payload(index)
        except (FormatError, OSError) as error:
            return f"The copy lacks it: {error}"
        problem = problem_of(scale, index, data)
        return data if problem is None else f"The copy's is no better: {problem}"


@dataclasses.dataclass(frozen=True)
class Volume:
    """The volume that the archive holds, to be coded anew.

    Attributes:
      name: for the report.
      source: of the voxels.
      scales: of the archive that is repaired.
    """

    name: str
    source: Source
    scales: Sequence[Archive]
    is_copy = False

    def payload(self, scale: Archive, index: Triple, ours: bytes | None) -> bytes | str:
        """The payload of a block; `ours` if that has the voxels of the volume. See `Copy`."""
        finer = self.scales[: scale.scale]
        source = expected_source(self.source, finer, scale, 0, "error")
        voxels = source.read(scale.box_of(index))
        padding = [(0, b - n) for b, n in zip(scale.block_shape, voxels.shape, strict=True)]
        block, configuration = np.pad(voxels, padding), scale.configuration
        model, place = model_of(configuration), scale.place_of(index)
        if ours is not None:
            (decoded,) = decode_blocks(
                [ours], scale.block_shape, model, places=[place],
                placeless=not configuration.sealed, block_networks=configuration.block_networks,
                format_version=configuration.format_version,
            )  # fmt: skip
            if np.array_equal(decoded[Box.of_shape(voxels.shape).slices], voxels):
                return ours
        (data,) = encode_blocks(
            [block], model, places=[place], block_networks=configuration.block_networks,
            format_version=configuration.format_version,
        )  # fmt: skip
        return data


Origin: TypeAlias = Copy | Volume
"""Where blocks come from."""
