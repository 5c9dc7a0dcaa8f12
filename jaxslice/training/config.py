"""Options of training. Importing this module loads no training library."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """Options for training one network.

    Attributes:
      steps: number of optimiser steps, at least 1.
      batch_voxels: voxels in the batch of one step, rounded down to whole rows.
      learning_rate: peak learning rate of Adam. The rate rises linearly during the first
        `warmup_steps` steps and then falls to 0 along half a cosine.
      warmup_steps: see `learning_rate`; at most a tenth of `steps`.
      gradient_norm: gradients with a larger global norm are scaled down to this norm.
      penalty: weight of an L1 penalty on the distance from the initial parameters, in bits per
        voxel for a change of 1.0. Parameters whose change saves less keep their initial value.
      steps_per_call: steps in one call of the compiled program; progress is reported between calls.
    """

    steps: int = 4000
    batch_voxels: int = 8192
    learning_rate: float = 1e-2
    warmup_steps: int = 100
    gradient_norm: float = 1.0
    penalty: float = 0.0
    steps_per_call: int = 50

    def of_any_length(self) -> TrainingConfig:
        """The options that a compiled program depends on: all but `steps`."""
        return dataclasses.replace(self, steps=1)
