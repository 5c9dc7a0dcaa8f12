"""The geometry of the march: time steps, lanes and lags of blocks."""

from __future__ import annotations

import dataclasses
import functools
import math

from jaxslice.codec.architecture import Architecture
from jaxslice.codec.linear import LinearArchitecture
from jaxslice.core.box import Triple

STEPS_TOGETHER = 16
"""Largest number of time steps whose contexts in earlier slices are gathered at once."""

NARROW_HIDDEN = 32
"""Networks with at most this many units in each hidden layer get the lanes of an encoder; see
`Geometry.of_encoder`."""

STEPS_PREDICTED = 8
"""Time steps that an encoder predicts at once. With more, XLA's CPU backend would distribute a
matrix product over threads that other blocks need."""


@dataclasses.dataclass(frozen=True)
class Geometry:
    """The order in which the voxels of a batch of blocks are coded.

    Voxel (z, y, x) is coded at time `z * pitch + x + shear * y` in lane `y`. So the context voxel
    (dz, dy, dx) was coded in lane `y + dy`, always at the same lag of
    `dz * pitch + dx + shear * dy` time steps. The pitch leaves a gap between the rows of successive
    slices. The gap is so wide that no offset reaches across it and that every lag is negative.

    Attributes:
      block_shape: (z, y, x) of each block.
      context: context of the architecture.
      blocks: number of blocks that are coded at the same time, each in separate lanes.
      shear: shear of the architecture.
      lane_multiple: the number of lanes is a multiple of this; the default fills vector units.
    """

    block_shape: Triple
    context: tuple[Triple, ...]
    blocks: int = 1
    shear: int = 2
    lane_multiple: int = 16

    @classmethod
    def of(
        cls, block_shape: Triple, architecture: Architecture | LinearArchitecture, blocks: int = 1
    ) -> Geometry:
        """The geometry for decoding blocks with a network of this architecture."""
        return cls(block_shape, architecture.context, blocks, architecture.shear)

    @classmethod
    def of_encoder(
        cls, block_shape: Triple, architecture: Architecture | LinearArchitecture, blocks: int = 1
    ) -> Geometry:
        """The same geometry with the number of lanes that is fastest for encoding.

        An encoder predicts STEPS_PREDICTED time steps at once, so any multiple of 4 lanes fills
        vector units. Multiples of 128 are avoided: context voxels would be multiples of a memory
        page apart and compete for the same cache lines. For wide networks, matrix products
        dominate, which are faster with the default lanes.
        """
        geometry = cls.of(block_shape, architecture, blocks)
        if max(architecture.hidden, default=0) > NARROW_HIDDEN:
            return geometry
        fewest = dataclasses.replace(geometry, lane_multiple=4)
        if fewest.lanes % 128:
            return fewest
        return dataclasses.replace(geometry, lane_multiple=fewest.lanes + 4)

    @functools.cached_property
    def pitch(self) -> int:
        """Time steps from a slice to the next."""
        gap = max(abs(dx) for _, _, dx in self.context)
        ahead = max(
            ((dx + self.shear * dy) // -dz for dz, dy, dx in self.context if dz < 0), default=0
        )
        return max(self.block_shape[2] + gap, ahead + 1)

    @property
    def num_steps(self) -> int:
        """Number of time steps of a whole block."""
        return self.steps_for(self.block_shape)

    def steps_for(self, extent: Triple) -> int:
        """Number of time steps for a box of shape `extent` (z, y, x) at the block's origin."""
        return (extent[0] - 1) * self.pitch + extent[2] + self.shear * (extent[1] - 1)

    @functools.cached_property
    def lags(self) -> tuple[int, ...]:
        """Time steps from a voxel to each of its context voxels; all negative."""
        return tuple(dz * self.pitch + dx + self.shear * dy for dz, dy, dx in self.context)

    @property
    def lead(self) -> int:
        """Number of rows of the history before the first time step."""
        return max(-min(self.lags), self.steps_together)

    @property
    def num_rows(self) -> int:
        """Number of time steps of a whole block, rounded up to a multiple of `steps_together`."""
        return -(-self.num_steps // self.steps_together) * self.steps_together

    @property
    def lanes(self) -> int:
        """Number of lanes of a block: its rows, and idle lanes up to a multiple."""
        return -(-self.block_shape[1] // self.lane_multiple) * self.lane_multiple

    @property
    def step_width(self) -> int:
        """Number of lanes of all blocks: voxels that are coded in one time step."""
        return self.blocks * self.lanes

    @property
    def margin(self) -> int:
        """Number of places on either side of a block's lanes in the history. They are always
        OUTSIDE, so that contexts do not reach into another block.
        """
        return max(abs(dy) for _, dy, _ in self.context)

    @property
    def lane_pitch(self) -> int:
        """Number of places of a block in a row of the history: its lanes and two margins."""
        return self.lanes + 2 * self.margin

    @property
    def row_width(self) -> int:
        """Number of places of all blocks in a row of the history."""
        return self.blocks * self.lane_pitch

    @property
    def steps_together(self) -> int:
        """Number of successive time steps, at most STEPS_TOGETHER, whose contexts in earlier slices
        do not depend on each other.
        """
        earlier = (-lag for lag, (dz, _, _) in zip(self.lags, self.context, strict=True) if dz < 0)
        return min([STEPS_TOGETHER, *earlier])

    @property
    def steps_predicted(self) -> int:
        """Number of time steps that an encoder predicts at once, a divisor of `steps_together`."""
        return math.gcd(self.steps_together, STEPS_PREDICTED)
