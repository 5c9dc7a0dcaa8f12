"""Training a network that adapts: every step sees a few styles, each with its own linear fit.

A style is some patches of one volume, changed alike. For each the coefficients that `adaptation`
would find there are put in place, as they will be when a volume is compressed.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxslice.codec.architecture import Architecture
from jaxslice.core.box import Triple
from jaxslice.core.types import Volume
from jaxslice.models.adaptation import Adaptation
from jaxslice.training.closed_form import LinearFit, adapted, linear_fit, no_adaptation
from jaxslice.training.config import TrainingConfig
from jaxslice.training.moments import moments
from jaxslice.training.parameters import Params
from jaxslice.training.precondition import out_of
from jaxslice.training.train import TrainingState, descend, loss_of
from jaxslice.training.training_set import TrainingSet, prepare, row_length, sample

STYLES_PER_STEP = 64
"""How many a step's voxels are of: as many voxels of each."""

FITTED_VOXELS = 1 << 15
"""Drawn from each style for its fit."""


class Styles(NamedTuple):
    """Patches to train on.

    Attributes:
      data: all patches, those of a style next to each other, as many of each.
      fits: of each style, stacked.
      sums: `moments` of all styles together.
    """

    data: TrainingSet
    fits: LinearFit
    sums: np.ndarray


class AdaptiveParams(NamedTuple):
    """What is trained: a network's parameters and the maps of its adaptation."""

    network: Params
    maps: tuple[jax.Array, ...]

    @classmethod
    def of(cls, params: Params, adaptation: Adaptation) -> AdaptiveParams:
        """Those for which traits of 0 give the same biases as the adaptation's center did."""
        tree = dict(params["params"])
        for index, mapping in enumerate(adaptation.maps):
            name = f"bias_{index}"
            tree[name] = tree[name] - mapping @ adaptation.center
        return cls({"params": tree}, tuple(map(jnp.asarray, adaptation.maps)))


def prepare_styles(
    styles: Sequence[Sequence[Volume]], architecture: Architecture, shape: Triple, seed: int
) -> Styles:
    """Turns patches into what is trained on, on the host.

    Args:
      styles: the patches of each, as many of each.
      architecture: of the network.
      shape: no patch is larger.
      seed: of the draws for the fits.
    """
    side = max(shape[1:])  # Patches may have been turned.
    patches = [patch for style in styles for patch in style]
    data = jax.device_put(prepare(patches, architecture, shape=(shape[0], side, side)))
    key = jax.random.key(seed)
    count = len(styles[0])
    sums = np.stack([
        moments(
            jax.tree.map(lambda part, i=index: part[i * count : (i + 1) * count], data),
            jax.random.fold_in(key, index), architecture, FITTED_VOXELS,
        )
        for index in range(len(styles))
    ])  # fmt: skip
    fits = [linear_fit(style, architecture) for style in sums]
    stacked = jax.tree.map(lambda *parts: jnp.stack(parts), *fits)
    return Styles(data, stacked, sums.sum(axis=0, dtype=np.float64))


def typical(
    params: AdaptiveParams, sums: np.ndarray, architecture: Architecture
) -> tuple[Params, Adaptation]:
    """Parameters for what `sums` describe, and the adaptation that has its traits as center."""
    start = no_adaptation(architecture)._replace(maps=params.maps)
    fit = linear_fit(sums, architecture)
    return adapted(params.network, start, fit), start._replace(center=fit.traits)


@functools.partial(jax.jit, static_argnames=("architecture", "config"))
def train_some(
    state: TrainingState,
    key: jax.Array,
    styles: Styles,
    basis: jax.Array,
    architecture: Architecture,
    config: TrainingConfig,
) -> tuple[TrainingState, jax.Array]:
    """`config.steps_per_call` steps: the new state, and the mean bits per voxel.

    The state's parameters are `AdaptiveParams`, the network's in coordinates of `basis`.
    """
    num_styles = styles.fits.weights.shape[0]
    patches = len(styles.data.extents) // num_styles
    center = no_adaptation(architecture).center
    length = row_length(styles.data, architecture)
    rows = max(config.batch_voxels // (STYLES_PER_STEP * length), 1)

    def step(state: TrainingState, _):
        keys = jax.random.split(jax.random.fold_in(key, state.step), 3)
        chosen = jax.random.randint(keys[0], (STYLES_PER_STEP,), 0, num_styles)
        patch = jax.random.randint(keys[1], (STYLES_PER_STEP, rows), 0, patches)
        of = (chosen[:, None] * patches + patch).reshape(-1)
        count = len(of) * length
        contexts, symbol, limit = sample(keys[2], styles.data, architecture, count, of)
        by_style = lambda part: part.reshape(*part.shape[:-1], STYLES_PER_STEP, -1)
        contexts = by_style(contexts).transpose(1, 0, 2)
        fits = jax.tree.map(lambda part: part[chosen], styles.fits)

        def loss(params: AdaptiveParams) -> jax.Array:
            shared = out_of(params.network, basis)

            def bits(fit, *batch):
                network = adapted(shared, Adaptation(center, params.maps), fit)
                return loss_of(network, architecture, *batch)

            return jax.vmap(bits)(fits, contexts, by_style(symbol), by_style(limit)).mean()

        return descend(state, loss, config)

    state, losses = jax.lax.scan(step, state, None, length=config.steps_per_call)
    return state, losses.mean()
