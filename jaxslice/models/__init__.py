"""Architectures, the model files that come with jaxslice, and how they are read."""
