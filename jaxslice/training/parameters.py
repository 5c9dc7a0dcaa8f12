"""Conversion between trainable parameters and the integer network of the coder."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxslice.codec.architecture import Architecture
from jaxslice.codec.network import BIAS_ONE, WEIGHT_ONE, IntegerNetwork, quantise

Params = Any
"""The tree of parameters of a `float_network.CausalNetwork`: {"params": {name: float32 array}}."""


def to_integers(params: Params, architecture: Architecture) -> IntegerNetwork:
    """Rounds trained parameters to an integer network; see `network.quantise`."""
    layers = range(len(architecture.layer_shapes))
    tree = params["params"]
    return quantise(
        [tree[f"kernel_{index}"] for index in layers], [tree[f"bias_{index}"] for index in layers]
    )


def to_params(network: IntegerNetwork) -> Params:
    """The float32 parameters equal to an integer network: the inverse of `to_integers`."""
    tree = {}
    for index, (weights, biases) in enumerate(zip(*network, strict=True)):
        tree[f"kernel_{index}"] = np.asarray(weights, np.float32) / WEIGHT_ONE
        tree[f"bias_{index}"] = np.asarray(biases, np.float32) / BIAS_ONE
    return {"params": tree}
