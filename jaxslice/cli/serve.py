"""`jaxslice serve`: archives over HTTP, for Neuroglancer and other viewers."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from typing import Any, TextIO

from absl import flags

from jaxslice.cli import backend, shared_flags
from jaxslice.cli.command import Command
from jaxslice.cli.flag_types import define_text
from jaxslice.cli.terminal import printable
from jaxslice.serve.server import (
    CACHE_BYTES,
    LOOPBACK,
    MOST_CONNECTIONS,
    PORT,
    Server,
    serving,
)
from jaxslice.serve.viewer import local_viewers

_SERVER = "Server"
_MEGABYTE = 10**6


def _define_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_integer(
        "port", PORT, "Port to listen at; 0 takes a free one.", 0, 2**16 - 1, values,
        module_name=_SERVER,
    )  # fmt: skip
    define_text(
        values, "host", LOOPBACK,
        "Address to listen at. The default lets only programs on this machine connect; 0.0.0.0 "
        "lets everybody who can reach the machine read the volumes.", _SERVER,
    )  # fmt: skip
    flags.DEFINE_integer(
        "connections", MOST_CONNECTIONS,
        "Most connections at the same time. The longest idle one makes room for a new one.", 1,
        10**6, values, module_name=_SERVER,
    )  # fmt: skip
    flags.DEFINE_enum(
        "gzip", "auto", ["auto", "always", "never"],
        "Whether voxels are sent compressed; auto does so for other machines.", values,
        module_name=_SERVER,
    )  # fmt: skip
    flags.DEFINE_integer(
        "cache_mb", CACHE_BYTES // _MEGABYTE, "Most memory for decoded blocks, in MB.", 0, 10**7,
        values, module_name=shared_flags.RESOURCES,
    )  # fmt: skip
    shared_flags.define_json(values)


def _run(values: flags.FlagValues, *archives: str) -> dict[str, Any]:
    backend.start_backend("auto")
    logging.basicConfig(format="jaxslice: %(message)s", level=logging.WARNING, stream=sys.stderr)
    with (
        serving(
            archives,
            host=values.host,
            port=values.port,
            gzip=values.gzip,
            cache_bytes=values.cache_mb * _MEGABYTE,
            most_connections=values.connections,
        ) as server,
        local_viewers(server.site.volumes.values(), server.url, values.host) as viewers,
    ):
        _announce(server, viewers, sys.stderr if values.json else sys.stdout)
        # The server stops when the process is interrupted, which is how it is meant to end.
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()
    return {"url": server.url, "volumes": list(server.links), **server.counts()}


def _announce(server: Server, viewers: dict[str, str], stream: TextIO) -> None:
    for name, link in server.links.items():
        print(printable(name), file=stream)
        if name in viewers:
            print(f"  Neuroglancer, from this machine:   {viewers[name]}", file=stream)
        print(f"  Neuroglancer, from the Internet:   {link}", file=stream)
        print(f"  for programs:  precomputed://{server.url}/{name}/precomputed", file=stream)
        print(f"                 {server.url}/{name}/zarr", file=stream)
    print("Ctrl-C stops the server.", file=stream, flush=True)


COMMAND = Command(
    name="serve",
    arguments=("ARCHIVE...",),
    description="Serves each ARCHIVE over HTTP until it is interrupted: as a Neuroglancer "
    "precomputed volume and as plain Zarr, decoded as it is looked at. Prints a link that opens "
    "Neuroglancer from its public site, and one to the viewer of this machine if the package "
    "neuroglancer is installed.",
    examples=(
        "jaxslice serve volume.zarr",
        "jaxslice serve first.zarr second.zarr --port=8080 --cache_mb=4000",
    ),
    define_flags=_define_flags,
    run=_run,
)
