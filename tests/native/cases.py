"""Blocks, architectures and networks that the tests of the native engine share."""

import numpy as np
from hypothesis import strategies as st
from models_for_tests import EARLIER, IN_SLICE, SHEARED, TINY

from jaxslice.codec.architecture import Architecture
from jaxslice.codec.network import IntegerNetwork, Model

OFFSETS = [
    (dz, dy, dx) for dz in range(-3, 1) for dy in range(-5, 6) for dx in range(-6, 7)
]  # fmt: skip
FIXED = (TINY, IN_SLICE, EARLIER, SHEARED)


@st.composite
def architectures(draw) -> Architecture:
    """Any that the format allows, with small layers more often than large ones."""
    if draw(st.integers(0, 3)) == 0:
        return draw(st.sampled_from(FIXED))
    shear = draw(st.integers(2, 8))
    causal = [o for o in OFFSETS if o[0] < 0 or o[2] + shear * o[1] < 0]
    size = draw(st.sampled_from([4, 5, 6, 7, 9, 16, 33, 256]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    chosen = [causal[i] for i in rng.choice(len(causal), size, replace=False)]
    activity = draw(st.integers(1, min(size, 16)))
    most = 4096 - 255 * activity
    return Architecture(
        context=tuple(sorted(chosen, key=lambda offset: offset[0] < 0)),
        activity_count=activity,
        fallback=draw(st.integers(0, size - 1)),
        hidden=tuple(draw(st.lists(st.sampled_from([1, 2, 3, 5, 8, 17]), min_size=1, max_size=4))),
        components=draw(st.integers(1, 8)),
        shear=shear,
        activity_offset=draw(st.sampled_from([16, min(64, most), most])),
    )


def network_of(architecture: Architecture, seed: int, spread: int) -> IntegerNetwork:
    """Random weights up to `spread`, as large as the proof allows, and biases of all sizes."""
    rng = np.random.default_rng(seed)
    weights, biases = [], []
    for outputs, inputs in architecture.layer_shapes:
        most = min(spread, 32896 // inputs)
        weights.append(rng.integers(-most, most + 1, (outputs, inputs)).astype(np.int8))
        limit = int(rng.choice([100, 5000, (1 << 22) - 1]))
        biases.append(rng.integers(-limit, limit + 1, outputs).astype(np.int32))
    return IntegerNetwork(tuple(weights), tuple(biases))


@st.composite
def models(draw) -> Model:
    architecture = draw(architectures())
    seed, spread = draw(st.integers(0, 2**32 - 1)), draw(st.sampled_from([1, 3, 20, 127]))
    return Model(architecture, network_of(architecture, seed, spread))


def symbols_below(counts: np.ndarray, height: int, width: int, seed: int) -> np.ndarray:
    """Random walks along x, within each slice's levels."""
    rng = np.random.default_rng(seed)
    steps = rng.integers(-3, 4, (len(counts), height, width)).cumsum(axis=2)
    start = rng.integers(0, 256, (len(counts), height, 1))
    return ((start + steps) % counts[:, None, None]).astype(np.uint8)
