"""What all fuzz targets share: what a target is, and what it may answer hostile bytes with."""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jaxslice.codec import linear, network_bytes
from jaxslice.core.errors import FormatError, StorageError, UsageError

CORPUS = Path(__file__).parent / "corpus"

REFUSALS = (FormatError, UsageError, StorageError)
"""The errors that bytes of others may lead to. Everything else is a crash."""

SEPARATOR = b"\0"
"""Between the documents of an input of several; no JSON holds it."""


@dataclasses.dataclass(frozen=True)
class Target:
    """A parser of foreign bytes, and what must hold of it.

    Attributes:
      name: of the target, and of the folder of its corpus.
      check: takes any bytes. What it raises is a finding.
      has_json: whether inputs hold JSON, to be changed as documents rather than as bytes.
    """

    name: str
    check: Callable[[bytes], None]
    has_json: bool = False

    def corpus(self) -> list[bytes]:
        """The inputs to begin with, and those that once were findings."""
        return [path.read_bytes() for path in sorted((CORPUS / self.name).iterdir())]


@contextlib.contextmanager
def may_refuse() -> Iterator[None]:
    """Lets the code inside refuse what it was given, by the errors that are documented."""
    with contextlib.suppress(*REFUSALS):
        yield


def scratch() -> Path:
    """A new folder, in memory where the machine has that, which goes when Python ends."""
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    folder = tempfile.mkdtemp(prefix="jaxslice-fuzz-", dir=memory)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def unpack_network(configuration: Any) -> None:
    """Unpacks and proves the network of a configuration, without the probe of the device."""
    architecture, data = configuration.architecture, configuration.packed_network
    if isinstance(architecture, linear.LinearArchitecture):
        linear.unpack(data, architecture)
    elif configuration.coded_network:
        network_bytes.unpack_coded(data, architecture)
    else:
        network_bytes.unpack(data, architecture)
