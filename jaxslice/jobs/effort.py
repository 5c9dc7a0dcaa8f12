"""What each effort does: which model it starts from, and how long networks are trained."""

from __future__ import annotations

import dataclasses
import math

from jaxslice.codec.architecture import Architecture

BATCH_VOXELS = 8192
"""Voxels of an optimiser step."""

MOST_PASSES = 50
"""A network is never trained longer than this many times over the voxels it can be trained on."""

OWN_LEARNING_RATE = 3e-3
"""Of blocks' own networks."""

OWN_PENALTY_BITS = 1200.0
"""Of blocks' own networks: bits that a parameter has to save in a block for each 1.0 it moves by,
which is 64 units of what `difference` codes."""

LEAST_VOXELS = {"default": 0, "medium": 1 << 22, "large": 3 << 22}
"""Of a volume for which each model is used, from the smallest model to the largest. The medium one
is 5 KB more of network, 0.01 bits of each of 4 million voxels, and saves as much; the large one is
6 KB more again and saves less (hotknife, 8.8 million voxels: it lost 0.2 %)."""

_STEP_OVERHEAD = 2000
"""Multiply-adds that a step takes as long as beside those of the network, for each voxel."""


@dataclasses.dataclass(frozen=True)
class Effort:
    """How much to compute for how few bytes.

    Attributes:
      model: the shipped model to start from, unless another is asked for; see `model_for`.
      tuning: multiply-adds to spend on tuning the archive's network; 0 for no tuning.
      own: multiply-adds to spend on a block's own network, for each voxel of the block; 0 for none.
      block_depth: most slices of a block. Deeper ones cost less and take longer to read a voxel of.
    """

    model: str
    tuning: float
    own: float
    block_depth: int


EFFORTS = (
    Effort("default", 0, 0, 64),
    Effort("default", 4e11, 0, 64),
    Effort("medium", 6e11, 4e4, 128),
    Effort("large", 1.2e12, 1e5, 128),
)


def model_for(effort: Effort, voxels: int) -> str:
    """The shipped model to start from, or a smaller one where that would not pay for itself.

    Args:
      effort: the effort.
      voxels: of the volume.
    """
    names = list(LEAST_VOXELS)
    smaller = names[: names.index(effort.model) + 1]
    return [name for name in smaller if LEAST_VOXELS[name] <= voxels][-1]


def tuning_steps(effort: Effort, architecture: Architecture, voxels: int) -> int:
    """Optimiser steps for the archive's network, given the voxels that can be trained on."""
    return _steps(effort.tuning, architecture, voxels)


def own_steps(effort: Effort, architecture: Architecture, voxels: int, num_blocks: int = 2) -> int:
    """Optimiser steps for the network of a block of so many voxels.

    A block that is alone in its volume keeps one core busy and not two, so that it gets half of
    them: effort 2 must make 0.3 MB/s on two cores.
    """
    return _steps(effort.own * voxels * min(num_blocks, 2) / 2, architecture, voxels)


def _steps(work: float, architecture: Architecture, voxels: int) -> int:
    """Steps that take as many multiply-adds: fewer for a larger network, and for few voxels."""
    per_step = BATCH_VOXELS * (architecture.multiply_adds_per_voxel + _STEP_OVERHEAD)
    enough = math.ceil(MOST_PASSES * voxels / BATCH_VOXELS)
    return max(1, min(round(work / per_step), enough))
