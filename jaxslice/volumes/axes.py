"""How z, y and x lie in stored arrays, which may have more axes or fewer."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from jaxslice.core.box import Box, Triple
from jaxslice.core.errors import UsageError
from jaxslice.core.shorten import short_repr
from jaxslice.volumes.interface import SourceOptions

MOST_VOXELS = 2**62
"""Of an array: more than any disk holds."""

USUAL = {2: "yx", 3: "zyx", 4: "czyx", 5: "tczyx"}
"""Axes of an array that does not name them, by their number."""


_MOST_COLOURS = 4


def usual_axes(shape: Sequence[int]) -> str | None:
    """Axes of an array that does not name them; None if it has too few or too many.

    Three or four entries along the last axis are colours, as pictures are stored, unless the first
    axis is as short.
    """
    if len(shape) == 4 and shape[0] > _MOST_COLOURS and shape[-1] in (3, _MOST_COLOURS):
        return "zyxc"
    return USUAL.get(len(shape))


@dataclasses.dataclass(frozen=True)
class View:
    """z,y,x as seen in an array of named axes.

    Attributes:
      axes: a letter for each axis of the array, slowest first. c is the channel and t the time;
        an axis of z, y or x that is absent has one voxel.
      shape: of the array.
      selected: index of each other axis.
    """

    axes: str
    shape: tuple[int, ...]
    selected: dict[str, int] = dataclasses.field(default_factory=dict, hash=False)

    @property
    def volume_shape(self) -> Triple:
        """Voxels along z, y and x."""
        sizes = dict(zip(self.axes, self.shape, strict=True))
        return (sizes.get("z", 1), sizes.get("y", 1), sizes.get("x", 1))

    def triple(self, values: Sequence[int], absent: int = 1) -> Triple:
        """The values of z, y and x among those of all axes, such as a chunk's shape."""
        of = {axis: int(value) for axis, value in zip(self.axes, values, strict=True)}
        return (of.get("z", absent), of.get("y", absent), of.get("x", absent))

    def several(self) -> dict[str, int]:
        """What is selected along axes of more than one entry."""
        sizes = dict(zip(self.axes, self.shape, strict=True))
        return {axis: index for axis, index in self.selected.items() if sizes[axis] > 1}

    def index(self, box: Box) -> tuple[slice | int, ...]:
        """The index of the array that gives a box, its first voxel being at 0,0,0."""
        parts = dict(zip("zyx", box.slices, strict=True))
        return tuple(parts[a] if a in parts else self.selected.get(a, 0) for a in self.axes)

    def arrange(self, part: np.ndarray) -> np.ndarray:
        """z,y,x of what that index gave."""
        kept = [axis for axis in self.axes if axis in "zyx"]
        part = part.transpose([kept.index(axis) for axis in "zyx" if axis in kept])
        return np.expand_dims(part, [n for n, axis in enumerate("zyx") if axis not in kept])


def view_of(
    place: str,
    axes: str | None,
    shape: Sequence[int],
    options: SourceOptions,
    channels: Sequence[str] = (),
) -> View:
    """Finds z, y and x in an array, and one index of each other axis.

    Args:
      place: for messages.
      axes: of the array, if it names them; other letters than tczyx are taken for channels where
        they have one entry only.
      shape: of the array.
      options: `channel` and `time` choose where there are several.
      channels: their names.

    Raises:
      UsageError: the array has no voxels, too many, or other axes; or several channels or times
        of which none is chosen.
    """
    if not all(type(n) is int and n > 0 for n in shape):
        raise UsageError(f"Got {place!r} of shape {short_repr(shape)}, expected at least 1 voxel.")
    if math.prod(shape) > MOST_VOXELS:
        raise UsageError(
            f"Got {place!r} of shape {short_repr(shape)}, expected at most {MOST_VOXELS} voxels."
        )
    axes = axes or usual_axes(shape)
    if axes is None or len(axes) != len(shape) or len(set(axes) & set("zyx")) < 2:
        raise UsageError(
            f"Got {place!r} with the axes {axes or short_repr(shape)}, expected z, y and x, with "
            "channels and times at most."
        )
    selected: dict[str, int] = {}
    for axis, size in zip(axes, shape, strict=True):
        if axis in "zyx":
            continue
        chosen = options.time if axis == "t" else options.channel
        selected[axis] = _chosen(place, axis, size, chosen, channels)
    return View(axes, tuple(shape), selected)


def _chosen(
    place: str, axis: str, size: int, chosen: int | str | None, channels: Sequence[str]
) -> int:
    flag = "time" if axis == "t" else "channel"
    names = list(channels) if axis == "c" and len(channels) == size else []
    if chosen is None:
        if size == 1:
            return 0
        said = f" ({', '.join(names)})" if names else ""
        raise UsageError(
            f"Got {place!r} with {size} entries along {axis}{said}, expected --{flag} to choose"
            " one."
        )
    text = str(chosen)
    if text in names:
        return names.index(text)
    if text.isdecimal() and int(text) < size:
        return int(text)
    others = f" or one of {', '.join(names)}" if names else ""
    raise UsageError(
        f"Got the {flag} {text!r} of {place!r}, expected an index from 0 to {size - 1}{others}."
    )


def axes_named(names: Sequence[str | None] | None) -> str | None:
    """A letter for each axis of an array that names them; None if some have no usual name."""
    letters = {"channel": "c", "time": "t"}
    found = [letters.get(name, name) for name in ((n or "").lower() for n in names or ())]
    ok = found and all(name in tuple("tczyx") for name in found) and len(set(found)) == len(found)
    return "".join(found) if ok else None
