"""Archives over HTTP, for Neuroglancer and for programs that read precomputed volumes or Zarr."""
