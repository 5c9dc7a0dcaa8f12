"""Where the chunks of a precomputed scale are, and what they are called."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator

from jaxslice.core.box import Box, Triple


@dataclasses.dataclass(frozen=True)
class ChunkGrid:
    """Where the chunks of a scale are, x,y,z, relative to its first voxel.

    Attributes:
      size: of the scale.
      chunk_size: of its chunks.
      offset: of its first voxel.
    """

    size: Triple
    chunk_size: Triple
    offset: Triple

    def extent(self, index: Triple) -> tuple[Triple, Triple]:
        """First voxel and size of a chunk, which the far edges of the scale cut."""
        starts = [i * c for i, c in zip(index, self.chunk_size, strict=True)]
        sizes = [min(c, n - a) for a, c, n in zip(starts, self.chunk_size, self.size, strict=True)]
        return (starts[0], starts[1], starts[2]), (sizes[0], sizes[1], sizes[2])

    def box(self, index: Triple) -> Box:
        """The voxels of a chunk, z,y,x."""
        (x, y, z), (width, height, depth) = self.extent(index)
        return Box.of_shape((depth, height, width), (z, y, x))

    def indices(self, box: Box) -> Iterator[Triple]:
        """The chunks that a box z,y,x has voxels of."""
        edges = zip(box.start[::-1], box.stop[::-1], self.chunk_size, strict=True)
        columns, rows, slabs = (range(a // c, -(-b // c)) for a, b, c in edges)
        return itertools.product(columns, rows, slabs)

    def name(self, index: Triple) -> str:
        """What a chunk is called."""
        starts, sizes = self.extent(index)
        begins = [a + o for a, o in zip(starts, self.offset, strict=True)]
        return "_".join(f"{a}-{a + n}" for a, n in zip(begins, sizes, strict=True))

    def number(self, index: Triple) -> int:
        """The compressed Morton code of a chunk, its number in a sharded scale."""
        grid = [-(-n // c) for n, c in zip(self.size, self.chunk_size, strict=True)]
        bits = [(n - 1).bit_length() for n in grid]
        code = place = 0
        for level in range(max(bits)):
            for axis in range(3):
                if level < bits[axis]:
                    code |= (index[axis] >> level & 1) << place
                    place += 1
        return code
