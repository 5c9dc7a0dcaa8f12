"""Models made from volumes: what `train` does, and how the shipped ones came about."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib.metadata
from collections.abc import Sequence

import jax
import numpy as np

from jaxslice.codec.architecture import Architecture
from jaxslice.core.box import Box, Triple
from jaxslice.core.errors import UsageError
from jaxslice.core.progress import Progress
from jaxslice.core.types import Volume
from jaxslice.models import model_file
from jaxslice.models.model_file import ModelFile
from jaxslice.models.presets import FULL, LARGE, MEDIUM, SLICES
from jaxslice.storage.location import public_name
from jaxslice.training.adaptive import AdaptiveParams, Styles, prepare_styles, train_some, typical
from jaxslice.training.augment import NOTHING, Augmentation, augment, largest_crop
from jaxslice.training.checkpoint import Checkpoints
from jaxslice.training.closed_form import no_adaptation
from jaxslice.training.parameters import to_integers, to_params
from jaxslice.training.precondition import basis_of, into, out_of
from jaxslice.training.train import TrainingConfig, initial_state, random_params, run_steps
from jaxslice.volumes.source import Source, open_source

ARCHITECTURES = {"default": FULL, "medium": MEDIUM, "large": LARGE, "slices": SLICES}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a model is made from volumes.

    Attributes:
      training: of the network.
      piece_shape: z, y, x of the pieces that volumes are cut into.
      styles_per_group: drawn from each group of volumes at a time, whatever their size.
      pieces_per_style: pieces of one volume that are changed alike; see `styles`.
      mixed: share of the styles whose pieces are not changed alike, as not all volumes are even.
      steps_per_draw: optimiser steps before pieces are drawn anew, and a checkpoint is written.
      augmentation: how pieces are changed.
    """

    training: TrainingConfig = dataclasses.field(default_factory=lambda: TrainingConfig(steps=8000))
    piece_shape: Triple = (12, 160, 160)
    styles_per_group: int = 12
    pieces_per_style: int = 3
    mixed: float = 0.5
    steps_per_draw: int = 1000
    augmentation: Augmentation = dataclasses.field(default_factory=Augmentation)

    def __post_init__(self):
        """Refuses what cannot be done (UsageError)."""
        per_call = self.training.steps_per_call
        for name in ("styles_per_group", "pieces_per_style", "steps_per_draw"):
            if getattr(self, name) < 1:
                raise UsageError(f"Got {name} {getattr(self, name)}, expected at least 1.")
        if not 0 <= self.mixed <= 1:
            raise UsageError(f"Got the share {self.mixed} of mixed styles, expected 0 to 1.")
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
    params = _start(start, architecture) if start else _blank(init_key, architecture)
    config = recipe.training
    provenance = {
        "software": f"jaxslice {importlib.metadata.version('jaxslice')}, jax {jax.__version__}",
        "sources": [[public_name(name).rpartition("/")[2] for name in group] for group in groups],
        "shapes": [[list(volume.shape) for volume in group] for group in volumes],
        "recipe": dataclasses.asdict(recipe),
        "start": public_name(start) if start else start,
        "seed": seed,
    }
    # What the first draw says of the volumes is kept throughout, also over interruptions.
    drawn, styles = 0, _draw_styles(volumes, recipe, seed, 0, architecture)
    sums = styles.sums
    basis = basis_of(sums)
    state = initial_state(params._replace(network=into(params.network, basis)), config)
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
            if draw != drawn:
                drawn, styles = draw, _draw_styles(volumes, recipe, seed, draw, architecture)
            advance = functools.partial(
                train_some, key=draw_key, styles=styles, basis=basis,
                architecture=architecture, config=config,
            )  # fmt: skip
            state, going = run_steps(
                state, advance, min((draw + 1) * recipe.steps_per_draw, config.steps),
                lambda step, bits: tell(f"train ({bits:.3f} bits per voxel)", step, config.steps),
            )  # fmt: skip
            if checkpoints and going:
                checkpoints.save(state)
    provenance["diverged_after_steps"] = None if going else int(state.step)
    network = out_of(state.params.network, basis)
    trained, adaptation = typical(state.params._replace(network=network), sums, architecture)
    made = ModelFile(
        output, architecture, to_integers(trained, architecture), provenance,
        adaptation if adaptation.maps else None,
    )  # fmt: skip
    model_file.save(output, made)
    return made


def recipe_of(steps: int | None, augmented: bool) -> Recipe:
    """The recipe of `train`, with another number of steps or without augmentation."""
    recipe = Recipe()
    if steps is not None:
        training = dataclasses.replace(recipe.training, steps=steps)
        recipe = dataclasses.replace(recipe, training=training)
    return recipe if augmented else dataclasses.replace(recipe, augmentation=NOTHING)


def _blank(key: jax.Array, architecture: Architecture) -> AdaptiveParams:
    return AdaptiveParams.of(random_params(key, architecture), no_adaptation(architecture))


def _start(name: str, architecture: Architecture) -> AdaptiveParams:
    model = model_file.load(name)
    if model.architecture != architecture:
        raise UsageError(
            f"Got the model {name!r} to start from, whose architecture is another than the one to "
            "be trained; expected the same."
        )
    adaptation = model.adaptation or no_adaptation(architecture)
    return AdaptiveParams.of(to_params(model.network), adaptation)


def _draw_styles(
    volumes: Sequence[Sequence[Source]],
    recipe: Recipe,
    seed: int,
    draw: int,
    architecture: Architecture,
) -> Styles:
    """As many styles from each group, in turn from its volumes."""
    styles = [
        _draw_style(
            group[index % len(group)], recipe, np.random.default_rng([seed, draw, g, index])
        )
        for g, group in enumerate(volumes)
        for index in range(recipe.styles_per_group)
    ]
    return prepare_styles(styles, architecture, recipe.piece_shape, seed)


def _draw_style(volume: Source, recipe: Recipe, generator: np.random.Generator) -> list[Volume]:
    """Pieces of a volume, changed alike unless the style is mixed."""
    mixed = generator.random() < recipe.mixed
    seed = int(generator.integers(1 << 32))
    pieces = []
    for index in range(recipe.pieces_per_style):
        crop = volume.read(_random_box(volume.box, largest_crop(recipe.piece_shape), generator))
        alike = np.random.default_rng([seed, index if mixed else 0])
        pieces.append(augment(crop, recipe.piece_shape, recipe.augmentation, alike))
    return pieces


def _random_box(within: Box, shape: Triple, generator: np.random.Generator) -> Box:
    fitting = [min(n, size) for n, size in zip(shape, within.shape, strict=True)]
    z, y, x = (
        start + int(generator.integers(0, size - n + 1))
        for start, size, n in zip(within.start, within.shape, fitting, strict=True)
    )
    return Box.of_shape((fitting[0], fitting[1], fitting[2]), (z, y, x))
