"""Architectures, and reading and writing of model files, some of which come with jaxslice."""
