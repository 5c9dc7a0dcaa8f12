"""The network that an archive is coded with: shipped, tuned, or trained from scratch.

Libraries that only training needs are imported when something is trained.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

from jaxslice.codec.architecture import Architecture
from jaxslice.codec.network import IntegerNetwork, Model
from jaxslice.core.box import Triple
from jaxslice.core.progress import Progress, Stopwatch
from jaxslice.jobs import effort as efforts
from jaxslice.jobs.blocks import OwnTraining
from jaxslice.jobs.options import CompressOptions
from jaxslice.jobs.patches import sample_pieces
from jaxslice.models import model_file
from jaxslice.models.model_file import ModelFile
from jaxslice.models.presets import CONTEXTS
from jaxslice.volumes.source import Source

if TYPE_CHECKING:
    from jaxslice.models.adaptation import Adaptation
    from jaxslice.training.evaluate import Better
    from jaxslice.training.training_set import TrainingSet

NUM_PIECES = 24
"""Pieces that an archive's network is tuned on: 24 MB where blocks are large."""

NUM_PIECES_TO_ADAPT = 12
"""Pieces that a model adapts to where it is not tuned."""


@dataclasses.dataclass(frozen=True)
class Base:
    """An archive's network.

    Attributes:
      model: that blocks are coded with.
      provenance: where the network comes from, for the archive's metadata.
    """

    model: Model
    provenance: dict[str, Any]


def starting_model(options: CompressOptions, voxels: int) -> tuple[ModelFile | None, Architecture]:
    """The model to start from, if any, and the architecture of what comes out.

    Args:
      options: of which `context`, `model` and `effort` are used.
      voxels: of the volume.

    Raises:
      UsageError: there is no such model; FormatError: it is damaged.
    """
    if options.context != "full":
        return None, CONTEXTS[options.context]
    effort = efforts.EFFORTS[options.effort]
    start = model_file.load(options.model or efforts.model_for(effort, voxels))
    return start, start.architecture


def prepare_base(
    volume: Source,
    block_shape: Triple,
    start: ModelFile | None,
    architecture: Architecture,
    options: CompressOptions,
    watch: Stopwatch,
    tell: Progress,
) -> Base:
    """Adapts, and at effort 1 and above tunes or trains, the network of an archive.

    Args:
      volume: to be compressed.
      block_shape: of its blocks.
      start: as `starting_model` gives it.
      architecture: likewise.
      options: of which `effort`, `seed` and `training_steps` are used.
      watch: measures "read", "adapt" and "train".
      tell: called now and then.

    Raises:
      SourceDataError: voxels that cannot be read.
    """
    effort = efforts.EFFORTS[options.effort]
    told = {
        "model": start.name if start else None,
        "adaptation_gain_bits_per_voxel": 0.0,
        "tuning_gain_bits_per_voxel": 0.0,
    }
    if start:
        told["model_fingerprint"] = start.fingerprint
        if not effort.tuning and start.adaptation is None:
            return Base(start.model, told)

    from jaxslice.training.training_set import prepare

    with watch.measure("read"):
        reach = max(-dz for dz, _, _ in architecture.context)
        count = NUM_PIECES if effort.tuning else NUM_PIECES_TO_ADAPT
        pieces = sample_pieces(volume, block_shape, count, reach, options.seed)
    with watch.measure("adapt"):
        data = prepare(
            [piece.voxels for piece in pieces], architecture, [piece.lead for piece in pieces]
        )
        voxels = sum(piece.voxels.size for piece in pieces)
        del pieces
        network = start.network if start else None
        if start and start.adaptation:
            adapted = _adapted(start.network, start.adaptation, data, architecture, options)
            network = adapted.network
            told["adaptation_gain_bits_per_voxel"] = round(adapted.gain, 5)
    if effort.tuning:
        with watch.measure("train"):
            network, gain = _tuned(network, data, voxels, architecture, options, tell)
        told["tuning_gain_bits_per_voxel"] = round(gain, 5)
    assert network is not None  # the options refuse effort 0 without a model
    return Base(Model(architecture, network), told)


def _adapted(
    network: IntegerNetwork,
    adaptation: Adaptation,
    data: TrainingSet,
    architecture: Architecture,
    options: CompressOptions,
) -> Better:
    """The network fitted to samples, as far as that makes it better."""
    from jaxslice.training.closed_form import adapt
    from jaxslice.training.evaluate import better_of
    from jaxslice.training.fisher import score

    fitted = adapt(network, adaptation, data, architecture, options.seed)
    better = better_of(network, fitted, data, architecture, options.seed)
    # Tuning finds what scoring does, and more.
    tuned_later = efforts.EFFORTS[options.effort].tuning > 0
    return better if tuned_later else score(better, data, architecture, options.seed)


def _tuned(
    start: IntegerNetwork | None,
    data: TrainingSet,
    voxels: int,
    architecture: Architecture,
    options: CompressOptions,
    tell: Progress,
) -> tuple[IntegerNetwork, float]:
    """The network tuned, or trained if there is none; bits per voxel that tuning saves."""
    from jaxslice.training.config import TrainingConfig
    from jaxslice.training.fine_tune import tune_network
    from jaxslice.training.train import train_network

    effort = efforts.EFFORTS[options.effort]
    steps = options.training_steps or efforts.tuning_steps(effort, architecture, voxels)
    config = TrainingConfig(steps=steps, batch_voxels=efforts.BATCH_VOXELS)

    def progress(step: int, bits: float) -> None:
        tell(f"train ({bits:.3f} bits per voxel)", min(step, steps), steps)

    if start is None:
        return train_network(data, architecture, config, options.seed, progress), 0.0
    tuned = tune_network(data, start, architecture, config, options.seed, progress)
    return tuned.network, tuned.gain


def own_training(
    model: Model, block_shape: Triple, num_blocks: int, options: CompressOptions
) -> OwnTraining:
    """What trains a network for each block, for `blockwise.encode_all`."""
    from jaxslice.training.block_networks import own_differences
    from jaxslice.training.train import TrainingConfig

    voxels = math.prod(block_shape)
    effort = efforts.EFFORTS[options.effort]
    config = TrainingConfig(
        steps=options.training_steps
        or efforts.own_steps(effort, model.architecture, voxels, num_blocks),
        batch_voxels=efforts.BATCH_VOXELS,
        learning_rate=efforts.OWN_LEARNING_RATE,
        penalty=efforts.OWN_PENALTY_BITS / voxels,
    )

    def train(blocks, seeds, devices, stop):
        return own_differences(
            blocks, model.network, model.architecture, config, seeds, devices, stop
        )

    return train
