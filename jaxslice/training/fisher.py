"""Fisher scoring: fits all parameters but the first layer's weights to samples, in a few steps.

The linear predictor of `closed_form` adapts the predicted means; Fisher scoring also adapts how
certain the predictions are. The bits of a sample are the negative logarithm of a likelihood. Its
expected curvature is the Fisher information, the mean outer product of the samples' gradients. A
Newton step with this matrix needs no learning rate and only first derivatives.

Steps are damped by a fraction of the diagonal, which grows after a step that does not lower the
bits and shrinks after one that does (Levenberg 1944, Marquardt 1963; Amari, "Natural Gradient Works
Efficiently in Learning", 1998).
"""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from jaxslice.codec.architecture import Architecture
from jaxslice.codec.march import OUTSIDE
from jaxslice.codec.network import BIAS_ONE
from jaxslice.training.evaluate import Better, exact_bits
from jaxslice.training.float_network import CausalNetwork, bits_of
from jaxslice.training.parameters import Params, to_integers, to_params
from jaxslice.training.training_set import TrainingSet, sample

TRIES = 4
"""Steps that are tried."""

SCORED_VOXELS = 1 << 15
"""Voxels sampled to estimate the gradient and the Fisher information."""

FIRST_DAMPING = 0.1
LESS, MORE = 1 / 3, 8.0
"""Factors of the damping after a step that lowers the bits, and after one that does not."""

_BATCH_VOXELS = 1 << 12


def score(start: Better, data: TrainingSet, architecture: Architecture, seed: int = 0) -> Better:
    """Fits the biases of all layers and the weights after the first layer to samples.

    Args:
      start: the initial network and its bits per voxel.
      data: samples of the volume, from `training_set.prepare`.
      architecture: architecture of the network.
      seed: random seed of the voxels.

    Returns:
      The best network found, which is the initial one if no step lowers the bits.
    """
    data = jax.device_put(data)
    best, damping, slopes = start, FIRST_DAMPING, None
    for step in range(TRIES):
        params = to_params(best.network)
        if slopes is None:
            key = jax.random.fold_in(jax.random.key(seed), step)
            slopes = jax.device_get(_curvature(params, data, key, architecture))
        moved = to_integers(_moved(params, *slopes, damping, architecture), architecture)
        bits = exact_bits(moved, data, architecture, seed)
        if bits < best.bits:
            best = Better(moved, bits, best.gain + best.bits - bits)
            damping, slopes = damping * LESS, None
        else:
            damping *= MORE
    return best


@functools.partial(jax.jit, static_argnames=("architecture",))
def _curvature(
    params: Params, data: TrainingSet, key: jax.Array, architecture: Architecture
) -> tuple[jax.Array, jax.Array]:
    """The mean gradient of a voxel's nats [p], and the Fisher information [p, p].

    The p parameters are those of `_parts`, in its order.
    """
    network = CausalNetwork(architecture)
    layers = len(architecture.layer_shapes)

    def add(index, totals):
        batch = sample(jax.random.fold_in(key, index), data, architecture, _BATCH_VOXELS)
        contexts, symbol, limit = batch
        hit = (symbol != OUTSIDE).astype(jnp.float32)

        def nats(shifts):
            mixture, recorded = network.apply(
                {**params, "perturbations": shifts}, contexts, limit, mutable=["intermediates"]
            )
            bits = bits_of(mixture, jnp.maximum(symbol, 0), limit)  # type: ignore[arg-type]
            return jnp.sum(bits * hit) * math.log(2), recorded["intermediates"]

        no_shifts = {
            f"sums_{layer}": jnp.zeros((outputs, contexts.shape[1]), jnp.float32)
            for layer, (outputs, _) in enumerate(architecture.layer_shapes)
        }
        slopes, inputs = jax.grad(nats, has_aux=True)(no_shifts)
        rows = [slopes["sums_0"]]
        for layer in range(1, layers):
            slope, (layer_inputs,) = slopes[f"sums_{layer}"], inputs[f"inputs_{layer}"]
            rows += [(slope[:, None] * layer_inputs[None]).reshape(-1, slope.shape[1]), slope]
        gradients = BIAS_ONE * jnp.concatenate(rows)
        gradient, fisher, count = totals
        gradient, fisher = gradient + gradients.sum(axis=1), fisher + gradients @ gradients.T
        return gradient, fisher, count + hit.sum()

    size = sum(value.size for value in _parts(params["params"], architecture).values())
    start = (jnp.zeros(size), jnp.zeros((size, size)), jnp.float32(0))
    gradient, fisher, count = jax.lax.fori_loop(0, SCORED_VOXELS // _BATCH_VOXELS, add, start)
    return gradient / jnp.maximum(count, 1), fisher / jnp.maximum(count, 1)


def _moved(
    params: Params,
    gradient: np.ndarray,
    fisher: np.ndarray,
    damping: float,
    architecture: Architecture,
) -> Params:
    """The parameters after a damped step."""
    fisher = fisher.astype(np.float64)
    diagonal = np.diag(fisher)
    damped = fisher + np.diag(damping * diagonal + 1e-4 * diagonal.mean() + 1e-12)
    step = np.linalg.solve(damped, gradient.astype(np.float64))
    tree, first = dict(params["params"]), 0
    for name, value in _parts(params["params"], architecture).items():
        part = step[first : first + value.size].reshape(value.shape)
        tree[name] = np.asarray(value) - part.astype(np.float32)
        first += value.size
    return {"params": tree}


def _parts(
    tree: dict[str, np.ndarray | jax.Array], architecture: Architecture
) -> dict[str, np.ndarray | jax.Array]:
    """The fitted parameters in the order of the gradient: all but the first layer's weights."""
    names = [
        f"{what}_{layer}"
        for layer in range(len(architecture.layer_shapes))
        for what in ("kernel", "bias")
    ]
    return {name: tree[name] for name in names[1:]}
