"""Section 9 of FORMAT.md: limits."""

AXIS = 2**31 - 1
VOXELS = 2**62
CHUNK_AXIS = 2**16
CHUNK_VOXELS = 2**28
OLD_CHUNK_VOXELS = 2**31 - 1
STEPS = 2**31 - 1
SHARD_BLOCKS = 2**16
OFFSET = 2**53
VOXEL_NM = 1e18
JSON_BYTES = 2**24
JSON_DEPTH = 64


def most_payload_bytes(size: int) -> int:
    """Bytes of a payload, for a block of `size` bytes."""
    return 2 * size + 2**24


def most_words(size: int) -> int:
    """Words of the tail of a message, for coded voxels of `size` bytes."""
    return size // 4 + 1
