"""Recipes of model training, and the random patches that a recipe draws from volumes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from jaxslice.codec.architecture import Architecture
from jaxslice.core.box import Box, Triple
from jaxslice.core.errors import UsageError
from jaxslice.core.types import Volume
from jaxslice.training.adaptive import Styles, prepare_styles
from jaxslice.training.augment import NOTHING, Augmentation, augment, largest_crop
from jaxslice.training.config import TrainingConfig
from jaxslice.volumes.source import Source


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Options for training a model on volumes. A style is defined in `training.adaptive`.

    Attributes:
      training: options of the optimisation.
      patch_shape: (z, y, x) of a patch, in voxels.
      styles_per_group: styles drawn from each group of volumes at a time, whatever its size.
      patches_per_style: patches in a style.
      mixed: fraction of styles whose patches are augmented independently of each other, because
        the properties of some volumes change along their slices.
      steps_per_draw: optimiser steps between two draws of patches; a checkpoint is written then.
      augmentation: probabilities of the changes of a patch.
    """

    training: TrainingConfig = dataclasses.field(default_factory=lambda: TrainingConfig(steps=8000))
    patch_shape: Triple = (12, 160, 160)
    styles_per_group: int = 12
    patches_per_style: int = 3
    mixed: float = 0.5
    steps_per_draw: int = 1000
    augmentation: Augmentation = dataclasses.field(default_factory=Augmentation)

    def __post_init__(self):
        """Raises UsageError if an option is out of range."""
        per_call = self.training.steps_per_call
        for name in ("styles_per_group", "patches_per_style", "steps_per_draw"):
            if getattr(self, name) < 1:
                raise UsageError(f"Got {name} {getattr(self, name)}, expected at least 1.")
        if not 0 <= self.mixed <= 1:
            raise UsageError(f"Got the share {self.mixed} of mixed styles, expected 0 to 1.")
        if self.training.steps < 1 or self.steps_per_draw % per_call:
            raise UsageError(
                f"Got {self.training.steps} steps in draws of {self.steps_per_draw}, expected at "
                f"least 1 in draws of a multiple of {per_call}."
            )


def recipe_of(steps: int | None, augmented: bool) -> Recipe:
    """The default recipe with a given number of steps, with or without augmentation."""
    recipe = Recipe()
    if steps is not None:
        training = dataclasses.replace(recipe.training, steps=steps)
        recipe = dataclasses.replace(recipe, training=training)
    return recipe if augmented else dataclasses.replace(recipe, augmentation=NOTHING)


def draw_styles(
    volumes: Sequence[Sequence[Source]],
    recipe: Recipe,
    seed: int,
    draw: int,
    architecture: Architecture,
) -> Styles:
    """Draws the same number of styles from each group, by turns from the group's volumes.

    Args:
      volumes: groups of volumes.
      recipe: options of training.
      seed: random seed.
      draw: number of the draw, from 0. The same seed and number give the same patches.
      architecture: architecture of the network.
    """
    styles = [
        _draw_style(
            group[index % len(group)], recipe, np.random.default_rng([seed, draw, g, index])
        )
        for g, group in enumerate(volumes)
        for index in range(recipe.styles_per_group)
    ]
    return prepare_styles(styles, architecture, recipe.patch_shape, seed)


def _draw_style(volume: Source, recipe: Recipe, generator: np.random.Generator) -> list[Volume]:
    """Patches of a volume with the same random augmentation, unless the style is mixed."""
    mixed = generator.random() < recipe.mixed
    seed = int(generator.integers(1 << 32))
    patches = []
    for index in range(recipe.patches_per_style):
        crop = volume.read(_random_box(volume.box, largest_crop(recipe.patch_shape), generator))
        alike = np.random.default_rng([seed, index if mixed else 0])
        patches.append(augment(crop, recipe.patch_shape, recipe.augmentation, alike))
    return patches


def _random_box(within: Box, shape: Triple, generator: np.random.Generator) -> Box:
    fitting = [min(n, size) for n, size in zip(shape, within.shape, strict=True)]
    z, y, x = (
        start + int(generator.integers(0, size - n + 1))
        for start, size, n in zip(within.start, within.shape, fitting, strict=True)
    )
    return Box.of_shape((fitting[0], fitting[1], fitting[2]), (z, y, x))
