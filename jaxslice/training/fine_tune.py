"""Fine-tuning of an archive's network on samples of its volume."""

from __future__ import annotations

from collections.abc import Callable

from jaxslice.codec.architecture import Architecture
from jaxslice.codec.network import IntegerNetwork
from jaxslice.training.config import TrainingConfig
from jaxslice.training.evaluate import Better, better_of
from jaxslice.training.train import train_network
from jaxslice.training.training_set import TrainingSet


def tune_network(
    data: TrainingSet,
    start: IntegerNetwork,
    architecture: Architecture,
    config: TrainingConfig,
    seed: int = 0,
    on_progress: Callable[[int, float], None] | None = None,
) -> Better:
    """Continues the training of a network, and keeps the result only if it needs fewer bits.

    Args:
      data: training set from `training_set.prepare`; used for training and for the comparison.
      start: the initial network.
      architecture: architecture of the network.
      config: options of training.
      seed: random seed of the samples.
      on_progress: see `train.train_network`.

    Returns:
      The better of the initial and the trained network.
    """
    tuned = train_network(data, architecture, config, seed, on_progress, start=start)
    return better_of(start, tuned, data, architecture, seed)
