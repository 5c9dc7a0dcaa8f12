"""Blocks of voxels to bytes and back, in exact integers. No float network, no files."""
