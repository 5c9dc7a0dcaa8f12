"""Training: pure steps that lower the bits that the integer coder will spend.

A batch is a set of voxels drawn at random from the sampled blocks, each with its context; the loss
is the mean number of bits of `network.bits_of`. Everything is a function of its arguments: the same
seed, data and configuration give the same network on the same machine.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxslice import levels
from jaxslice.config import Architecture
from jaxslice.errors import UsageError
from jaxslice.integer import IntegerNetwork, quantise
from jaxslice.march import OUTSIDE
from jaxslice.network import CausalNetwork, bits_of
from jaxslice.types import Volume

Params = Any
"""Flax's tree of a `CausalNetwork`'s parameters."""


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """How to train one network.

    Attributes:
      steps: optimiser steps.
      batch_voxels: voxels of each step.
      learning_rate: of Adam at its peak; it rises over `warmup_steps` and then falls linearly to 0.
      warmup_steps: see above.
      gradient_norm: gradients longer than this are scaled down to it.
      steps_per_call: steps that run on the device between two reports.
    """

    steps: int = 4000
    batch_voxels: int = 8192
    learning_rate: float = 1e-2
    warmup_steps: int = 100
    gradient_norm: float = 1.0
    steps_per_call: int = 50


class TrainingSet(NamedTuple):
    """Blocks to train on.

    Attributes:
      symbols: int16 [block, z, y, x], each block with a border of OUTSIDE as wide as the context.
      limits: int32 [block, z], sizes of the slices' alphabets, 1 in the border.
      border: int32 [3], width of the border along z, y and x.
    """

    symbols: jax.Array
    limits: jax.Array
    border: jax.Array


class TrainingState(NamedTuple):
    """Parameters, optimiser state and steps done."""

    params: Params
    optimiser: optax.OptState
    step: jax.Array


def prepare(blocks: Sequence[Volume], architecture: Architecture) -> TrainingSet:
    """Turns blocks of at most one shape's size into a training set, smaller ones filled up.

    Raises:
      UsageError: there are no blocks.
    """
    if not blocks:
        raise UsageError("Got no blocks to train on, expected at least one.")
    reach = np.abs(np.array(architecture.context)).max(axis=0)
    shape = np.max([block.shape for block in blocks], axis=0)
    symbols = np.full((len(blocks), *(shape + 2 * reach)), OUTSIDE, np.int16)
    limits = np.ones((len(blocks), shape[0] + 2 * reach[0]), np.int32)
    for index, block in enumerate(blocks):
        tables = levels.choose(block)
        inside = tuple(slice(a, a + n) for a, n in zip(reach, block.shape, strict=True))
        symbols[(index, *inside)] = levels.symbols_of(block, tables)
        limits[index, inside[0]] = levels.sizes(tables)
    return TrainingSet(jnp.asarray(symbols), jnp.asarray(limits), jnp.asarray(reach, jnp.int32))


def sample(
    key: jax.Array, data: TrainingSet, architecture: Architecture, count: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Draws `count` voxels.

    Returns:
      Contexts float32 [c, n], symbols int32 [n] (OUTSIDE where the draw hit no voxel), limits
      int32 [n].
    """
    blocks, *shape = data.symbols.shape
    keys = jax.random.split(key, 4)
    block = jax.random.randint(keys[0], (count,), 0, blocks)
    z, y, x = (
        jax.random.randint(k, (count,), border, size - border)
        for k, size, border in zip(keys[1:], shape, data.border, strict=True)
    )
    place = ((block * shape[0] + z) * shape[1] + y) * shape[2] + x
    offsets = np.array(architecture.context)
    steps = (offsets[:, 0] * shape[1] + offsets[:, 1]) * shape[2] + offsets[:, 2]
    flat = data.symbols.reshape(-1)
    contexts = flat[place[None] + jnp.asarray(steps, jnp.int32)[:, None]]
    return contexts.astype(jnp.float32), flat[place].astype(jnp.int32), data.limits[block, z]


def loss_of(
    params: Params, architecture: Architecture, contexts: jax.Array, symbol: jax.Array, limit: Any
) -> jax.Array:
    """Mean bits per voxel over the draws that hit a voxel."""
    hit = (symbol != OUTSIDE).astype(jnp.float32)
    mixture = CausalNetwork(architecture).apply(params, contexts)
    bits = bits_of(mixture, jnp.maximum(symbol, 0), limit)  # type: ignore[arg-type]
    return jnp.sum(bits * hit) / jnp.maximum(jnp.sum(hit), 1.0)


def optimiser_of(config: TrainingConfig) -> optax.GradientTransformation:
    """Adam (Kingma & Ba 2015) with a warm-up, a linear decay and clipped gradients."""
    warmup = min(config.warmup_steps, max(config.steps // 10, 1))
    schedule = optax.join_schedules(
        [
            optax.linear_schedule(0.0, config.learning_rate, warmup),
            optax.linear_schedule(config.learning_rate, 0.0, max(config.steps - warmup, 1)),
        ],
        [warmup],
    )
    return optax.chain(optax.clip_by_global_norm(config.gradient_norm), optax.adam(schedule))


def initial_state(
    key: jax.Array, architecture: Architecture, config: TrainingConfig
) -> TrainingState:
    """A network with random weights, before its first step."""
    contexts = jnp.zeros((len(architecture.context), 1), jnp.float32)
    params = CausalNetwork(architecture).init(key, contexts)
    return TrainingState(params, optimiser_of(config).init(params), jnp.int32(0))


def train_step(
    state: TrainingState,
    key: jax.Array,
    data: TrainingSet,
    architecture: Architecture,
    config: TrainingConfig,
) -> tuple[TrainingState, jax.Array]:
    """One step on one batch: the new state, and the batch's bits per voxel."""
    batch = sample(jax.random.fold_in(key, state.step), data, architecture, config.batch_voxels)
    loss, gradient = jax.value_and_grad(loss_of)(state.params, architecture, *batch)
    updates, optimiser = optimiser_of(config).update(gradient, state.optimiser, state.params)
    params = optax.apply_updates(state.params, updates)
    return TrainingState(params, optimiser, state.step + 1), loss


@functools.partial(jax.jit, static_argnames=("architecture", "config"))
def _train_some(state, key, data, architecture, config):
    def step(state, _):
        return train_step(state, key, data, architecture, config)

    state, losses = jax.lax.scan(step, state, None, length=config.steps_per_call)
    return state, losses.mean()


def train_network(
    blocks: Sequence[Volume],
    architecture: Architecture,
    config: TrainingConfig,
    seed: int = 0,
    on_progress: Callable[[int, float], None] | None = None,
) -> IntegerNetwork:
    """Trains one network on blocks, from scratch.

    Args:
      blocks: uint8 [z, y, x], each at most as large as the largest along every axis.
      architecture: of the network.
      config: its `steps` are rounded up to whole calls.
      seed: of the initial weights and of the draws.
      on_progress: called after some steps with the steps done and the bits per voxel of late.

    Returns:
      The network in integers. Should training diverge, the last one before it did.
    """
    data = prepare(blocks, architecture)
    init_key, draw_key = jax.random.split(jax.random.key(seed))
    state = initial_state(init_key, architecture, config)
    for _ in range(-(-config.steps // config.steps_per_call)):
        following, loss = _train_some(state, draw_key, data, architecture, config)
        if not _finite(following.params):
            break
        state = following
        if on_progress:
            on_progress(int(state.step), float(loss))
    return to_integers(state.params, architecture)


def to_integers(params: Params, architecture: Architecture) -> IntegerNetwork:
    """The trained parameters as the coder's integers."""
    layers = range(len(architecture.layer_shapes))
    tree = params["params"]
    return quantise(
        [tree[f"kernel_{index}"] for index in layers], [tree[f"bias_{index}"] for index in layers]
    )


def _finite(params: Params) -> bool:
    return all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(params))
