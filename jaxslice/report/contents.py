"""What stands on the page about an archive, before it is laid out."""

from __future__ import annotations

import dataclasses

import numpy as np

from jaxslice.archive.report import BlockSize, Report
from jaxslice.core.box import Triple


@dataclasses.dataclass(frozen=True)
class Plane:
    """A cut through the middle of the volume.

    Attributes:
      axis: that it is perpendicular to: z, y or x.
      position: along that axis, in global coordinates.
      image: [row, column].
      stretch: height of a pixel in units of its width.
    """

    axis: str
    position: int
    image: np.ndarray
    stretch: float


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What the network expects in one slice, and what it costs.

    Attributes:
      position: z of the slice, in global coordinates.
      original: uint8 [y, x].
      predicted: mean of the predicted distribution, float [y, x] in grey levels.
      expected_bits: what each voxel is expected to cost; few bits mean confidence.
      spent_bits: what each voxel costs.
    """

    position: int
    original: np.ndarray
    predicted: np.ndarray
    expected_bits: np.ndarray
    spent_bits: np.ndarray


@dataclasses.dataclass(frozen=True)
class HeatMap:
    """Mean bits per voxel, projected along one axis.

    Attributes:
      title: what is seen.
      bits: float [row, column], NaN where nothing was measured.
      stretch: height of a cell in units of its width.
    """

    title: str
    bits: np.ndarray
    stretch: float


@dataclasses.dataclass(frozen=True)
class SliceRate:
    """Mean bits per voxel of one slice of the middle blocks; z in global coordinates."""

    z: int
    bits_per_voxel: float


@dataclasses.dataclass(frozen=True)
class Rate:
    """A codec on the crop.

    Attributes:
      name: of the codec.
      bits_per_voxel: of the crop.
      ours: whether it is jaxslice.
    """

    name: str
    bits_per_voxel: float
    ours: bool = False


@dataclasses.dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
      name: what.
      passed: whether it is as it should be; None if it was not looked at.
      text: the result, in a sentence.
    """

    name: str
    passed: bool | None
    text: str


@dataclasses.dataclass(frozen=True)
class Contents:
    """Everything on the page.

    Attributes:
      name: of the archive.
      info: its sizes and its provenance.
      data_type: of the voxels.
      planes: three cuts through the middle.
      prediction: of one slice; None if that cannot be shown, as `notes` says.
      block_maps: of all blocks.
      fine_maps: of the middle blocks, finer.
      blocks: what each takes.
      slices: rates of some slices.
      crop_shape: of the crop that peers were measured on, if they were.
      rates: of codecs on the crop, the best first; empty if there are none, as `notes` says.
      checks: what was looked at.
      notes: for the reader: what is left out, and why.
      made: when and where the page was made.
    """

    name: str
    info: Report
    data_type: str
    planes: list[Plane]
    prediction: Prediction | None
    block_maps: list[HeatMap]
    fine_maps: list[HeatMap]
    blocks: list[BlockSize]
    slices: list[SliceRate]
    crop_shape: Triple | None
    rates: list[Rate]
    checks: list[Check]
    notes: list[str]
    made: dict[str, str]
