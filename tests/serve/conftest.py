"""A server on loopback that shows the small archive under two names."""

import pytest

from jaxslice.serve.server import Server, serving


@pytest.fixture(scope="session")
def server(small_archive):
    # A tiny cache and a tall pile of blocks: blocks are dropped and decoded again.
    with serving([small_archive, small_archive], cache_bytes=20_000) as running:
        assert isinstance(running, Server)
        yield running
