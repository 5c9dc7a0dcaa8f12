"""The lossless codec: blocks of voxels to bytes and back, in exact integer arithmetic."""
