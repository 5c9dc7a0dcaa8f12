"""Archives: metadata, blocks in storage, the zarr codec, lazy arrays. Reading needs no training."""
