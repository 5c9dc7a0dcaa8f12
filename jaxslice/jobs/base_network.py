"""The base network of an archive: shipped, fitted in closed form, tuned, or trained from scratch.

Libraries that only training needs are imported when something is trained.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

from jaxslice.archive.configuration import CodecConfiguration
from jaxslice.codec import linear, network_bytes
from jaxslice.codec.architecture import Architecture
from jaxslice.codec.linear import LinearArchitecture
from jaxslice.codec.network import IntegerNetwork
from jaxslice.core.progress import Progress, Stopwatch, no_progress
from jaxslice.jobs import effort as efforts
from jaxslice.jobs.patches import sample_patches
from jaxslice.jobs.plan import Plan
from jaxslice.models import model_file
from jaxslice.models.model_file import ModelFile
from jaxslice.training.config import TrainingConfig
from jaxslice.volumes.source import Source

if TYPE_CHECKING:
    from jaxslice.training.training_set import TrainingSet

NUM_PATCHES_TO_TUNE, NUM_PATCHES_TO_FIT, NUM_PATCHES_TO_FIT_LINEAR = 24, 12, 6
"""Patches that are read to tune a network, to fit a model in closed form, and to fit a linear
predictor."""

LEAST_FITTING_STEPS, MOST_FITTING_STEPS = 128, 256
"""Steps of natural gradient descent that fit a model without tuning."""


@dataclasses.dataclass(frozen=True)
class BaseNetwork:
    """The network that blocks are coded with, as an archive holds it. A frozen value that pickles.

    Attributes:
      configuration: of the codec: the architecture and the packed network.
      provenance: where the network comes from: a JSON object for the archive's metadata.
    """

    configuration: CodecConfiguration
    provenance: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """What it is, in a JSON object, without its weights."""
        size = len(self.configuration.packed_network)
        return {**self.provenance, "network_bytes": size}


def fit_base_network(
    source: Source,
    plan: Plan,
    watch: Stopwatch | None = None,
    progress: Progress = no_progress,
    shortened: int = 1,
) -> BaseNetwork:
    """Fits the model of a plan to samples of the volume; from effort 1 on, also tunes it.

    Args:
      source: the volume of the plan.
      plan: how to compress it.
      watch: measures "read", "adapt" and "train".
      progress: called now and then.
      shortened: tuning takes so many times fewer steps, for a forecast.

    Raises:
      SourceDataError: voxels that cannot be read.
    """
    watch = watch or Stopwatch()
    if isinstance(plan.architecture, LinearArchitecture):
        return _fitted_linear(source, plan, plan.architecture, watch)
    start = model_file.load(plan.model) if plan.model else None
    provenance: dict[str, Any] = {
        "model": start.name if start else None,
        "adaptation_gain_bits_per_voxel": 0.0,
        "tuning_gain_bits_per_voxel": 0.0,
    }
    network = start.network if start else None
    if start:
        provenance["model_fingerprint"] = start.fingerprint
    if plan.effort.tuning or (start and start.adaptation):
        data, voxels = _training_set(source, plan, watch)
        if start and start.adaptation:
            progress("fit", 0, 1)
            with watch.measure("adapt"):
                network, gain = _fitted(start, data, plan)
            progress("fit", 1, 1)
            provenance["adaptation_gain_bits_per_voxel"] = round(gain, 5)
        if plan.effort.tuning:
            with watch.measure("train"):
                network, gain = _tuned(network, data, voxels, plan, progress, shortened)
            provenance["tuning_gain_bits_per_voxel"] = round(gain, 5)
    assert network is not None, "the options refuse effort 0 without a model"
    return _packed(network, plan, provenance)


def _fitted_linear(
    source: Source, plan: Plan, architecture: LinearArchitecture, watch: Stopwatch
) -> BaseNetwork:
    """A linear predictor fitted to samples of the volume."""
    from threadpoolctl import threadpool_limits

    from jaxslice.codec import linear_sample
    from jaxslice.training import linear_fit

    reach, seed = max(-dz for dz, _, _ in architecture.context), plan.options.seed
    with watch.measure("read"):
        patches = sample_patches(source, plan.block_shape, NUM_PATCHES_TO_FIT_LINEAR, reach, seed)
    # One thread, for the reasons of `_fitted`.
    with watch.measure("adapt"), threadpool_limits(1, user_api="blas"):
        voxels, leads = [patch.voxels for patch in patches], [patch.lead for patch in patches]
        sample = linear_sample.draw(voxels, leads, architecture, linear_fit.FITTED_VOXELS, seed)
        packed = linear.pack(linear_fit.fit(sample, architecture))
    provenance = {
        "model": None,
        "adaptation_gain_bits_per_voxel": 0.0,
        "tuning_gain_bits_per_voxel": 0.0,
        "network_fingerprint": network_bytes.fingerprint(packed),
    }
    return BaseNetwork(CodecConfiguration(architecture, packed), provenance)


def _packed(network: IntegerNetwork, plan: Plan, provenance: dict[str, Any]) -> BaseNetwork:
    packed, rounded = network_bytes.pack_coded(network, plan.network_architecture)
    fingerprint = network_bytes.fingerprint(network_bytes.pack(rounded))
    return BaseNetwork(
        CodecConfiguration(plan.network_architecture, packed, plan.block_networks),
        {**provenance, "network_fingerprint": fingerprint},
    )


def _training_set(source: Source, plan: Plan, watch: Stopwatch) -> tuple[TrainingSet, int]:
    """Samples of the volume, and how many voxels they are."""
    from jaxslice.training.training_set import prepare

    reach = max(-dz for dz, _, _ in plan.network_architecture.context)
    count = NUM_PATCHES_TO_TUNE if plan.effort.tuning else NUM_PATCHES_TO_FIT
    with watch.measure("read"):
        patches = sample_patches(source, plan.block_shape, count, reach, plan.options.seed)
    with watch.measure("adapt"):
        voxels = [patch.voxels for patch in patches]
        data = prepare(voxels, plan.network_architecture, [patch.lead for patch in patches])
    return data, sum(part.size for part in voxels)


def _fitted(start: ModelFile, data: TrainingSet, plan: Plan) -> tuple[IntegerNetwork, float]:
    """The network fitted to samples where that is better, and the bits per voxel it saves."""
    from threadpoolctl import threadpool_limits

    from jaxslice.training.closed_form import adapt
    from jaxslice.training.evaluate import best_of
    from jaxslice.training.natural_gradient import descend

    assert start.adaptation is not None
    architecture, seed = plan.network_architecture, plan.options.seed
    # The matrices are small: more threads would wait for each other, and could change the sums.
    with threadpool_limits(1, user_api="blas"):
        networks = [start.network, adapt(start.network, start.adaptation, data, architecture, seed)]
        # Tuning finds what these steps do, and more.
        if not plan.effort.tuning:
            networks += descend(networks[-1], data, architecture, _fitting_steps(plan), seed)
        best = best_of(networks, data, architecture, seed)
    return best.network, best.gain


def _fitting_steps(plan: Plan) -> int:
    """Steps of natural gradient descent: some more for a large volume, where they take no part."""
    megavoxels = math.prod(plan.box.shape) >> 20
    return min(LEAST_FITTING_STEPS + megavoxels, MOST_FITTING_STEPS)


def _tuned(
    start: IntegerNetwork | None, data: TrainingSet, voxels: int, plan: Plan, progress: Progress,
    shortened: int,
) -> tuple[IntegerNetwork, float]:  # fmt: skip
    """The network tuned, or trained if there is none, and the bits per voxel that tuning saves."""
    from jaxslice.training.fine_tune import tune_network
    from jaxslice.training.train import train_network

    architecture, options = plan.network_architecture, plan.options
    steps = options.training_steps or efforts.tuning_steps(plan.effort, architecture, voxels)
    steps = max(1, steps // shortened)
    config = TrainingConfig(steps=steps, batch_voxels=efforts.BATCH_VOXELS)

    def report(step: int, bits: float) -> None:
        progress(f"train ({bits:.3f} bits per voxel)", min(step, steps), steps)

    if start is None:
        return train_network(data, architecture, config, options.seed, report), 0.0
    tuned = tune_network(data, start, architecture, config, options.seed, report)
    return tuned.network, tuned.gain


def block_training_config(
    architecture: Architecture, effort: efforts.Effort, block_voxels: int, num_blocks: int,
    steps: int | None = None,
) -> TrainingConfig:  # fmt: skip
    """How the network of a single block is trained.

    Args:
      architecture: of the network.
      effort: of which `block_network` is used.
      block_voxels: voxels of a block.
      num_blocks: of the volume.
      steps: optimiser steps in place of the effort's.
    """
    return TrainingConfig(
        steps=steps or efforts.block_network_steps(effort, architecture, block_voxels, num_blocks),
        batch_voxels=efforts.BATCH_VOXELS,
        learning_rate=efforts.BLOCK_NETWORK_LEARNING_RATE,
        penalty=efforts.BLOCK_NETWORK_PENALTY_BITS / block_voxels,
    )
