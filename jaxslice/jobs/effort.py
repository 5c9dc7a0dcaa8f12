"""What each effort does: which model it starts from, and how long networks are trained."""

from __future__ import annotations

import dataclasses
import math

from jaxslice.codec.architecture import Architecture
from jaxslice.core.errors import UsageError
from jaxslice.models.presets import SHIPPED

BATCH_VOXELS = 8192
"""Voxels of an optimiser step."""

MOST_PASSES = 50
"""Training ends after this many passes over the voxels that it draws from."""

BLOCK_NETWORK_LEARNING_RATE = 3e-3

BLOCK_NETWORK_PENALTY_BITS = 1200.0
"""Bits that a parameter of a block's network has to save in the block for each 1.0 that it moves
away from the base network. 1.0 is 64 units of what `codec.network_difference` codes."""

_STEP_OVERHEAD = 2000
"""Multiply-adds per voxel that stand for the cost of a step beside its network."""


@dataclasses.dataclass(frozen=True)
class Effort:
    """How much to compute for how few bytes.

    Attributes:
      model: the shipped model to start from if no other is requested; see `model_for`. None for a
        linear predictor, which starts from nothing.
      tuning: multiply-adds to spend on tuning the base network; 0 for no tuning.
      block_network: multiply-adds to spend on the network of a block, for each of its voxels; 0 for
        no such networks.
      block_depth: most slices of a block. Deeper blocks take fewer bytes, but reading one voxel
        decodes a whole block.
    """

    model: str | None
    tuning: float
    block_network: float
    block_depth: int


EFFORTS = (
    Effort("default", 0, 0, 64),
    Effort("default", 4e11, 0, 64),
    Effort("medium", 6e11, 4e4, 128),
    Effort("large", 1.2e12, 1e5, 128),
)


FAST = "fast"
"""Name of the effort below 0."""

NAMED = {FAST: Effort(None, 0, 0, 64)} | {str(i): effort for i, effort in enumerate(EFFORTS)}
"""Name of each effort -> what it does."""


def effort_named(name: int | str) -> Effort:
    """What an effort does.

    Raises:
      UsageError: there is no such effort.
    """
    if isinstance(name, bool) or str(name) not in NAMED:
        raise UsageError(f"Got effort {name!r}, expected one of {', '.join(NAMED)}.")
    return NAMED[str(name)]


def model_for(effort: Effort, voxels: int) -> str | None:
    """The shipped model to start from, or a smaller one where that would not pay for itself.

    Args:
      effort: the effort.
      voxels: of the volume.
    """
    if effort.model is None:
        return None
    names = list(SHIPPED)
    smaller = names[: names.index(effort.model) + 1]
    return [name for name in smaller if SHIPPED[name] <= voxels][-1]


def tuning_steps(effort: Effort, architecture: Architecture, voxels: int) -> int:
    """Optimiser steps for the base network, given the voxels that it can be trained on."""
    return _steps(effort.tuning, architecture, voxels)


def block_network_steps(
    effort: Effort, architecture: Architecture, block_voxels: int, num_blocks: int = 2
) -> int:
    """Optimiser steps for the network of a block.

    A volume of a single block gets half of them, because no second block can be trained beside it.

    Args:
      effort: the effort.
      architecture: of the network.
      block_voxels: voxels of the block.
      num_blocks: of the volume.
    """
    work = effort.block_network * block_voxels * min(num_blocks, 2) / 2
    return _steps(work, architecture, block_voxels)


def _steps(work: float, architecture: Architecture, voxels: int) -> int:
    """Steps that take as many multiply-adds: fewer for a larger network, and for few voxels."""
    per_step = BATCH_VOXELS * (architecture.multiply_adds_per_voxel + _STEP_OVERHEAD)
    enough = math.ceil(MOST_PASSES * voxels / BATCH_VOXELS)
    return max(1, min(round(work / per_step), enough))
