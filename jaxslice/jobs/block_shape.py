"""The shape of a volume's blocks, from the volume's own shape."""

from jaxslice.archive.shards import check_shards
from jaxslice.core.box import Triple
from jaxslice.core.errors import FormatError, UsageError

BLOCK_SHAPE: Triple = (64, 256, 256)
"""Of a volume that is large along every axis, at the efforts that favour quick reading."""

LARGEST_BLOCK_AXIS = 4096
LARGEST_DEPTH = 1024
"""Most slices of a block where slices are small."""


def default_block_shape(shape: Triple, depth: int = BLOCK_SHAPE[0]) -> Triple:
    """The shape of a volume's blocks where none is requested.

    Blocks are `depth` x 256 x 256, or up to an eighth more along an axis where that spares a cut:
    voxels next to a cut cost more. In a volume of few slices, blocks are longer along x instead,
    and then along y, so that they have as many voxels, up to a quarter more where that spares a
    cut: what a lane costs beside its voxels is shared by more of them. Where a block holds whole
    slices, it holds more of them for the same reason.

    Args:
      shape: of the volume.
      depth: most slices of a block.
    """
    _, height, width = BLOCK_SHAPE
    voxels = depth * height * width
    depth = _fitted(shape[0], depth, depth + depth // 8)
    height = _fitted(shape[1], height, height + height // 8)
    width = _filling(shape[2], voxels, depth * height)
    if width == shape[2]:
        taller = _filling(shape[1], voxels, depth * width)
        height = taller if -(-shape[1] // taller) < -(-shape[1] // height) else height
    if (height, width) == shape[1:]:
        depth = max(depth, _fitted(shape[0], *_lengths(voxels, height * width, LARGEST_DEPTH)))
    return (depth, height, width)


def _filling(size: int, voxels: int, others: int) -> int:
    """How long blocks of about so many voxels are along an axis, given the other two's product."""
    return _fitted(size, *_lengths(voxels, others, LARGEST_BLOCK_AXIS))


def _lengths(voxels: int, others: int, largest: int) -> tuple[int, int]:
    """How long blocks are at most along an axis, and where that spares a cut."""
    return min(voxels // others, largest), min((voxels + voxels // 4) // others, largest)


def fitted_block_shape(largest: Triple, shape: Triple) -> Triple:
    """The shape of blocks that are at most `largest`, without slivers at the far edges.

    Args:
      largest: that blocks may be.
      shape: of the volume.
    """
    z, y, x = (_fitted(size, most, most) for size, most in zip(shape, largest, strict=True))
    return (z, y, x)


def fitted_shard_shape(largest: Triple, block_shape: Triple, shape: Triple) -> Triple:
    """The shape of shards that are at most `largest` and of whole blocks, at least one.

    Args:
      largest: that shards may be.
      block_shape: of the blocks.
      shape: of the volume.

    Raises:
      UsageError: they would hold too many blocks.
    """
    z, y, x = (
        b * max(1, min(most // b, -(-n // b)))
        for most, b, n in zip(largest, block_shape, shape, strict=True)
    )
    try:
        check_shards(block_shape, (z, y, x))
    except FormatError as error:
        raise UsageError(str(error)) from None
    return (z, y, x)


def _fitted(size: int, most: int, stretched: int) -> int:
    """How long blocks are along an axis: at most `most`, or `stretched` where that spares a cut.

    A block costs as much as its shape, however little of it lies in the volume. Where the last
    block would be less than half full, all blocks are made equally long instead.
    """
    count = -(-size // stretched)
    last = size - (count - 1) * most
    equal = count == 1 or last > most or 2 * last < most
    return -(-size // count) if equal else most
