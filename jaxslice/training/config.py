"""How networks are trained, as a value that needs no training library."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """How to train one network.

    Attributes:
      steps: optimiser steps.
      batch_voxels: voxels of each step, rounded down to whole rows.
      learning_rate: of Adam at its peak; it rises over `warmup_steps` and then falls to 0 along a
        half cosine.
      warmup_steps: see above.
      gradient_norm: gradients longer than this are scaled down to it.
      penalty: bits per voxel that each parameter may cost for each 1.0 it moves away from where
        training began; those that gain less stay there.
      steps_per_call: steps that run on the device between two reports.
    """

    steps: int = 4000
    batch_voxels: int = 8192
    learning_rate: float = 1e-2
    warmup_steps: int = 100
    gradient_norm: float = 1.0
    penalty: float = 0.0
    steps_per_call: int = 50
