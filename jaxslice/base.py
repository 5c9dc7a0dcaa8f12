"""The network that an archive is coded with: shipped, tuned, or trained from scratch.

Libraries that only training needs are imported when something is trained.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from jaxslice import effort as efforts
from jaxslice import shipped
from jaxslice.block import Model
from jaxslice.blockwise import OwnTraining
from jaxslice.box import Triple
from jaxslice.config import CONTEXTS
from jaxslice.options import CompressOptions
from jaxslice.pieces import sample_pieces
from jaxslice.source import Source
from jaxslice.stages import Progress, Stopwatch

NUM_PIECES = 24
"""Pieces that an archive's network is tuned on: 24 MB where blocks are large."""


@dataclasses.dataclass(frozen=True)
class Base:
    """An archive's network.

    Attributes:
      model: that blocks are coded with.
      provenance: where the network comes from, for the archive's metadata.
    """

    model: Model
    provenance: dict[str, Any]


def prepare_base(
    volume: Source,
    block_shape: Triple,
    options: CompressOptions,
    watch: Stopwatch,
    tell: Progress,
) -> Base:
    """Chooses, and at effort 1 and above tunes or trains, the network of an archive.

    Args:
      volume: to be compressed.
      block_shape: of its blocks.
      options: of which `effort`, `model`, `context`, `seed` and `training_steps` are used.
      watch: measures "read" and "train".
      tell: called now and then.

    Raises:
      UsageError: there is no such model; FormatError: it is damaged.
      SourceDataError: voxels that cannot be read.
    """
    effort = efforts.EFFORTS[options.effort]
    start = shipped.load(options.model or effort.model) if options.context == "full" else None
    architecture = start.architecture if start else CONTEXTS[options.context]
    told = {"model": start.name if start else None, "tuning_gain_bits_per_voxel": 0.0}
    if start:
        told["model_fingerprint"] = start.fingerprint
        if not effort.tuning:
            return Base(start.model, told)

    from jaxslice.train import TrainingConfig, train_network
    from jaxslice.training_set import prepare
    from jaxslice.tune import tune_network

    with watch.measure("read"):
        reach = max(-dz for dz, _, _ in architecture.context)
        pieces = sample_pieces(volume, block_shape, NUM_PIECES, reach, options.seed)
    voxels = sum(piece.voxels.size for piece in pieces)
    steps = options.training_steps or efforts.tuning_steps(effort, architecture, voxels)
    config = TrainingConfig(steps=steps, batch_voxels=efforts.BATCH_VOXELS)

    def progress(step: int, bits: float) -> None:
        tell(f"train ({bits:.3f} bits per voxel)", min(step, steps), steps)

    with watch.measure("train"):
        data = prepare(
            [piece.voxels for piece in pieces], architecture, [piece.lead for piece in pieces]
        )
        del pieces
        if start is None:
            network = train_network(data, architecture, config, options.seed, progress)
            return Base(Model(architecture, network), told)
        tuned = tune_network(data, start.network, architecture, config, options.seed, progress)
    told["tuning_gain_bits_per_voxel"] = round(tuned.gain, 5)
    return Base(Model(architecture, tuned.network), told)


def own_training(model: Model, block_shape: Triple, options: CompressOptions) -> OwnTraining:
    """What trains a network for each block, for `blockwise.encode_all`."""
    from jaxslice.own_networks import own_differences
    from jaxslice.train import TrainingConfig

    voxels = math.prod(block_shape)
    effort = efforts.EFFORTS[options.effort]
    config = TrainingConfig(
        steps=options.training_steps or efforts.own_steps(effort, model.architecture, voxels),
        batch_voxels=efforts.BATCH_VOXELS,
        learning_rate=efforts.OWN_LEARNING_RATE,
        penalty=efforts.OWN_PENALTY_BITS / voxels,
    )

    def train(blocks, seeds, devices, stop):
        return own_differences(
            blocks, model.network, model.architecture, config, seeds, devices, stop
        )

    return train
