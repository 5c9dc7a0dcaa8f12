"""The architectures that come with jaxslice, and their names."""

from __future__ import annotations

import dataclasses

from jaxslice.codec.architecture import Architecture
from jaxslice.codec.linear import LinearArchitecture
from jaxslice.core.box import Triple


def _square(dz: int, radius: int) -> tuple[Triple, ...]:
    span = range(-radius, radius + 1)
    offsets = [(dz, dy, dx) for dy in span for dx in span]
    return tuple(sorted(offsets, key=lambda o: (o[1] ** 2 + o[2] ** 2, o)))


def _row(dy: int, first: int, last: int) -> tuple[Triple, ...]:
    return tuple((0, dy, dx) for dx in range(first, last + 1))


# Neighbours along x are adjacent where possible, so that a decoder gathers them with one slice of
# its history.
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
"""The default: 32 context voxels in the same slice, 13 in the previous one, 5 in the one before."""

_FURTHEST_LEFT_OUT = ((0, 0, -6), (0, -3, -3))

_IN_SLICE_LINEAR = tuple(offset for offset in _IN_SLICE if offset not in _FURTHEST_LEFT_OUT)

LINEAR = LinearArchitecture(
    context=_IN_SLICE_LINEAR + _square(-1, 2) + _square(-2, 1),
    fallback=len(_IN_SLICE_LINEAR),
    shear=3,
    scales=32,
    phases=2,
    predictors=4,
)
"""The linear predictor of the fast level: 30 context voxels in the same slice, 25 in the previous
one, 9 in the one before; 4 predictors for slices of different focus and noise."""

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
"""For long fine-tuning: a larger context, and about four times the multiply-adds of FULL."""

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
"""The smallest archives and the slowest coding: the largest context and network."""

_AHEAD: tuple[Triple, ...] = ((-1, 0, 0), (-2, 0, 0), (-3, 0, 0), (-4, 0, 0))

_AROUND = _square(-1, 2) + _square(-2, 1) + _square(-3, 1) + _square(-4, 1)

SLICES = Architecture(
    context=_AHEAD + tuple(offset for offset in _AROUND if offset not in _AHEAD),
    activity_count=12,
    fallback=0,
    hidden=(32, 32),
    components=3,
)
"""The context of Hinkle et al. (2020): the 4 previous slices, and no voxel of the same slice."""

CONTEXTS = {"full": FULL, "slices": SLICES}


@dataclasses.dataclass(frozen=True)
class Preset:
    """A named architecture.

    Attributes:
      architecture: of the network.
      least_voxels: of a volume for which the shipped model of this name pays for its size; None
        where no model is shipped.
    """

    architecture: Architecture
    least_voxels: int | None


PRESETS = {
    "default": Preset(FULL, 0),
    "medium": Preset(MEDIUM, 1 << 22),
    "large": Preset(LARGE, 3 << 22),
    "slices": Preset(SLICES, None),
}
"""The registry of models: from the smallest that is shipped to the largest, and then the others."""

SHIPPED = {name: p.least_voxels for name, p in PRESETS.items() if p.least_voxels is not None}
"""Name of each shipped model -> voxels of a volume for which it pays."""
