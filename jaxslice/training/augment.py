"""Patches of volumes changed as other microscopes would have changed them.

A network that is to predict volumes it has never seen should not learn by heart the voxel size,
orientation, contrast and noise of the few it is trained on.
"""

import dataclasses

import numpy as np

from jaxslice.core.box import Triple
from jaxslice.core.errors import UsageError
from jaxslice.core.types import Volume


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """How often a patch is changed in which way; shares of all patches, from 0 to 1.

    Attributes:
      resample: filtered along y and x, and some along z: shifted by part of a voxel, blurred or
        sharpened, as alignment and reconstruction do. Twice, each time with this share.
      flip: mirrored along z, along y and along x, and x swapped with y, each on its own.
      coarsen: halved along x and y, and half of those also along z.
      skip: every second or third slice alone.
      contrast: grey levels stretched or squeezed around their mean, which leaves gaps in the
        histogram or merges and saturates levels.
      noise: normal noise added.
      blank: what lies on one side of a plane set to one level, as alignment leaves beside tissue.
    """

    resample: float = 0.5
    flip: float = 0.5
    coarsen: float = 0.3
    skip: float = 0.14
    contrast: float = 0.5
    noise: float = 0.25
    blank: float = 0.15

    def __post_init__(self):
        """Refuses shares out of range (UsageError)."""
        shares = dataclasses.asdict(self)
        for name, share in shares.items():
            if not 0 <= share <= 1:
                raise UsageError(f"Got the share {share} of {name}, expected 0 to 1.")
        if self.coarsen + self.skip > 1:
            raise UsageError(
                f"Got the shares {self.coarsen} of coarsen and {self.skip} of skip, which exclude "
                "each other, expected at most 1 together."
            )


NOTHING = Augmentation(resample=0, flip=0, coarsen=0, skip=0, contrast=0, noise=0, blank=0)

SHIFT_SHARE = 0.4
"""Of the filters, how many shift by up to half a voxel; the others blur or sharpen."""

SHARPEN_MOST, BLUR_MOST = -0.15, 0.25
"""Range of the outer two of the three coefficients of a filter that blurs or sharpens."""

ALONG_Z_SHARE = 0.4
"""Of the filtered patches, how many are filtered along z as well."""

STRETCH_LOW, STRETCH_HIGH = 0.5, 1.65
"""Factors of contrast: down to half, which merges levels, and up to what leaves gaps."""

SHIFT = 20.0
"""Most grey levels that the mean moves by when the contrast changes."""

NOISE_LOW, NOISE_HIGH = 1.0, 10.0
"""Standard deviations of added noise in grey levels."""


def largest_crop(shape: Triple) -> Triple:
    """Voxels that a patch of `shape` may be made of, at most."""
    return (3 * shape[0], 2 * shape[1], 2 * shape[2])


def augment(
    voxels: Volume, shape: Triple, augmentation: Augmentation, generator: np.random.Generator
) -> Volume:
    """One patch out of a crop, changed at random.

    Args:
      voxels: uint8 [z, y, x], what to take the patch from: of `largest_crop(shape)` where the
        volume is large enough. It is left as it is.
      shape: of the patch; less along an axis where the crop does not reach, and with y and x
        swapped where the patch is turned.
      augmentation: how often to do what.
      generator: every draw comes from it, so that the same seed gives the same patch.

    Returns:
      uint8 [z, y, x], C-contiguous.
    """
    depth, height, width = shape
    draw = generator.random()
    if draw < augmentation.coarsen and min(voxels.shape[1:]) >= 2:
        twice = _window(voxels, (2 * depth, 2 * height, 2 * width), generator)
        patch = _coarsened(twice, depth, generator)
    elif draw < augmentation.coarsen + augmentation.skip:
        every = int(generator.integers(2, 4))
        patch = _window(voxels, (every * depth, height, width), generator)[::every]
    else:
        patch = _window(voxels, shape, generator)
    for _ in range(2):
        if generator.random() < augmentation.resample:
            patch = _resampled(patch, generator)
    patch = _flipped(patch, augmentation.flip, generator)
    if generator.random() < augmentation.contrast:
        factor = np.exp(generator.uniform(np.log(STRETCH_LOW), np.log(STRETCH_HIGH)))
        mean = patch.mean()
        shift = generator.uniform(-SHIFT, SHIFT)
        patch = _levels((patch.astype(np.float32) - mean) * factor + mean + shift)
    if generator.random() < augmentation.noise:
        spread = generator.uniform(NOISE_LOW, NOISE_HIGH)
        patch = _levels(patch + generator.normal(0, spread, patch.shape))
    if generator.random() < augmentation.blank:
        patch = _blanked(patch, generator)
    return np.ascontiguousarray(patch)


def _window(voxels: Volume, shape: Triple, generator: np.random.Generator) -> Volume:
    """A box of `shape` from anywhere in the voxels, or less where they do not reach."""
    starts = (
        int(generator.integers(0, max(size - n, 0) + 1))
        for size, n in zip(voxels.shape, shape, strict=True)
    )
    box = tuple(slice(start, start + n) for start, n in zip(starts, shape, strict=True))
    return voxels[box]


def _resampled(voxels: Volume, generator: np.random.Generator) -> Volume:
    """The voxels under a random filter along each axis."""
    along_y = _coefficients(generator)
    along_x = _coefficients(generator) if generator.random() < 0.5 else along_y
    filtered = _filtered(_filtered(voxels.astype(np.float32), 1, along_y), 2, along_x)
    if generator.random() < ALONG_Z_SHARE:
        filtered = _filtered(filtered, 0, _coefficients(generator))
    return _levels(filtered)


def _coefficients(generator: np.random.Generator) -> tuple[float, float, float]:
    """Three that sum to 1: linear interpolation between two voxels, or symmetric."""
    if generator.random() < SHIFT_SHARE:
        shift = generator.uniform(0, 0.5)
        return (shift, 1 - shift, 0.0)
    outer = generator.uniform(SHARPEN_MOST, BLUR_MOST)
    return (outer, 1 - 2 * outer, outer)


def _filtered(
    values: np.ndarray, axis: int, coefficients: tuple[float, float, float]
) -> np.ndarray:
    """The convolution along an axis, borders repeated."""
    values = np.moveaxis(values, axis, 0)
    padded = np.pad(values, [(1, 1), (0, 0), (0, 0)], mode="edge")
    before, here, after = (np.float32(value) for value in coefficients)
    filtered = before * padded[:-2] + here * values + after * padded[2:]
    return np.moveaxis(filtered, 0, axis)


def _coarsened(voxels: Volume, depth: int, generator: np.random.Generator) -> Volume:
    """Means of 2x2 voxels; of all slices or of every second; rounded, or dithered and rounded."""
    even = voxels[:, : voxels.shape[1] // 2 * 2, : voxels.shape[2] // 2 * 2].astype(np.float32)
    quarters = even[:, ::2, ::2], even[:, 1::2, ::2], even[:, ::2, 1::2], even[:, 1::2, 1::2]
    means = sum(quarters[1:], quarters[0]) / 4
    means = means[::2] if generator.random() < 0.5 else means[:depth]
    if generator.random() < 0.5:
        means = means + generator.random(means.shape) - 0.5
    return _levels(means)


def _flipped(patch: Volume, share: float, generator: np.random.Generator) -> Volume:
    for axis in range(3):
        if generator.random() < share:
            patch = np.flip(patch, axis)
    return patch.transpose(0, 2, 1) if generator.random() < share else patch


def _blanked(patch: Volume, generator: np.random.Generator) -> Volume:
    """A part beyond a plane that passes near the middle made black or, seldom, another level."""
    normal = generator.normal(size=3)
    z, y, x = (
        direction * (np.arange(n) - generator.uniform(0.2, 0.8) * n)
        for direction, n in zip(normal, patch.shape, strict=True)
    )
    beyond = z[:, None, None] + y[:, None] + x > 0
    level = 0 if generator.random() < 0.7 else generator.integers(0, 256)
    return np.where(beyond, np.uint8(level), patch)


def _levels(values: np.ndarray) -> Volume:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
