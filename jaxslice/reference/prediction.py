"""Section 4 of FORMAT.md: from the context of voxels to the mixture of each."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from jaxslice.reference.linear import Linear


class Predictor(NamedTuple):
    """What the configuration of the codec says.

    Attributes:
      context: offsets [context voxel, 3].
      activity_count: as in FORMAT.md, like the next three.
      fallback: see there.
      shear: see there.
      activity_offset: see there.
      block_networks: whether payloads may have networks of their own.
      layers: weights and biases of each layer.
      version: the format version.
      identity: of the array, 8 bytes; none before version 4.
      sealed: whether every block of the grid is there, and knows its index since version 4.
      voxel_bits: 8, or 16 since version 4.
      linear: the linear predictors in place of the network, or None.
    """

    context: np.ndarray
    activity_count: int
    fallback: int
    shear: int
    activity_offset: int
    block_networks: bool
    layers: list[tuple[np.ndarray, np.ndarray]]
    version: int
    identity: bytes
    sealed: bool
    voxel_bits: int = 8
    linear: "Linear | None" = None

    @property
    def choices(self) -> int:
        """How many linear predictors slices choose from."""
        return len(self.linear.weights) if self.linear else 1


def power(q: np.ndarray) -> np.ndarray:
    """pow(q) of section 4."""
    return (16 + (q & 15)) << (q >> 4)


def reference_of(v: np.ndarray, fallback: int, middle: int | np.ndarray) -> np.ndarray:
    """The reference [voxel] from contexts [voxel, context].

    Args:
      v: symbols, -1 outside.
      fallback: index of a context voxel.
      middle: what is taken where the fallback is outside too.
    """
    a, b, c, d, f = (v[:, i] for i in (0, 1, 2, 3, fallback))
    f = np.where(f < 0, middle, f)
    a = np.where(a < 0, np.where(b < 0, f, b), a)
    b = np.where(b < 0, a, b)
    c = np.where(c < 0, b, c)
    d = np.where(d < 0, a, d)
    return (3 * a + 3 * b + c + d) >> 3


def predict(v: np.ndarray, predictor: Predictor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predicts mean, inverse and weight [voxel, component] from contexts [voxel, context]."""
    reference = reference_of(v, predictor.fallback, 128)[:, None]
    difference = np.where(v < 0, 0, v - reference)
    nearest = abs(difference[:, : predictor.activity_count])
    activity = predictor.activity_offset + nearest.sum(1, keepdims=True)
    moved, inverse, weight = evaluate(difference, activity, reference - 128, 0, predictor)
    return np.clip(16 * reference + moved, -2048, 6143), inverse, weight


def evaluate(
    difference: np.ndarray,
    activity: np.ndarray,
    tone: np.ndarray,
    more_loglevel: int | np.ndarray,
    predictor: Predictor,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The network and the mixture: the mean's distance to the reference, inverse and weight.

    Args:
      difference: inputs [voxel, context].
      activity: [voxel, 1].
      tone: [voxel, 1], the input that follows the differences.
      more_loglevel: added to the last input.
      predictor: the network.
    """
    # Activity is 2**e * (1 + r), so 32 * (2 - r) is (3 * 2**e - activity) / 2**(e - 5).
    e = sum((activity >= 2**i).astype(np.int64) for i in range(1, 13))
    loglevel = 16 * e + ((activity - (1 << e)) * 16 >> e)
    gain_64 = ((3 * (1 << e) - activity) * 32 >> e) << (16 - e)
    (first, first_bias), *further = predictor.layers
    s = np.clip(difference @ first[:, :-2].T, -(2**17 - 1), 2**17 - 1)
    total = (s * gain_64 >> 12) + first[:, -2] * tone
    total = total + first[:, -1] * (loglevel + more_loglevel - 112) + first_bias
    for weights, bias in further:
        total = np.clip(total >> 6, 0, 255) @ weights.T + bias
    m, t, g = np.split(total, 3, axis=1)
    moved = (np.clip(m >> 4, -32767, 32767) * activity) >> 8
    t, g = (np.clip((n >> 7) + 64, 0, 127) for n in (t, g))
    inverse = np.clip(power(t) * (gain_64 >> 6) >> 5, 1, 2**17)
    share = power(g)
    weight = 256 * share // share.sum(1, keepdims=True)
    weight[:, -1] = 256 - weight[:, :-1].sum(1)
    return moved, inverse, weight
