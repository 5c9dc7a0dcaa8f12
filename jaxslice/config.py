"""Frozen descriptions of what to compute: the network's architecture and the march's geometry."""

from __future__ import annotations

import dataclasses
import functools
import math

from jaxslice.box import Triple
from jaxslice.errors import FormatError

FORMAT_VERSION = 1
"""Of payloads that are decoded with the archive's network, and of archives of nothing else."""

OWN_NETWORKS_VERSION = 2
"""Of payloads that bring a network of their own, and of archives that may hold some."""

ARCHIVE_VERSION = 3
"""Of archives that are made now: the architecture says its shear and its activity's offset, the
network is coded, and whether blocks may bring networks of their own is told apart."""

SYMBOL_LIMIT = 256
"""Most symbols that an alphabet can have: the levels of an 8-bit voxel."""

MAX_CONTEXT = 256
MAX_HIDDEN = 256
MAX_COMPONENTS = 8
MAX_SHEAR = 8
ACTIVITY_HIGH = 4096
"""Most that the activity, its offset included, can be."""

STEPS_TOGETHER = 16
"""Time steps whose contexts in earlier slices are gathered at once."""

NARROW_HIDDEN = 32
"""Most units of a hidden layer for whose sake an encoder takes lanes that fit the cache; see
`Geometry.of_encoder`."""

STEPS_PREDICTED = 8
"""Time steps that an encoder predicts at once. More lets XLA's CPU backend spread one product over
threads that have blocks of their own to run."""

NUM_FEATURES = 2
"""Inputs of the network beside the context: the reference and the logarithm of the activity."""


@dataclasses.dataclass(frozen=True)
class Architecture:
    """The shape of a network: everything about it but its weights.

    Attributes:
      context: offsets (dz, dy, dx) of the causal voxels that a prediction reads, those of the
        slice itself before those of earlier slices. The first four give the reference value, so
        they should be the nearest.
      activity_count: how many of the first context voxels measure the local activity.
      fallback: index in `context` of the voxel that stands in where the first two are outside.
      hidden: units of each hidden layer.
      components: components of the predicted mixture.
      shear: time steps from a voxel to the one below it: how far to the right the context may reach
        in the rows above, at the price of as many steps for each row.
      activity_offset: added to the activity: keeps scales finite where all neighbours agree, and
        steady where few differ. Archives before ARCHIVE_VERSION have 16, and a shear of 2.
    """

    context: tuple[Triple, ...]
    activity_count: int
    fallback: int
    hidden: tuple[int, ...]
    components: int
    shear: int = 2
    activity_offset: int = 16

    def __post_init__(self):
        """Refuses what the march or the overflow proof could not handle (FormatError)."""
        causal = all(
            (dz < 0 or dx + self.shear * dy < 0) and dz <= 0 and max(abs(dy), abs(dx), -dz) <= 16
            for dz, dy, dx in self.context
        )
        most = ACTIVITY_HIGH - 255 * self.activity_count
        ranges = (
            (len(self.context), 4, MAX_CONTEXT, "context voxels"),
            (self.activity_count, 1, min(len(self.context), 16), "activity voxels"),
            (self.fallback, 0, len(self.context) - 1, "as the fallback's index"),
            (len(self.hidden), 1, 4, "hidden layers"),
            (min(self.hidden, default=0), 1, MAX_HIDDEN, "hidden units"),
            (max(self.hidden, default=0), 1, MAX_HIDDEN, "hidden units"),
            (self.components, 1, MAX_COMPONENTS, "mixture components"),
            (self.shear, 2, MAX_SHEAR, "as the shear"),
            (self.activity_offset, 16, most, "to add to the activity"),
        )
        for got, low, high, what in ranges:
            if not low <= got <= high:
                raise FormatError(f"Got {got} {what}, expected {low} to {high}.")
        slices = [dz for dz, _, _ in self.context]
        if slices != sorted(slices, key=lambda dz: dz < 0):
            raise FormatError("Got a context whose dz = 0 voxels do not all come first.")
        if not causal or len(set(self.context)) != len(self.context):
            raise FormatError(
                "Got a context that is not causal, repeats an offset or reaches further than 16; "
                f"expected dz < 0, or dz = 0 and dx + {self.shear} dy < 0."
            )

    @property
    def layer_shapes(self) -> tuple[tuple[int, int], ...]:
        """(outputs, inputs) of each layer."""
        widths = (len(self.context) + NUM_FEATURES, *self.hidden, 3 * self.components)
        return tuple(zip(widths[1:], widths[:-1], strict=True))

    @property
    def num_params(self) -> int:
        """Weights and biases."""
        return sum(outputs * (inputs + 1) for outputs, inputs in self.layer_shapes)

    @property
    def multiply_adds_per_voxel(self) -> int:
        """Multiply-adds of one prediction's matrix products."""
        return sum(outputs * inputs for outputs, inputs in self.layer_shapes)

    def to_json(self) -> dict:
        """A JSON object that `from_json` reads back."""
        return {
            "context": [list(offset) for offset in self.context],
            "activity_count": self.activity_count,
            "fallback": self.fallback,
            "hidden": list(self.hidden),
            "components": self.components,
            "shear": self.shear,
            "activity_offset": self.activity_offset,
        }

    @classmethod
    def from_json(cls, value: dict) -> Architecture:
        """The architecture that `to_json` wrote, before ARCHIVE_VERSION too.

        Raises:
          FormatError: a field is missing, of another type, or out of range.
        """
        try:
            context = tuple((_integer(z), _integer(y), _integer(x)) for z, y, x in value["context"])
            return cls(
                context=context,
                activity_count=_integer(value["activity_count"]),
                fallback=_integer(value["fallback"]),
                hidden=tuple(_integer(units) for units in value["hidden"]),
                components=_integer(value["components"]),
                shear=_integer(value.get("shear", cls.shear)),
                activity_offset=_integer(value.get("activity_offset", cls.activity_offset)),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise FormatError(
                f"Got an architecture that cannot be read ({error!r}), expected the fields context,"
                " activity_count, fallback, hidden and components."
            ) from None


def _integer(value: object) -> int:
    """The value, if it is an integer as JSON knows them and not, say, 3.7, true or "3"."""
    if type(value) is not int:
        raise TypeError(f"{value!r} is no integer")
    return value


def _square(dz: int, radius: int) -> tuple[Triple, ...]:
    span = range(-radius, radius + 1)
    offsets = [(dz, dy, dx) for dy in span for dx in span]
    return tuple(sorted(offsets, key=lambda o: (o[1] ** 2 + o[2] ** 2, o)))


def _row(dy: int, first: int, last: int) -> tuple[Triple, ...]:
    return tuple((0, dy, dx) for dx in range(first, last + 1))


# Voxels that follow each other along x stand together where that is possible: a decoder then takes
# them from its history in one piece.
_NEAREST: tuple[Triple, ...] = (
    *((0, 0, -1), (0, -1, 0), (0, -1, 1), (0, -1, -1)),
    *_row(0, -3, -2), (0, -1, -2), *_row(-2, -2, 2),
)  # fmt: skip
_FURTHER = _row(0, -6, -1) + _row(-1, -4, 2) + _row(-2, -4, 4) + _row(-3, -3, 3) + _row(-4, -1, 1)
_IN_SLICE = _NEAREST + tuple(offset for offset in _FURTHER if offset not in _NEAREST)

FULL = Architecture(
    context=_IN_SLICE + _square(-1, 2)[:13] + _square(-2, 1)[:5],
    activity_count=len(_NEAREST),
    fallback=len(_IN_SLICE),
    hidden=(24, 12),
    components=2,
    shear=3,
    activity_offset=64,
)
"""Default: 32 causal voxels of the slice itself, 13 of the slice before and 5 of the one before."""

_NEXT = (
    *(_row(0, -7, -1) + _row(-1, -5, 3) + _row(-2, -5, 6) + _row(-3, -4, 4)),
    *(_row(-4, -3, 3) + _row(-5, -2, 2)),
)
_IN_SLICE_MEDIUM = _NEAREST + tuple(offset for offset in _NEXT if offset not in _NEAREST)

MEDIUM = Architecture(
    context=_IN_SLICE_MEDIUM + _square(-1, 2) + _square(-2, 1)[:5],
    activity_count=len(_NEAREST),
    fallback=len(_IN_SLICE_MEDIUM),
    hidden=(56, 32),
    components=3,
    shear=4,
    activity_offset=64,
)
"""Where a network is tuned for long: some more voxels, and three times the work."""

_FURTHEST = (
    *(_row(0, -8, -1) + _row(-1, -6, 3) + _row(-2, -6, 6) + _row(-3, -5, 5)),
    *(_row(-4, -4, 4) + _row(-5, -3, 3) + _row(-6, -2, 2)),
)
_IN_SLICE_WIDE = _NEAREST + tuple(offset for offset in _FURTHEST if offset not in _NEAREST)

LARGE = Architecture(
    context=_IN_SLICE_WIDE + _square(-1, 2) + _square(-2, 1),
    activity_count=len(_NEAREST),
    fallback=len(_IN_SLICE_WIDE),
    hidden=(80, 48),
    components=3,
    shear=4,
    activity_offset=64,
)
"""For those who have the time: more voxels of every slice, and a network four times as large."""

_AHEAD: tuple[Triple, ...] = ((-1, 0, 0), (-2, 0, 0), (-3, 0, 0), (-4, 0, 0))
_AROUND = _square(-1, 2) + _square(-2, 1) + _square(-3, 1) + _square(-4, 1)

SLICES = Architecture(
    context=_AHEAD + tuple(offset for offset in _AROUND if offset not in _AHEAD),
    activity_count=12,
    fallback=0,
    hidden=(32, 32),
    components=3,
)
"""The context of Hinkle et al. (2020): the 4 previous slices and nothing of the present one."""

CONTEXTS = {"full": FULL, "slices": SLICES}


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
