"""Training a model on volumes: what `train` does, and how the shipped models came about."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import importlib.metadata
import os
import secrets
from collections.abc import Sequence

import jax
import numpy as np

from jaxslice.codec.architecture import Architecture
from jaxslice.core.errors import UsageError
from jaxslice.core.progress import Progress, no_progress
from jaxslice.core.whole_numbers import whole
from jaxslice.jobs.recipe import Recipe, draw_styles, recipe_of
from jaxslice.models import model_file
from jaxslice.models.adaptation import Adaptation
from jaxslice.models.model_file import ModelFile
from jaxslice.models.presets import FULL, PRESETS
from jaxslice.storage.location import public_name
from jaxslice.training.adaptive import AdaptiveParams, Styles, train_some, typical
from jaxslice.training.checkpoint import Checkpoints
from jaxslice.training.closed_form import no_adaptation
from jaxslice.training.parameters import Params, to_integers, to_params
from jaxslice.training.precondition import basis_of, from_coordinates, to_coordinates
from jaxslice.training.train import TrainingState, initial_state, random_params, run_steps
from jaxslice.volumes.source import Source, open_source


def make_model(
    groups: Sequence[Sequence[str]],
    output: str,
    architecture: Architecture = FULL,
    recipe: Recipe = Recipe(),  # noqa: B008 - frozen
    seed: int = 0,
    *,
    start: str | None = None,
    checkpoint_dir: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ModelFile:
    """Trains a network on volumes and writes it as a model that `compress` takes.

    Args:
      groups: volumes, as `open_source` reads them; those of one group are of one data set.
      output: the model's file. Should another file appear there during the training, the model is
        written beside it; its name says where.
      architecture: of the network.
      recipe: how to train it.
      seed: of weights and draws. Same seed, volumes and recipe, same machine: same bytes.
      start: name or path of a model of the architecture to begin with.
      checkpoint_dir: folder to keep states in. If it holds some of this very training, that goes
        on from there, to the bytes that it would have come to without the interruption.
      overwrite: whether a file at `output` may be replaced.
      progress: called now and then.

    Returns:
      The model that was written.

    Raises:
      UsageError: a volume, model or folder that cannot be used, or an output that exists or
        cannot be written.
      SourceDataError: voxels that cannot be read.
      MissingExtraError: checkpoints are requested and Orbax is not installed.
    """
    if not groups or not all(groups):
        raise UsageError("Got no volumes to train on, expected at least one.")
    seed = whole(seed, "seed")
    model_file.check_savable(output, overwrite=overwrite)
    volumes = [[_opened(name) for name in group] for group in groups]
    init_key, draw_key = jax.random.split(jax.random.key(seed))
    params = _start(start, architecture) if start else _random(init_key, architecture)
    provenance = {
        "software": f"jaxslice {importlib.metadata.version('jaxslice')}, jax {jax.__version__}",
        "sources": [
            [public_name(volume.description).rpartition("/")[2] for volume in group]
            for group in volumes
        ],
        "shapes": [[list(volume.shape) for volume in group] for group in volumes],
        "recipe": dataclasses.asdict(recipe),
        "start": public_name(start) if start else start,
        "seed": seed,
    }
    training = _Training(volumes, architecture, recipe, seed, draw_key)
    with contextlib.ExitStack() as stack:
        checkpoints = None
        if checkpoint_dir:
            # Hashed, because a URL may hold a secret and the states lie about for long.
            places = [[_hashed(volume.description) for volume in group] for group in volumes]
            identity = {**provenance, "sources": places, "architecture": architecture.to_json()}
            checkpoints = Checkpoints(checkpoint_dir, identity)
            stack.callback(checkpoints.close)
        state, diverged = training.run(params, checkpoints, progress or no_progress)
    provenance["diverged_after_steps"] = int(state.step) if diverged else None
    network, adaptation = training.result(state)
    if os.path.lexists(output) and not overwrite:
        output = f"{output}.{secrets.token_hex(4)}"
    model = ModelFile(
        output, architecture, to_integers(network, architecture), provenance,
        adaptation if adaptation.maps else None,
    )  # fmt: skip
    model_file.save(output, model, overwrite=overwrite)
    return model


def train(
    sources: Sequence[str],
    output: str,
    *,
    architecture: str = "default",
    steps: int | None = None,
    augment: bool = True,
    seed: int = 0,
    init: str | None = None,
    checkpoint_dir: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ModelFile:
    """Trains a model on volumes, for `CompressOptions.model`.

    Args:
      sources: volumes of uint8 [z, y, x], as `compress` reads them; each counts as much as any
        other, whatever its size.
      output: the file to write the model to.
      architecture: "default", "medium", "large" or "slices".
      steps: optimiser steps; the recipe's own number if None.
      augment: whether patches are changed as other microscopes would have changed them.
      seed: of weights and draws.
      init: name or path of a model of the same architecture to begin with.
      checkpoint_dir: folder for states, from which an interrupted training goes on.
      overwrite: whether a file at `output` may be replaced.
      progress: called now and then with (part of the work, done, total).

    Returns:
      The model that was written.

    Raises:
      UsageError: a volume, model, architecture or folder that cannot be used, or an output that
        exists or cannot be written.
      SourceDataError: voxels that cannot be read.
      MissingExtraError: checkpoints are requested and Orbax is not installed.

    >>> import jaxslice
    >>> model = jaxslice.train(["volume.npy"], "model.json", architecture="slices", steps=50)
    >>> jaxslice.load_model("model.json").fingerprint == model.fingerprint
    True
    """
    if architecture not in PRESETS:
        raise UsageError(
            f"Got the architecture {architecture!r}, expected one of {', '.join(PRESETS)}."
        )
    return make_model(
        [[source] for source in sources], output, PRESETS[architecture].architecture,
        recipe_of(steps, augment), seed,
        start=init, checkpoint_dir=checkpoint_dir, overwrite=overwrite, progress=progress,
    )  # fmt: skip


def _opened(name: str) -> Source:
    """A volume to train on."""
    volume = open_source(name)
    if volume.dtype != np.uint8:
        raise UsageError(
            f"Got {name!r} of {volume.dtype}, expected uint8: a model that was trained on 8 bits "
            "is what volumes of 16 bits are compressed with, too."
        )
    return volume


class _Training:
    """The course of one training.

    What the first draw says of the volumes is kept throughout, also over interruptions.
    """

    def __init__(
        self,
        volumes: Sequence[Sequence[Source]],
        architecture: Architecture,
        recipe: Recipe,
        seed: int,
        draw_key: jax.Array,
    ) -> None:
        self._volumes, self._architecture, self._recipe = volumes, architecture, recipe
        self._seed, self._draw_key = seed, draw_key
        self._drawn, self._styles = 0, self._draw(0)
        self._sums = self._styles.sums
        self._basis = basis_of(self._sums)

    def _draw(self, number: int) -> Styles:
        return draw_styles(self._volumes, self._recipe, self._seed, number, self._architecture)

    def run(
        self, params: AdaptiveParams, checkpoints: Checkpoints | None, progress: Progress
    ) -> tuple[TrainingState, bool]:
        """Trains from `params` or the last checkpoint: the state, and whether it diverged."""
        config, per_draw = self._recipe.training, self._recipe.steps_per_draw
        coordinates = params._replace(network=to_coordinates(params.network, self._basis))
        state = initial_state(coordinates, config)
        if checkpoints:
            state = checkpoints.restore(state)

        def report(step: int, bits: float) -> None:
            done = min(step, config.steps)
            progress(f"train ({bits:.3f} bits per voxel)", done, config.steps)

        finite = True
        while finite and int(state.step) < config.steps:
            number = int(state.step) // per_draw
            if number != self._drawn:
                self._drawn, self._styles = number, self._draw(number)
            advance = functools.partial(
                train_some, key=self._draw_key, styles=self._styles, basis=self._basis,
                architecture=self._architecture, config=config,
            )  # fmt: skip
            until = min((number + 1) * per_draw, config.steps)
            state, finite = run_steps(state, advance, until, report)
            if checkpoints and finite:
                checkpoints.save(state)
        return state, not finite

    def result(self, state: TrainingState) -> tuple[Params, Adaptation]:
        """The network of a state for typical volumes, and how it follows others."""
        network = from_coordinates(state.params.network, self._basis)
        return typical(state.params._replace(network=network), self._sums, self._architecture)


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _random(key: jax.Array, architecture: Architecture) -> AdaptiveParams:
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
