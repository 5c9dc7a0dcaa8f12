"""Data augmentation: random changes of patches that imitate other microscopes and processing.

They keep a network from overfitting to the voxel size, orientation, contrast and noise of the few
volumes that it is trained on.
"""

import dataclasses

import numpy as np
from scipy import ndimage

from jaxslice.core.box import Triple
from jaxslice.core.errors import UsageError
from jaxslice.core.types import Volume


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Probability of each change of a patch, 0 to 1.

    Attributes:
      resample: filter along y and x, and sometimes z: a shift by a fraction of a voxel, blur or
        sharpening, as alignment and reconstruction cause. Applied twice, independently.
      flip: mirror along z, along y and along x, and swap y and x; each independently.
      coarsen: halve the resolution along x and y, and in half of these cases also along z.
      skip: keep only every second or third slice. Excludes `coarsen`.
      contrast: stretch or compress grey levels around their mean, which leaves gaps in the
        histogram, or merges and saturates levels.
      noise: add Gaussian noise.
      blank: set all voxels on one side of a plane to one level, like the background that alignment
        leaves beside tissue.
    """

    resample: float = 0.5
    flip: float = 0.5
    coarsen: float = 0.3
    skip: float = 0.14
    contrast: float = 0.5
    noise: float = 0.25
    blank: float = 0.15

    def __post_init__(self):
        """Raises UsageError if a probability is out of range."""
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
"""Fraction of filters that shift by up to half a voxel; the others blur or sharpen."""

SHARPEN_MOST, BLUR_MOST = -0.15, 0.25
"""Range of the first and last of the three coefficients of filters that blur or sharpen."""

ALONG_Z_SHARE = 0.4
"""Fraction of filtered patches that are also filtered along z."""

STRETCH_LOW, STRETCH_HIGH = 0.5, 1.65
"""Range of contrast factors. Small ones merge grey levels, large ones leave gaps between them."""

SHIFT = 20.0
"""Largest change of the mean, in grey levels, when the contrast changes."""

NOISE_LOW, NOISE_HIGH = 1.0, 10.0
"""Range of the noise's standard deviation, in grey levels."""


def largest_crop(shape: Triple) -> Triple:
    """Largest crop (z, y, x) that `augment` can use for a patch of `shape`."""
    return (3 * shape[0], 2 * shape[1], 2 * shape[2])


def augment(
    voxels: Volume, shape: Triple, augmentation: Augmentation, generator: np.random.Generator
) -> Volume:
    """Takes a patch from a crop and changes it at random.

    Args:
      voxels: uint8 [z, y, x], the crop; of `largest_crop(shape)` where the volume is large enough.
        It is not modified.
      shape: (z, y, x) of the patch.
      augmentation: probabilities of the changes.
      generator: source of all random numbers: the same seed gives the same patch.

    Returns:
      uint8 [z, y, x], C-contiguous. It is smaller than `shape` along an axis where the crop is too
      small, and its y and x may be swapped.
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
    """A random box of `shape` inside the voxels; smaller along an axis where these are smaller."""
    starts = (
        int(generator.integers(0, max(size - n, 0) + 1))
        for size, n in zip(voxels.shape, shape, strict=True)
    )
    box = tuple(slice(start, start + n) for start, n in zip(starts, shape, strict=True))
    return voxels[box]


def _resampled(voxels: Volume, generator: np.random.Generator) -> Volume:
    """Filters the voxels along y, x and sometimes z with random coefficients."""
    along_y = _coefficients(generator)
    along_x = _coefficients(generator) if generator.random() < 0.5 else along_y
    filtered = voxels.astype(np.float32)
    for axis, coefficients in ((1, along_y), (2, along_x)):
        filtered = ndimage.correlate1d(filtered, coefficients, axis, mode="nearest")
    if generator.random() < ALONG_Z_SHARE:
        filtered = ndimage.correlate1d(filtered, _coefficients(generator), 0, mode="nearest")
    return _levels(filtered)


def _coefficients(generator: np.random.Generator) -> tuple[float, float, float]:
    """Three filter coefficients with sum 1: linear interpolation (a shift), or symmetric."""
    if generator.random() < SHIFT_SHARE:
        shift = generator.uniform(0, 0.5)
        return (shift, 1 - shift, 0.0)
    outer = generator.uniform(SHARPEN_MOST, BLUR_MOST)
    return (outer, 1 - 2 * outer, outer)


def _coarsened(voxels: Volume, depth: int, generator: np.random.Generator) -> Volume:
    """Means of 2x2 voxels in all or every second slice, rounded with or without dither."""
    depth_read, rows, columns = voxels.shape[0], voxels.shape[1] // 2, voxels.shape[2] // 2
    even = voxels[:, : 2 * rows, : 2 * columns].astype(np.float32)
    means = even.reshape(depth_read, rows, 2, columns, 2).mean(axis=(2, 4))
    means = means[::2] if generator.random() < 0.5 else means[:depth]
    if generator.random() < 0.5:
        means = means + generator.random(means.shape) - 0.5
    return _levels(means)


def _flipped(patch: Volume, share: float, generator: np.random.Generator) -> Volume:
    """Mirrors along each axis and swaps y and x, each with the probability `share`."""
    for axis in range(3):
        if generator.random() < share:
            patch = np.flip(patch, axis)
    return patch.transpose(0, 2, 1) if generator.random() < share else patch


def _blanked(patch: Volume, generator: np.random.Generator) -> Volume:
    """Sets one side of a random plane near the middle to black or, less often, another level."""
    normal = generator.normal(size=3)
    z, y, x = (
        direction * (np.arange(n) - generator.uniform(0.2, 0.8) * n)
        for direction, n in zip(normal, patch.shape, strict=True)
    )
    beyond = z[:, None, None] + y[:, None] + x > 0
    level = 0 if generator.random() < 0.7 else generator.integers(0, 256)
    return np.where(beyond, np.uint8(level), patch)


def _levels(values: np.ndarray) -> Volume:
    """Values rounded and clipped to grey levels."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
