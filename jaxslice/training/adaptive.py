"""Training of a network together with the maps that adapt it to volumes.

A style is a set of patches from one volume to which the same augmentation was applied. It stands
for a volume: the linear predictor of its voxels is fitted as `closed_form` does for a volume, and
the network is adapted by it in every training step, as it will be when a volume is compressed.
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
from jaxslice.training.precondition import from_coordinates
from jaxslice.training.train import TrainingState, descend, loss_of
from jaxslice.training.training_set import TrainingSet, prepare, row_length, sample

STYLES_PER_STEP = 64
"""Styles in the batch of one step, with the same number of voxels of each."""

FITTED_VOXELS = 1 << 15
"""Voxels sampled from each style to fit its linear predictor."""


class Styles(NamedTuple):
    """Several styles to train on.

    Attributes:
      data: the patches of all styles, ordered by style, with the same number for each.
      fits: the linear predictor of each style, with a leading axis [style].
      sums: float64 [c + 4, c + 4], the sum of the `moments` of all styles.
    """

    data: TrainingSet
    fits: LinearFit
    sums: np.ndarray


class AdaptiveParams(NamedTuple):
    """The trainable values: the network's parameters and the maps of its adaptation."""

    network: Params
    maps: tuple[jax.Array, ...]

    @classmethod
    def of(cls, params: Params, adaptation: Adaptation) -> AdaptiveParams:
        """Converts to an adaptation whose center is 0 by changing the network's biases."""
        tree = dict(params["params"])
        for index, mapping in enumerate(adaptation.maps):
            name = f"bias_{index}"
            tree[name] = tree[name] - mapping @ adaptation.center
        return cls({"params": tree}, tuple(map(jnp.asarray, adaptation.maps)))


def prepare_styles(
    styles: Sequence[Sequence[Volume]], architecture: Architecture, shape: Triple, seed: int
) -> Styles:
    """Builds the training set of several styles, and fits the linear predictor of each.

    Args:
      styles: for each style its patches, uint8 [z, y, x]; the same number for each style.
      architecture: architecture of the network.
      shape: largest size (z, y, x) of a patch, before y and x may be swapped.
      seed: random seed of the voxels to fit.
    """
    side = max(shape[1:])  # Augmentation may swap y and x.
    patches = [patch for style in styles for patch in style]
    data = prepare(patches, architecture, shape=(shape[0], side, side))
    count = len(styles[0])
    parts = [slice(first, first + count) for first in range(0, len(patches), count)]
    sums = np.stack([
        moments(
            TrainingSet(*(array[part] for array in data)), [seed, index], architecture,
            FITTED_VOXELS,
        )
        for index, part in enumerate(parts)
    ])  # fmt: skip
    fits = [linear_fit(style, architecture) for style in sums]
    stacked = jax.tree.map(lambda *parts: jnp.stack(parts), *fits)
    return Styles(jax.device_put(data), stacked, sums.sum(axis=0))


def typical(
    params: AdaptiveParams, sums: np.ndarray, architecture: Architecture
) -> tuple[Params, Adaptation]:
    """The network for typical volumes, and its adaptation.

    Args:
      params: trained values.
      sums: [c + 4, c + 4], second moments of typical volumes, from `moments.moments`.
      architecture: architecture of the network.

    Returns:
      The parameters adapted to `sums`, and the adaptation whose center is the traits of `sums`.
    """
    start = no_adaptation(architecture)._replace(maps=params.maps)
    fit = linear_fit(sums, architecture)
    return adapted(params.network, start, fit, jnp), start._replace(center=fit.traits)


@functools.partial(jax.jit, static_argnames=("architecture", "config"))
def train_some(
    state: TrainingState,
    key: jax.Array,
    styles: Styles,
    basis: jax.Array,
    architecture: Architecture,
    config: TrainingConfig,
) -> tuple[TrainingState, jax.Array]:
    """Runs `config.steps_per_call` training steps.

    Args:
      state: training state whose parameters are `AdaptiveParams`, with the network's parameters in
        coordinates of `basis`.
      key: random key of the samples; the step number is folded into it.
      styles: styles to train on.
      basis: float32 [c + 2, c + 2], from `precondition.basis_of`.
      architecture: architecture of the network (static).
      config: options of training (static).

    Returns:
      The new state, and the mean of the steps' losses in bits per voxel.
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
        row_blocks = (chosen[:, None] * patches + patch).reshape(-1)
        count = len(row_blocks) * length
        contexts, symbol, limit = sample(keys[2], styles.data, architecture, count, row_blocks)
        by_style = lambda part: part.reshape(*part.shape[:-1], STYLES_PER_STEP, -1)
        contexts = by_style(contexts).transpose(1, 0, 2)
        fits = jax.tree.map(lambda part: part[chosen], styles.fits)

        def loss(params: AdaptiveParams) -> jax.Array:
            shared = from_coordinates(params.network, basis)

            def bits(fit, *batch):
                network = adapted(shared, Adaptation(center, params.maps), fit, jnp)
                return loss_of(network, architecture, *batch)

            return jax.vmap(bits)(fits, contexts, by_style(symbol), by_style(limit)).mean()

        return descend(state, loss, config)

    state, losses = jax.lax.scan(step, state, None, length=config.steps_per_call)
    return state, losses.mean()
