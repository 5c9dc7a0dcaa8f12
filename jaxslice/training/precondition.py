"""A change of coordinates that preconditions the first layer for training.

Neighbouring voxels are strongly correlated, so the inputs of the first layer are too, and its loss
is badly conditioned: a step size that suits the mean of the inputs is far too small for their
differences, which carry the prediction. Training therefore replaces the first layer's weights W by
coordinates V with W = V B. The basis B is `C**-1/4` for the matrix C of the inputs' second moments.
`C**-1/2` would whiten the inputs (LeCun et al., "Efficient BackProp", 1998, section 4.3); the
smaller power conditions them partly.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from jaxslice.training.parameters import Params

_POWER = 0.25
_MIN_EIGENVALUE_RATIO = 1e-4
"""Eigenvalues are raised to at least this fraction of the largest one, to bound their powers."""


def basis_of(sums: np.ndarray) -> np.ndarray:
    """Computes the basis from the second moments of the inputs.

    Args:
      sums: [c + 4, c + 4], from `moments.moments`.

    Returns:
      float32 [c + 2, c + 2], symmetric and invertible; the mean square norm of its rows is 1.
    """
    inputs = np.asarray(sums, np.float64)[:-2, :-2]
    values, vectors = np.linalg.eigh(inputs)
    values = np.maximum(values, max(_MIN_EIGENVALUE_RATIO * values[-1], 1e-6))
    basis = (vectors * values**-_POWER) @ vectors.T
    return (basis / np.sqrt((basis**2).sum(axis=1).mean())).astype(np.float32)


def to_coordinates(params: Params, basis: np.ndarray) -> Params:
    """The same network with the first layer's weights in coordinates of the basis.

    Args:
      params: parameters of a network.
      basis: [c + 2, c + 2], from `basis_of`.
    """
    kernel = np.asarray(params["params"]["kernel_0"], np.float64) @ np.linalg.inv(basis)
    return {"params": {**params["params"], "kernel_0": jnp.asarray(kernel, jnp.float32)}}


def from_coordinates(params: Params, basis: jax.Array | np.ndarray | None) -> Params:
    """The inverse of `to_coordinates`; differentiable. Returns `params` if the basis is None."""
    if basis is None:
        return params
    kernel = jnp.matmul(params["params"]["kernel_0"], basis, precision=jax.lax.Precision.HIGHEST)
    return {"params": {**params["params"], "kernel_0": kernel}}
