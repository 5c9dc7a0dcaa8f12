"""Models made from volumes: what `train` does, and how the shipped ones came about."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import re
from collections.abc import Sequence

import jax
import numpy as np

from jaxslice import shipped
from jaxslice.augment import NOTHING, Augmentation, augment, largest_crop
from jaxslice.box import Box, Triple
from jaxslice.checkpoint import Checkpoints
from jaxslice.config import FULL, LARGE, SLICES, Architecture
from jaxslice.errors import UsageError
from jaxslice.shipped import ModelFile
from jaxslice.source import Source, open_source
from jaxslice.stages import Progress
from jaxslice.train import (
    TrainingConfig,
    initial_state,
    random_params,
    run_steps,
    to_integers,
    to_params,
)
from jaxslice.training_set import prepare
from jaxslice.types import Volume

ARCHITECTURES = {"default": FULL, "large": LARGE, "slices": SLICES}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a model is made from volumes.

    Attributes:
      training: of the network.
      piece_shape: z, y, x of the pieces that volumes are cut into.
      pieces_per_group: drawn from each group of volumes at a time, whatever their size.
      steps_per_draw: optimiser steps before pieces are drawn anew, and a checkpoint is written.
      augmentation: how pieces are changed.
    """

    training: TrainingConfig = dataclasses.field(default_factory=lambda: TrainingConfig(steps=8000))
    piece_shape: Triple = (12, 160, 160)
    pieces_per_group: int = 24
    steps_per_draw: int = 1000
    augmentation: Augmentation = dataclasses.field(default_factory=Augmentation)

    def __post_init__(self):
        """Refuses what cannot be done (UsageError)."""
        per_call = self.training.steps_per_call
        for name in ("pieces_per_group", "steps_per_draw"):
            if getattr(self, name) < 1:
                raise UsageError(f"Got {name} {getattr(self, name)}, expected at least 1.")
        if self.training.steps < 1 or self.steps_per_draw % per_call:
            raise UsageError(
                f"Got {self.training.steps} steps in draws of {self.steps_per_draw}, expected at "
                f"least 1 in draws of a multiple of {per_call}."
            )


def make_model(
    groups: Sequence[Sequence[str]],
    output: str,
    architecture: Architecture = FULL,
    recipe: Recipe = Recipe(),
    seed: int = 0,
    *,
    start: str | None = None,
    checkpoint_dir: str | None = None,
    progress: Progress | None = None,
) -> ModelFile:
    """Trains a network on volumes and writes it as a model that `compress` takes.

    Args:
      groups: volumes, as `source.open_source` reads them; those of one group are of one data set.
      output: the model's file.
      architecture: of the network.
      recipe: how to train it.
      seed: of weights and draws. Same seed, volumes and recipe, same machine: same bytes.
      start: name or path of a model of the architecture to begin with.
      checkpoint_dir: folder to keep states in. If it holds some of this very training, that goes
        on from there, to the bytes that it would have come to without the interruption.
      progress: called now and then.

    Returns:
      The model that was written.

    Raises:
      UsageError: a volume, model or folder that cannot be used.
      SourceDataError: voxels that cannot be read.
      MissingExtraError: checkpoints are asked for and Orbax is not installed.
    """
    tell = progress or (lambda part, done, total: None)
    if not groups or not all(groups):
        raise UsageError("Got no volumes to train on, expected at least one.")
    volumes = [[open_source(name) for name in group] for group in groups]
    init_key, draw_key = jax.random.split(jax.random.key(seed))
    params = _start(start, architecture) if start else random_params(init_key, architecture)
    config = recipe.training
    provenance = {
        "software": f"jaxslice {importlib.metadata.version('jaxslice')}, jax {jax.__version__}",
        "sources": [
            [re.split(r"[\\/]", name.rstrip("/"))[-1] for name in group] for group in groups
        ],
        "shapes": [[list(volume.shape) for volume in group] for group in volumes],
        "recipe": dataclasses.asdict(recipe),
        "start": start,
        "seed": seed,
    }
    state = initial_state(params, config)
    with contextlib.ExitStack() as stack:
        checkpoints = None
        if checkpoint_dir:
            places = [[volume.description for volume in group] for group in volumes]
            identity = {**provenance, "sources": places, "architecture": architecture.to_json()}
            checkpoints = Checkpoints(checkpoint_dir, identity)
            stack.callback(checkpoints.close)
            state = checkpoints.restore(state)
        going = True
        while going and int(state.step) < config.steps:
            draw = int(state.step) // recipe.steps_per_draw
            data = prepare(_draw_pieces(volumes, recipe, seed, draw), architecture)
            until = min((draw + 1) * recipe.steps_per_draw, config.steps)
            state, going = run_steps(
                state, draw_key, data, architecture, config, until,
                lambda step, bits: tell(f"train ({bits:.3f} bits per voxel)", step, config.steps),
            )  # fmt: skip
            if checkpoints and going:
                checkpoints.save(state)
    provenance["diverged_after_steps"] = None if going else int(state.step)
    made = ModelFile(output, architecture, to_integers(state.params, architecture), provenance)
    shipped.save(output, made)
    return made


def recipe_of(steps: int | None, augmented: bool) -> Recipe:
    """The recipe of `train`, with another number of steps or without augmentation."""
    recipe = Recipe()
    if steps is not None:
        training = dataclasses.replace(recipe.training, steps=steps)
        recipe = dataclasses.replace(recipe, training=training)
    return recipe if augmented else dataclasses.replace(recipe, augmentation=NOTHING)


def _start(name: str, architecture: Architecture):
    model = shipped.load(name)
    if model.architecture != architecture:
        raise UsageError(
            f"Got the model {name!r} to start from, whose architecture is another than the one to "
            "be trained; expected the same."
        )
    return to_params(model.network)


def _draw_pieces(
    volumes: Sequence[Sequence[Source]], recipe: Recipe, seed: int, draw: int
) -> list[Volume]:
    """As many pieces from each group, in turn from its volumes."""
    generator = np.random.default_rng([seed, draw])
    pieces = []
    for group in volumes:
        for index in range(recipe.pieces_per_group):
            volume = group[index % len(group)]
            crop = volume.read(_random_box(volume.box, largest_crop(recipe.piece_shape), generator))
            pieces.append(augment(crop, recipe.piece_shape, recipe.augmentation, generator))
    return pieces


def _random_box(within: Box, shape: Triple, generator: np.random.Generator) -> Box:
    fitting = [min(n, size) for n, size in zip(shape, within.shape, strict=True)]
    z, y, x = (
        start + int(generator.integers(0, size - n + 1))
        for start, size, n in zip(within.start, within.shape, fitting, strict=True)
    )
    return Box.of_shape((fitting[0], fitting[1], fitting[2]), (z, y, x))
