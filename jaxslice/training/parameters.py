"""Trainable parameters and the integers of the coder, each made from the other."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxslice.codec.architecture import Architecture
from jaxslice.codec.network import BIAS_ONE, WEIGHT_ONE, IntegerNetwork, quantise

Params = Any
"""Flax's tree of a `network.CausalNetwork`'s parameters."""


def to_integers(params: Params, architecture: Architecture) -> IntegerNetwork:
    """The trained parameters as the coder's integers."""
    layers = range(len(architecture.layer_shapes))
    tree = params["params"]
    return quantise(
        [tree[f"kernel_{index}"] for index in layers], [tree[f"bias_{index}"] for index in layers]
    )


def to_params(network: IntegerNetwork) -> Params:
    """The parameters that stand for an integer network: `to_integers` gives it back."""
    tree = {}
    for index, (weights, biases) in enumerate(zip(*network, strict=True)):
        tree[f"kernel_{index}"] = np.asarray(weights, np.float32) / WEIGHT_ONE
        tree[f"bias_{index}"] = np.asarray(biases, np.float32) / BIAS_ONE
    return {"params": tree}
