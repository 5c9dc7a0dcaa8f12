"""Rates of 16-bit volumes, made from 8-bit ones, beside those of other codecs.

    python experiments/sixteen_bits.py VOLUME.npy... --kinds=12,16,times_16 --efforts=0,1
    python experiments/sixteen_bits.py --smoke --output=/tmp/sixteen_bits.csv

Each VOLUME is brought to 16-bit data of several KINDS, as detectors would have recorded it: levels
are spread by a gain, a dark offset and the noise of counting and of reading are added, and the
result is rounded. So the low bits are real. Some kinds then multiply the levels, which leaves gaps,
or saturate the bright ones. All codecs get the same voxels. Rows of other volumes are kept.

Cost: about 2 minutes for each volume and kind on one core. Expected: every row of jaxslice below
every peer, 0.96 of the best one on average.
"""

import dataclasses

import numpy as np

COLUMNS = (
    "volume", "kind", "levels", "shape", "codec", "bits_per_voxel", "share_of_best_peer",
    "encode_mvoxels_per_s", "decode_mvoxels_per_s", "seconds",
)  # fmt: skip

LARGEST = (24, 256, 256)
"""Voxels of a volume that are used, along z, y and x."""


@dataclasses.dataclass(frozen=True)
class Kind:
    """How voxels are brought to 16 bits.

    Attributes:
      bits: of the detector.
      gain: of the levels, where 1 leaves room above the brightest.
      dark: the offset that the detector adds, as a share of its range.
      noise: standard deviation of the noise of reading, in levels of the 8-bit volume.
      factor: that the levels are multiplied by after rounding.
    """

    bits: int
    gain: float = 0.8
    dark: float = 0.03
    noise: float = 1.0
    factor: int = 1


KINDS = {
    "10": Kind(10),
    "12": Kind(12),
    "14": Kind(14),
    "16": Kind(16),
    "quiet": Kind(16, gain=0.1, dark=0.02, noise=0.3),
    "saturated": Kind(12, gain=1.4),
    "times_4": Kind(12, factor=4),
    "times_16": Kind(12, factor=16),
    "times_257": Kind(8, noise=0.5, factor=257),
}


def brought_to(kind: Kind, voxels: np.ndarray, seed: int = 0) -> np.ndarray:
    """A volume as a detector of this kind would have recorded it.

    Args:
      kind: of the detector.
      voxels: uint8 [z, y, x].
      seed: of the noise.

    Returns:
      uint16 [z, y, x].
    """
    draws = np.random.default_rng(seed)
    levels = voxels + draws.uniform(-0.5, 0.5, voxels.shape)  # as before they were rounded
    counting = np.sqrt(np.maximum(levels, 0) / 255)
    levels += (kind.noise * (0.5 + counting)) * draws.standard_normal(voxels.shape)
    most = (1 << kind.bits) - 1
    recorded = np.rint(most * (kind.dark + kind.gain * levels / 255))
    return (np.clip(recorded, 0, most) * kind.factor).astype(np.uint16)
