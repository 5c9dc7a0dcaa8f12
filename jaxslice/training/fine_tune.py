"""One network tuned for an archive, if that makes it better."""

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
    """Trains a network on from where it is, and keeps it only if it became better.

    Args:
      data: to train on, and to compare on: as `training_set.prepare` makes it.
      start: the network to begin with.
      architecture: of both.
      config: of training.
      seed: of the draws.
      on_progress: as for `train.train_network`.
    """
    tuned = train_network(data, architecture, config, seed, on_progress, start=start)
    return better_of(start, tuned, data, architecture, seed)
