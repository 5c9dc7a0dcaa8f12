"""Architectures, numbers and symbols that the tests of linear predictors share."""

import base64

import numpy as np
from hypothesis import strategies as st
from native.cases import OFFSETS

from jaxslice.codec import linear
from jaxslice.codec.linear import LinearArchitecture, LinearNumbers
from jaxslice.codec.network import Model
from jaxslice.codec.place import NOWHERE

NEAR = ((0, 0, -1), (0, -1, 0), (0, -1, 1), (0, -1, -1), (0, 0, -2))
TINY_LINEAR = LinearArchitecture(
    (*NEAR, (-1, 0, 0), (-1, 1, 1), (-2, -1, 0)), fallback=5, shear=2, scales=6, phases=2,
    predictors=3,
)  # fmt: skip


@st.composite
def architectures(draw) -> LinearArchitecture:
    """Any that the format allows."""
    shear = draw(st.integers(2, 8))
    causal = [o for o in OFFSETS if o[0] < 0 or o[2] + shear * o[1] < 0]
    size = draw(st.sampled_from([4, 5, 6, 7, 9, 16, 33, 256]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    chosen = [causal[i] for i in rng.choice(len(causal), size, replace=False)]
    return LinearArchitecture(
        context=tuple(sorted(chosen, key=lambda offset: offset[0] < 0)),
        fallback=draw(st.integers(0, size - 1)),
        shear=shear,
        scales=draw(st.sampled_from([1, 2, 7, 64])),
        phases=draw(st.sampled_from(linear.PHASES)),
        predictors=draw(st.sampled_from([1, 2, 5, 16])),
    )


def numbers_of(architecture: LinearArchitecture, seed: int, largest: bool = False) -> LinearNumbers:
    """Sensible numbers or, with `largest`, those at the ends of their ranges."""
    rng = np.random.default_rng(seed)
    predictors, context = architecture.predictors, len(architecture.context)
    scales, shape = architecture.scales, (predictors, context)
    curves = np.empty((predictors, scales, 5), np.uint8)
    curves[..., :2] = rng.integers(-128 if largest else -20, 128 if largest else 20, (2,)) & 255
    curves[..., 2:4] = rng.choice([0, 160], (2,)) if largest else rng.integers(20, 140, (2,))
    curves[..., 2] = np.clip(curves[..., 2] + np.arange(scales), 0, 160)
    curves[..., 4] = rng.integers(0, 256, (predictors, scales))
    scalars = rng.integers((4, 0, 1), (8, 92, 2**20 + 1), (predictors, 3))
    weights = rng.choice([-127, 127], shape) if largest else rng.integers(-30, 31, shape)
    sizes = np.full(shape, 127) if largest else rng.integers(0, 128, shape)
    return LinearNumbers(
        scalars.astype(np.int32), weights.astype(np.int8), sizes.astype(np.uint8), curves
    )


@st.composite
def linear_models(draw) -> Model:
    architecture = draw(architectures())
    seed, largest = draw(st.integers(0, 2**32 - 1)), draw(st.booleans())
    return Model(architecture, numbers_of(architecture, seed, largest))


def configuration_of(model: Model) -> dict:
    """The codec's configuration as format version 4 wants it, for `reference`."""
    return {
        "format_version": 4,
        "identity": NOWHERE.identity.hex(),
        "own_networks": False,
        "sealed": False,
        "architecture": model.architecture.to_json(),
        "network": base64.b64encode(linear.pack(model.network)).decode(),
    }
