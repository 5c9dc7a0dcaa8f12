"""Axis-aligned boxes of voxels, always in z,y,x order."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator

from jaxslice.core.errors import UsageError
from jaxslice.core.whole_numbers import three_whole

Triple = tuple[int, int, int]


@dataclasses.dataclass(frozen=True)
class Box:
    """A half-open box of voxels: `start <= (z, y, x) < stop`.

    Start and stop may be given as any three whole numbers, such as an array of NumPy's.
    """

    start: Triple
    stop: Triple

    def __post_init__(self):
        """Refuses what are not three whole numbers each (UsageError)."""
        object.__setattr__(self, "start", three_whole(self.start, "the start of a box"))
        object.__setattr__(self, "stop", three_whole(self.stop, "the stop of a box"))

    @classmethod
    def of_shape(cls, shape: Triple, start: Triple = (0, 0, 0)) -> Box:
        """The box of `shape` voxels that begins at `start`."""
        z, y, x = (a + n for a, n in zip(start, shape, strict=True))
        return cls(start, (z, y, x))

    @classmethod
    def parse(cls, text: str) -> Box:
        """Reads `z0:z1,y0:y1,x0:x1`.

        Raises:
          UsageError: the text has another form, or a range that is empty.
        """
        try:
            ranges = [tuple(int(n) for n in part.split(":")) for part in text.split(",")]
            (z0, z1), (y0, y1), (x0, x1) = ranges
        except ValueError:
            raise UsageError(f"Got the box {text!r}, expected z0:z1,y0:y1,x0:x1.") from None
        box = cls((z0, y0, x0), (z1, y1, x1))
        if min(box.shape) < 1:
            raise UsageError(f"Got the box {text!r}, expected every start to be below its stop.")
        return box

    @property
    def shape(self) -> Triple:
        """Voxels along z, y and x."""
        z, y, x = (b - a for a, b in zip(self.start, self.stop, strict=True))
        return (z, y, x)

    @property
    def size(self) -> int:
        """Number of voxels."""
        z, y, x = self.shape
        return z * y * x

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """The box as a NumPy index."""
        z, y, x = (slice(a, b) for a, b in zip(self.start, self.stop, strict=True))
        return (z, y, x)

    def contains(self, other: Box) -> bool:
        """Whether every voxel of `other` lies in this box."""
        return self.intersect(other) == other

    def intersect(self, other: Box) -> Box:
        """The voxels that both boxes share (of size 0 where they share none)."""
        start = _triple(max(a, b) for a, b in zip(self.start, other.start, strict=True))
        stop = _triple(min(a, b) for a, b in zip(self.stop, other.stop, strict=True))
        return Box(start, _triple(max(a, b) for a, b in zip(start, stop, strict=True)))

    def shift(self, by: Triple) -> Box:
        """The box moved by `by` voxels."""
        return Box(
            _triple(a + d for a, d in zip(self.start, by, strict=True)),
            _triple(b + d for b, d in zip(self.stop, by, strict=True)),
        )

    def relative_to(self, origin: Triple) -> Box:
        """The box in coordinates whose origin is at `origin`."""
        return self.shift(_triple(-o for o in origin))

    def tiles(self, tile_shape: Triple) -> Iterator[Box]:
        """Boxes of `tile_shape` (smaller at the far edges) that cover this one, x fastest."""
        starts = (range(a, b, n) for a, b, n in zip(self.start, self.stop, tile_shape, strict=True))
        for start in itertools.product(*starts):
            yield self.intersect(Box.of_shape(tile_shape, _triple(start)))

    def __str__(self) -> str:
        return ",".join(f"{a}:{b}" for a, b in zip(self.start, self.stop, strict=True))


def _triple(values) -> Triple:
    z, y, x = values
    return (z, y, x)


def parse_shape(text: str) -> Triple:
    """Reads `z,y,x`.

    Raises:
      UsageError: the text has another form.
    """
    try:
        z, y, x = (int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"Got the shape {text!r}, expected z,y,x such as 64,256,256.") from None
    return (z, y, x)
