"""The plan of a compression: everything that is decided before anything is computed."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from jaxslice.codec.architecture import Architecture
from jaxslice.codec.linear import LinearArchitecture
from jaxslice.core.box import Box, Triple
from jaxslice.core.placement import Placement
from jaxslice.jobs.block_shape import (
    default_block_shape,
    fitted_block_shape,
    fitted_shard_shape,
)
from jaxslice.jobs.effort import Effort, effort_named, model_for
from jaxslice.jobs.options import CompressOptions
from jaxslice.jobs.reading_order import aligned_block_shape
from jaxslice.models import model_file
from jaxslice.models.presets import CONTEXTS, LINEAR
from jaxslice.volumes.source import Source

MOST_OBJECTS = 1_000_000
"""Blocks from which on a volume gets shards unless others are requested: listing, copying and
paying for more objects takes longer than it should."""

SHARD_BLOCKS: Triple = (8, 4, 4)
"""Of these shards, along z, y and x."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """How a volume will be compressed. A frozen value that pickles and prints as JSON.

    Attributes:
      source: the volume, to be printed.
      box: its voxels that are compressed, in global coordinates.
      placement: of the volume.
      options: as requested.
      block_shape: of every block.
      shard_shape: of every shard, or None.
      model: name or path of the model that fitting starts from; None to train from scratch.
      architecture: of the base network, and of the networks of single blocks; or of the linear
        predictor.
    """

    source: str
    box: Box
    placement: Placement
    options: CompressOptions
    block_shape: Triple
    shard_shape: Triple | None
    model: str | None
    architecture: Architecture | LinearArchitecture

    @property
    def effort(self) -> Effort:
        """What the requested effort does."""
        return effort_named(self.options.effort)

    @property
    def network_architecture(self) -> Architecture:
        """The architecture, where that is of a network."""
        assert isinstance(self.architecture, Architecture)
        return self.architecture

    @property
    def block_networks(self) -> bool:
        """Whether blocks may get networks of their own."""
        return self.effort.block_network > 0

    @property
    def num_blocks(self) -> int:
        """Blocks of the archive."""
        pairs = zip(self.box.shape, self.block_shape, strict=True)
        return math.prod(-(-size // block) for size, block in pairs)

    def to_json(self) -> dict[str, Any]:
        """The plan as one JSON object."""
        options = dataclasses.asdict(self.options)
        return {
            "source": self.source,
            "box": str(self.box),
            **dataclasses.asdict(self.placement),
            "block_shape": self.block_shape,
            "shard_shape": self.shard_shape,
            "num_blocks": self.num_blocks,
            "model": self.model,
            "architecture": self.architecture.to_json(),
            "multiply_adds_per_voxel": self.architecture.multiply_adds_per_voxel,
            "block_networks": self.block_networks,
            "options": options | {"bbox": str(self.options.bbox) if self.options.bbox else None},
        }


def plan(source: Source, options: CompressOptions) -> Plan:
    """Decides how to compress a volume. Reads no voxel.

    Args:
      source: the volume, or the selected part of it.
      options: as requested.

    Raises:
      UsageError: there is no model of that name, or a shard would hold too many blocks.
      FormatError: the model file is damaged.
    """
    effort, shape = effort_named(options.effort), source.shape
    if options.block_shape:
        block_shape = fitted_block_shape(options.block_shape, shape)
    else:
        block_shape = default_block_shape(shape, effort.block_depth)
        if source.chunking is not None:
            block_shape = aligned_block_shape(block_shape, source.box, source.chunking)
    if options.context != "full":
        model, architecture = None, CONTEXTS[options.context]
    elif not (model := options.model or model_for(effort, math.prod(shape))):
        architecture = LINEAR
    else:
        architecture = model_file.load(model).architecture
    architecture = architecture.of_voxels(source.dtype)
    largest_shard = options.shard_shape or _usual_shard(block_shape, shape)
    shard_shape = largest_shard and fitted_shard_shape(largest_shard, block_shape, shape)
    return Plan(
        source.description, source.box, source.placement, options, block_shape, shard_shape, model,
        architecture,
    )  # fmt: skip


def _usual_shard(block_shape: Triple, shape: Triple) -> Triple | None:
    """The shape of shards where none is requested; None for a volume of few blocks."""
    if math.prod(-(-n // b) for n, b in zip(shape, block_shape, strict=True)) <= MOST_OBJECTS:
        return None
    z, y, x = (count * b for count, b in zip(SHARD_BLOCKS, block_shape, strict=True))
    return (z, y, x)
