"""How a block is laid out in time: lanes, lags, rows."""

from __future__ import annotations

import dataclasses
import functools
import math

from jaxslice.codec.architecture import Architecture
from jaxslice.core.box import Triple

STEPS_TOGETHER = 16
"""Time steps whose contexts in earlier slices are gathered at once."""


NARROW_HIDDEN = 32
"""Most units of a hidden layer for whose sake an encoder takes lanes that fit the cache; see
`Geometry.of_encoder`."""


STEPS_PREDICTED = 8
"""Time steps that an encoder predicts at once. More lets XLA's CPU backend spread one product over
threads that have blocks of their own to run."""


@dataclasses.dataclass(frozen=True)
class Geometry:
    """How a block is laid out in time, from its shape and the context alone.

    Voxel (z, y, x) is coded at time `z * pitch + x + shear * y` in lane `y`, so that a context
    voxel (dz, dy, dx) always lies `lag = dz * pitch + dx + shear * dy` steps away, in lane
    `y + dy`. The pitch leaves a gap after each row, wide enough that no offset reaches across it
    into another row and that every lag is negative.

    Attributes:
      block_shape: (z, y, x).
      context: of the architecture.
      blocks: how many blocks march side by side, each in lanes of its own.
      shear: of the architecture.
      lane_multiple: what the number of lanes is a multiple of; the default fills vector units.
    """

    block_shape: Triple
    context: tuple[Triple, ...]
    blocks: int = 1
    shear: int = 2
    lane_multiple: int = 16

    @classmethod
    def of(cls, block_shape: Triple, architecture: Architecture, blocks: int = 1) -> Geometry:
        """The geometry of blocks that a network of this architecture predicts."""
        return cls(block_shape, architecture.context, blocks, architecture.shear)

    @classmethod
    def of_encoder(
        cls, block_shape: Triple, architecture: Architecture, blocks: int = 1
    ) -> Geometry:
        """The same march with other lanes, where an encoder is quicker with them.

        It predicts STEPS_PREDICTED time steps at once, whose vectors are full with any multiple of
        4. With a multiple of 128, context voxels are whole pages of memory apart and fall on each
        other in the cache. What that saves, wide networks' matrix products lose.
        """
        geometry = cls.of(block_shape, architecture, blocks)
        if max(architecture.hidden) > NARROW_HIDDEN:
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
        """Time steps of a whole block."""
        return self.steps_for(self.block_shape)

    def steps_for(self, extent: Triple) -> int:
        """Time steps until the last voxel of a box of shape `extent` at the block's origin."""
        return (extent[0] - 1) * self.pitch + extent[2] + self.shear * (extent[1] - 1)

    @functools.cached_property
    def lags(self) -> tuple[int, ...]:
        """Time from the present voxel to each context voxel, in steps; all negative."""
        return tuple(dz * self.pitch + dx + self.shear * dy for dz, dy, dx in self.context)

    @property
    def lead(self) -> int:
        """Rows of history needed before the first time step."""
        return max(-min(self.lags), self.steps_together)

    @property
    def num_rows(self) -> int:
        """Time steps of a whole block, rounded up to whole chunks of `steps_together`."""
        return -(-self.num_steps // self.steps_together) * self.steps_together

    @property
    def lanes(self) -> int:
        """Lanes of a block that are computed: its rows, and some that rest."""
        return -(-self.block_shape[1] // self.lane_multiple) * self.lane_multiple

    @property
    def step_width(self) -> int:
        """Lanes of all blocks: voxels that are coded in one time step."""
        return self.blocks * self.lanes

    @property
    def margin(self) -> int:
        """Places on either side of a block's lanes in the history, which stay OUTSIDE, so that no
        lane reads another's voxels across the block's border.
        """
        return max(abs(dy) for _, dy, _ in self.context)

    @property
    def lane_pitch(self) -> int:
        """Places of a block in one time step of the history: its lanes between two margins."""
        return self.lanes + 2 * self.margin

    @property
    def row_width(self) -> int:
        """Places in the history of one time step."""
        return self.blocks * self.lane_pitch

    @property
    def steps_together(self) -> int:
        """How many time steps can be taken before one reads what another of them wrote, as far as
        earlier slices go; never more than STEPS_TOGETHER.
        """
        earlier = (-lag for lag, (dz, _, _) in zip(self.lags, self.context, strict=True) if dz < 0)
        return min([STEPS_TOGETHER, *earlier])

    @property
    def steps_predicted(self) -> int:
        """How many time steps an encoder predicts at once: a divisor of `steps_together`."""
        return math.gcd(self.steps_together, STEPS_PREDICTED)
