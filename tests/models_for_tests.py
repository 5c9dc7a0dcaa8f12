"""Small architectures, integer networks without training, and blocks, for the tests to share.

Every (block shape, architecture, batch) is compiled anew, so tests take these and few others.
"""

import dataclasses

import numpy as np

from jaxslice.codec.architecture import Architecture
from jaxslice.codec.draft import Draft, shortest
from jaxslice.codec.network import BIAS_HIGH, IntegerNetwork, Model
from jaxslice.codec.payload import Payload

NEAREST = ((0, 0, -1), (0, -1, 0), (0, -1, 1), (0, -1, -1), (0, 0, -2), (0, -2, 3))

TINY = Architecture(
    context=(*NEAREST, (-1, 0, 0), (-1, 1, 1), (-1, -1, 0), (-2, 0, -1)),
    activity_count=6,
    fallback=6,
    hidden=(8,),
    components=2,
)
"""In-slice voxels and voxels of two earlier slices."""

IN_SLICE = Architecture(
    context=NEAREST, activity_count=4, fallback=0, hidden=(4,), components=1
)  # fmt: skip
"""Nothing of earlier slices."""

EARLIER = Architecture(
    context=((-1, 0, 0), (-2, 0, 0), (-1, 2, 2), (-1, 1, -1), (-3, -2, 0)),
    activity_count=5,
    fallback=1,
    hidden=(5, 4),
    components=3,
)
"""Nothing of the slice itself, and an offset that looks ahead as far as it goes back."""

SHEARED = Architecture(
    context=(
        *((0, 0, -1), (0, -1, 0), (0, -1, 1), (0, -1, -1), (0, -1, 3), (0, -2, 7)),
        *((-1, 0, 0), (-1, 2, 1), (-2, -1, 0)),
    ),
    activity_count=6,
    fallback=6,
    hidden=(6,),
    components=2,
    shear=4,
    activity_offset=48,
)
"""A shear that lets the context reach further to the right in the rows above."""

SHAPE = (3, 8, 24)
"""The block shape that most tests use: large enough to be coded and not stored."""


def random_network(architecture: Architecture, seed: int, spread: int = 12) -> IntegerNetwork:
    """Weights up to `spread` and biases up to 2000 in size."""
    rng = np.random.default_rng(seed)
    shapes = architecture.layer_shapes
    return IntegerNetwork(
        tuple(rng.integers(-spread, spread + 1, shape).astype(np.int8) for shape in shapes),
        tuple(rng.integers(-2000, 2001, shape[0]).astype(np.int32) for shape in shapes),
    )


def extreme_network(architecture: Architecture, seed: int, sign: int = 0) -> IntegerNetwork:
    """Every weight and bias as large as the format allows, with random signs or the one given."""
    rng = np.random.default_rng(seed)

    def signs(shape):
        return np.full(shape, sign) if sign else rng.choice([-1, 1], shape)

    shapes = architecture.layer_shapes
    return IntegerNetwork(
        tuple((127 * signs(shape)).astype(np.int8) for shape in shapes),
        tuple((BIAS_HIGH * signs(shape[0])).astype(np.int32) for shape in shapes),
    )


def narrow_network(architecture: Architecture) -> IntegerNetwork:
    """No weights: a distribution around the reference, as wide as the neighbours differ."""
    shapes = architecture.layer_shapes
    return IntegerNetwork(
        tuple(np.zeros(shape, np.int8) for shape in shapes),
        tuple(np.zeros(shape[0], np.int32) for shape in shapes),
    )


def coded_anyway(draft: Draft, coded: bytes | None, block_network: bool) -> Payload:
    """In place of `draft.shortest`: tiny blocks would be stored as they are."""
    if coded is None:
        return shortest(draft, coded, block_network)
    return dataclasses.replace(draft.payload, body=coded, block_network=block_network)


TINY_MODEL = Model(TINY, random_network(TINY, seed=2, spread=2))
"""Every weight takes part, and none so much that blocks would not become smaller."""


def smooth_block(shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    """Grey levels that wander slowly along every axis, with a little noise."""
    noise = np.random.default_rng(seed).normal(0, 0.5, shape)
    return np.rint(128 + 20 * np.sin(0.1 * np.indices(shape).sum(axis=0)) + noise).astype(np.uint8)


def noise_block(shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    """Nothing that could be compressed."""
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def random_contexts(architecture: Architecture, count: int, seed: int) -> np.ndarray:
    """Contexts float32 [c, n]: noise, nearly constant, constant, extreme, and at borders."""
    rng = np.random.default_rng(seed)
    size = (len(architecture.context), count)
    kind = rng.integers(0, 5, count)
    level = rng.integers(0, 256, count)
    nearest = np.arange(size[0])[:, None] < 4
    values = np.select(
        [kind == 0, kind == 1, kind == 2, kind == 3],
        [
            rng.integers(0, 256, size),
            np.clip(level + rng.integers(-3, 4, size), 0, 255),
            np.broadcast_to(level, size),
            255 * rng.integers(0, 2, size),
        ],
        np.where(nearest == (level < 128), 255, 0),
    )
    outside = rng.random(size) < rng.choice([0.0, 0.0, 0.3, 0.9, 1.0], count)
    return np.where(outside, -1, values).astype(np.float32)


def strange_blocks(shape: tuple[int, int, int]) -> dict[str, np.ndarray]:
    """Blocks as microscopes make them when something went wrong, by what it was."""
    noise = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    z, _, x = np.indices(shape)
    duplicated = noise.copy()
    duplicated[2:4] = duplicated[1]
    return {
        "black": np.zeros(shape, np.uint8),
        "saturated": np.maximum(noise, 250),
        "two levels": np.where(noise > 128, 255, 0).astype(np.uint8),
        "levels missing": noise // 4 * 4,
        "half black": np.where(x < shape[2] // 2, 0, noise).astype(np.uint8),
        "half constant": np.where(x < shape[2] // 2, noise, 77).astype(np.uint8),
        "lost slices": np.where(z % 2, 0, noise).astype(np.uint8),
        "duplicated slices": duplicated,
    }
