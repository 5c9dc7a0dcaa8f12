"""Training: pure steps that lower the bits that the integer coder will spend.

The loss of a batch of voxels is the mean number of bits of `network.bits_of`. Everything is a
function of its arguments: the same seed, data and configuration give the same network on the same
machine.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxslice.codec.architecture import Architecture
from jaxslice.codec.march import OUTSIDE
from jaxslice.codec.network import IntegerNetwork
from jaxslice.training.config import TrainingConfig
from jaxslice.training.float_network import CausalNetwork, bits_of
from jaxslice.training.moments import moments
from jaxslice.training.parameters import Params, to_integers, to_params
from jaxslice.training.precondition import basis_of, into, out_of
from jaxslice.training.training_set import TrainingSet, sample

BASIS_VOXELS = 1 << 16
"""Drawn to find the coordinates to train in."""


class TrainingState(NamedTuple):
    """Where training began, parameters, optimiser state and steps done."""

    origin: Params
    params: Params
    optimiser: optax.OptState
    step: jax.Array


def loss_of(
    params: Params, architecture: Architecture, contexts: jax.Array, symbol: jax.Array, limit: Any
) -> jax.Array:
    """Mean bits per voxel over the draws that hit a voxel."""
    hit = (symbol != OUTSIDE).astype(jnp.float32)
    mixture = CausalNetwork(architecture).apply(params, contexts)
    bits = bits_of(mixture, jnp.maximum(symbol, 0), limit)  # type: ignore[arg-type]
    return jnp.sum(bits * hit) / jnp.maximum(jnp.sum(hit), 1.0)


def optimiser_of(config: TrainingConfig) -> optax.GradientTransformation:
    """Directions of Adam (Kingma & Ba 2015) from clipped gradients."""
    return optax.chain(optax.clip_by_global_norm(config.gradient_norm), optax.scale_by_adam())


def learning_rate_at(step: jax.Array, config: TrainingConfig) -> jax.Array:
    """A linear warm-up, then half a cosine down to 0."""
    warmup = min(config.warmup_steps, max(config.steps // 10, 1))
    decay = optax.cosine_decay_schedule(config.learning_rate, max(config.steps - warmup, 1))
    rise = optax.linear_schedule(0.0, config.learning_rate, warmup)
    return jnp.asarray(optax.join_schedules([rise, decay], [warmup])(step))


def random_params(key: jax.Array, architecture: Architecture) -> Params:
    """Parameters of a network that has not been trained."""
    contexts = jnp.zeros((len(architecture.context), 1), jnp.float32)
    return CausalNetwork(architecture).init(key, contexts)


def initial_state(params: Params, config: TrainingConfig) -> TrainingState:
    """The state before the first step."""
    return TrainingState(params, params, optimiser_of(config).init(params), jnp.int32(0))


def train_step(
    state: TrainingState,
    key: jax.Array,
    data: TrainingSet,
    architecture: Architecture,
    config: TrainingConfig,
    basis: jax.Array | None = None,
) -> tuple[TrainingState, jax.Array]:
    """One step on one batch: the new state, and the batch's bits per voxel.

    With a basis the state's parameters are coordinates; see `precondition`.
    """
    batch = sample(jax.random.fold_in(key, state.step), data, architecture, config.batch_voxels)

    def loss(params: Params) -> jax.Array:
        return loss_of(out_of(params, basis), architecture, *batch)

    return descend(state, loss, config)


def descend(
    state: TrainingState, loss: Callable[[Params], jax.Array], config: TrainingConfig
) -> tuple[TrainingState, jax.Array]:
    """One step of the optimiser: the new state, and what the loss was before it."""
    before, gradient = jax.value_and_grad(loss)(state.params)
    with jax.numpy_dtype_promotion("standard"):  # Optax mixes integers and floats.
        direction, optimiser = optimiser_of(config).update(gradient, state.optimiser, state.params)
        rate = learning_rate_at(state.step, config)
    params = jax.tree.map(lambda value, by: value - rate * by, state.params, direction)
    if config.penalty:
        params = _pulled_back(params, state.origin, optimiser, rate, state.step, config)
    return TrainingState(state.origin, params, optimiser, state.step + 1), before


def _pulled_back(
    params: Params,
    origin: Params,
    optimiser: optax.OptState,
    rate: jax.Array,
    step: jax.Array,
    config: TrainingConfig,
) -> Params:
    """The proximal step of an L1 penalty on the way from `origin`, scaled as Adam scales gradients.

    Without it most parameters wander, at a cost of 3 bits each and for no gain (Parikh & Boyd 2014,
    section 6.5.2, soft thresholding).
    """
    squares = optax.tree_utils.tree_get(optimiser, "nu")
    correction = 1 - 0.999 ** (step.astype(jnp.float32) + 1)

    def shrink(value, start, square):
        threshold = config.penalty * rate / (jnp.sqrt(square / correction) + 1e-8)
        threshold = jnp.minimum(threshold, rate)
        way = value - start
        return start + jnp.sign(way) * jnp.maximum(jnp.abs(way) - threshold, 0.0)

    return jax.tree.map(shrink, params, origin, squares)


@functools.partial(jax.jit, static_argnames=("architecture", "config"))
def _train_some(state, key, data, basis, architecture, config):
    def step(state, _):
        return train_step(state, key, data, architecture, config, basis)

    state, losses = jax.lax.scan(step, state, None, length=config.steps_per_call)
    return state, losses.mean()


def run_steps(
    state: TrainingState,
    advance: Callable[[TrainingState], tuple[TrainingState, jax.Array]],
    until: int,
    on_progress: Callable[[int, float], None] | None = None,
) -> tuple[TrainingState, bool]:
    """Trains on until a number of steps is reached.

    Args:
      state: to go on from.
      advance: some steps: the new state, and the mean bits per voxel.
      until: steps in all, rounded up to whole calls.
      on_progress: called after some steps with the steps done and the bits per voxel of late.

    Returns:
      The state, and whether all steps were done. If training diverges, the last state before it
      did, and False.
    """
    while int(state.step) < until:
        following, loss = advance(state)
        if not is_finite(following.params):
            return state, False
        state = following
        if on_progress:
            on_progress(int(state.step), float(loss))
    return state, True


def train_network(
    data: TrainingSet,
    architecture: Architecture,
    config: TrainingConfig,
    seed: int = 0,
    on_progress: Callable[[int, float], None] | None = None,
    *,
    start: IntegerNetwork | None = None,
) -> IntegerNetwork:
    """Trains one network.

    Args:
      data: as `prepare` makes it.
      architecture: of the network.
      config: its `steps` are rounded up to whole calls.
      seed: of the initial weights and of the draws.
      on_progress: called after some steps with the steps done and the bits per voxel of late.
      start: the network to begin with; one of random weights if not given.

    Returns:
      The network in integers. Should training diverge, the last one before it did.
    """
    init_key, draw_key = jax.random.split(jax.random.key(seed))
    params = random_params(init_key, architecture) if start is None else to_params(start)
    params = train_params(params, draw_key, data, architecture, config, on_progress)
    return to_integers(params, architecture)


def train_params(
    params: Params,
    key: jax.Array,
    data: TrainingSet,
    architecture: Architecture,
    config: TrainingConfig,
    on_progress: Callable[[int, float], None] | None = None,
) -> Params:
    """The parameters that `train_network` comes to from `params`, before they are rounded."""
    data = jax.device_put(data)
    basis = basis_of(np.asarray(moments(data, key, architecture, BASIS_VOXELS)))

    def advance(state: TrainingState) -> tuple[TrainingState, jax.Array]:
        return _train_some(state, key, data, basis, architecture, config)

    state = initial_state(into(params, basis), config)
    state, _ = run_steps(state, advance, config.steps, on_progress)
    return out_of(state.params, basis)


def is_finite(params: Params) -> bool:
    """Whether no parameter is infinite or not a number."""
    return all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(params))
