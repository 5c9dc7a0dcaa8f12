"""Training of float networks as pure functions.

The loss of a batch is the mean of `float_network.bits_of`: the bits per voxel that the integer
coder spends. The same seed, data and options give the same network on the same machine.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxslice.codec.architecture import Architecture
from jaxslice.codec.march import OUTSIDE
from jaxslice.codec.network import IntegerNetwork
from jaxslice.core.errors import TrainingWarning
from jaxslice.training.config import TrainingConfig
from jaxslice.training.float_network import CausalNetwork, bits_of
from jaxslice.training.moments import moments
from jaxslice.training.parameters import Params, to_integers, to_params
from jaxslice.training.precondition import basis_of, from_coordinates, to_coordinates
from jaxslice.training.training_set import TrainingSet, sample

BASIS_VOXELS = 1 << 16
"""Voxels sampled to compute the basis of `precondition`."""


class TrainingState(NamedTuple):
    """The state of a training.

    Attributes:
      origin: initial parameters, from which `TrainingConfig.penalty` measures distances.
      params: current parameters.
      optimiser: state of `optimiser_of`.
      step: int32 scalar, number of steps done.
    """

    origin: Params
    params: Params
    optimiser: optax.OptState
    step: jax.Array


def loss_of(
    params: Params, architecture: Architecture, contexts: jax.Array, symbol: jax.Array, limit: Any
) -> jax.Array:
    """Mean bits per voxel of a batch from `training_set.sample`, without symbols OUTSIDE."""
    hit = (symbol != OUTSIDE).astype(jnp.float32)
    mixture = CausalNetwork(architecture).apply(params, contexts, limit)
    bits = bits_of(mixture, jnp.maximum(symbol, 0), limit)  # type: ignore[arg-type]
    return jnp.sum(bits * hit) / jnp.maximum(jnp.sum(hit), 1.0)


def optimiser_of(config: TrainingConfig) -> optax.GradientTransformation:
    """Gradient clipping, then Adam (Kingma & Ba 2015) without a learning rate."""
    return optax.chain(optax.clip_by_global_norm(config.gradient_norm), optax.scale_by_adam())


def learning_rate_at(
    step: jax.Array, config: TrainingConfig, steps: jax.Array | None = None
) -> jax.Array:
    """Learning rate of a step: a linear warm-up from 0, then half a cosine down to 0.

    Args:
      step: int32 scalar, number of steps done.
      config: options of training.
      steps: number of steps in all, if not that of `config`.

    Returns:
      float32 scalar.
    """
    total = jnp.asarray(config.steps if steps is None else steps, jnp.int32)
    warmup = jnp.minimum(config.warmup_steps, jnp.maximum(total // 10, 1)).astype(jnp.float32)
    end = jnp.maximum(total.astype(jnp.float32), warmup + 1)
    done = step.astype(jnp.float32)
    fallen = jnp.clip((done - warmup) / (end - warmup), 0, 1)
    return config.learning_rate * jnp.where(
        done < warmup, done / warmup, 0.5 * (1 + jnp.cos(jnp.pi * fallen))
    )


def random_params(key: jax.Array, architecture: Architecture) -> Params:
    """Random initial parameters of a network."""
    contexts = jnp.zeros((len(architecture.context), 1), jnp.float32)
    return CausalNetwork(architecture).init(key, contexts, jnp.full(1, 256, jnp.int32))


def initial_state(params: Params, config: TrainingConfig) -> TrainingState:
    """The training state before the first step."""
    return TrainingState(params, params, optimiser_of(config).init(params), jnp.int32(0))


def train_step(
    state: TrainingState,
    key: jax.Array,
    data: TrainingSet,
    architecture: Architecture,
    config: TrainingConfig,
    basis: jax.Array | None = None,
    steps: jax.Array | None = None,
) -> tuple[TrainingState, jax.Array]:
    """One training step on one batch. A pure function of JAX arrays.

    Args:
      state: training state.
      key: random key of the samples; the step number is folded into it.
      data: training set.
      architecture: architecture of the network (static).
      config: options of training (static).
      basis: float32 [c + 2, c + 2] if the state's parameters are in coordinates of this basis; see
        `precondition`.
      steps: int32 scalar, number of steps in all, in place of that of `config`: one program then
        serves trainings of any length.

    Returns:
      The new state, and the loss of the batch in bits per voxel.
    """
    batch = sample(jax.random.fold_in(key, state.step), data, architecture, config.batch_voxels)

    def loss(params: Params) -> jax.Array:
        return loss_of(from_coordinates(params, basis), architecture, *batch)

    return descend(state, loss, config, steps)


def descend(
    state: TrainingState,
    loss: Callable[[Params], jax.Array],
    config: TrainingConfig,
    steps: jax.Array | None = None,
) -> tuple[TrainingState, jax.Array]:
    """One step of the optimiser.

    Args:
      state: training state.
      loss: the function to minimise, of the parameters.
      config: options of training.
      steps: see `train_step`.

    Returns:
      The new state, and the loss at the old one.
    """
    before, gradient = jax.value_and_grad(loss)(state.params)
    with jax.numpy_dtype_promotion("standard"):  # Optax mixes integers and floats.
        direction, optimiser = optimiser_of(config).update(gradient, state.optimiser, state.params)
    rate = learning_rate_at(state.step, config, steps)
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
    """Proximal step (soft thresholding) of an L1 penalty on the change of the parameters.

    Thresholds are scaled as Adam scales gradients. The penalty keeps parameters whose change saves
    fewer bits than it costs to store at their initial values (Parikh & Boyd, "Proximal Algorithms",
    2014, section 6.5.2).
    """
    squares = optax.tree_utils.tree_get(optimiser, "nu")
    correction = 1 - 0.999 ** (step.astype(jnp.float32) + 1)

    def shrink(value, start, square):
        threshold = config.penalty * rate / (jnp.sqrt(square / correction) + 1e-8)
        threshold = jnp.minimum(threshold, rate)
        change = value - start
        return start + jnp.sign(change) * jnp.maximum(jnp.abs(change) - threshold, 0.0)

    return jax.tree.map(shrink, params, origin, squares)


@functools.partial(jax.jit, static_argnames=("architecture", "config"))
def _train_some(state, key, data, basis, steps, architecture, config):
    def step(state, _):
        return train_step(state, key, data, architecture, config, basis, steps)

    state, losses = jax.lax.scan(step, state, None, length=config.steps_per_call)
    return state, losses.mean()


def run_steps(
    state: TrainingState,
    advance: Callable[[TrainingState], tuple[TrainingState, jax.Array]],
    until: int,
    on_progress: Callable[[int, float], None] | None = None,
) -> tuple[TrainingState, bool]:
    """Trains until a number of steps is reached.

    Args:
      state: the state to continue from.
      advance: runs some steps and returns the new state and their mean bits per voxel.
      until: total number of steps, rounded up to whole calls of `advance`.
      on_progress: called after each call with the steps done and the last mean bits per voxel.

    Returns:
      The state, and whether training did not diverge. If it did, the last finite state.
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
      data: training set from `training_set.prepare`.
      architecture: architecture of the network.
      config: options of training; `steps` is rounded up to a multiple of `steps_per_call`.
      seed: random seed of the initial weights and of the samples.
      on_progress: see `run_steps`.
      start: the initial network; random weights if not given.

    Returns:
      The trained network in integers. If training diverges, the last finite one.
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
    """Trains from initial float parameters; see `train_network`. Returns float parameters."""
    basis = basis_of(moments(data, [int(jax.random.bits(key))], architecture, BASIS_VOXELS))
    data = jax.device_put(data)
    steps, options = jnp.int32(config.steps), config.of_any_length()

    def advance(state: TrainingState) -> tuple[TrainingState, jax.Array]:
        return _train_some(state, key, data, basis, steps, architecture, options)

    state = initial_state(to_coordinates(params, basis), config)
    state, finite = run_steps(state, advance, config.steps, on_progress)
    if not finite:
        warnings.warn(
            f"Training diverged after {int(state.step)} steps of {config.steps}: the network of "
            "that step is taken, if it is better than without training.",
            TrainingWarning,
            stacklevel=2,
        )
    return from_coordinates(state.params, basis)


def is_finite(params: Params) -> bool:
    """Whether all parameters are finite numbers."""
    return all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(params))
