"""The network of an archive, ready to code with."""

from __future__ import annotations

import functools
import os
import threading
from typing import TYPE_CHECKING

from jaxslice.archive.configuration import CodecConfiguration

if TYPE_CHECKING:
    from jaxslice.codec.network import Model


def model_of(configuration: CodecConfiguration, engine: str = "auto") -> Model:
    """The network of a codec's configuration, unpacked and proven; the engine passes the probe.

    Threads that come while one is at it wait for its result.

    Raises:
      FormatError: the network is damaged or could overflow.
      DeviceError: the device does not compute as it must.
      UsageError: the engine cannot be used.
    """
    with _LOCK:
        return _model_of(configuration, engine)


_LOCK = threading.Lock()
"""`lru_cache` alone would let threads that come at the same time each do the work."""


def _after_fork() -> None:
    """A thread that is not in the forked process may have held the lock."""
    global _LOCK
    _LOCK = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@functools.lru_cache(maxsize=8)
def _model_of(configuration: CodecConfiguration, engine: str) -> Model:
    from jaxslice.codec import linear, network_bytes, probes
    from jaxslice.codec.network import Model

    architecture, data = configuration.architecture, configuration.packed_network
    probes.check_devices(architecture, engine)
    if isinstance(architecture, linear.LinearArchitecture):
        return Model(architecture, linear.unpack(data, architecture))
    unpack = network_bytes.unpack_coded if configuration.coded_network else network_bytes.unpack
    return Model(architecture, unpack(data, architecture))
