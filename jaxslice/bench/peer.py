"""What a peer is: another lossless codec, with the settings that it is measured at."""

from __future__ import annotations

import dataclasses
import importlib
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxslice.core.errors import MissingExtraError


def cpu_seconds() -> float:
    """Seconds that all cores have spent on this process and on the programs that it has run."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


@dataclasses.dataclass(frozen=True)
class Peer:
    """One codec, with the settings that it is measured at.

    Attributes:
      name: as shown in tables.
      encode: bytes of an array: of one slice [y,x], or of a volume [z,y,x] where `whole_volume`.
      decode: the inverse of `encode`. Flat where `whole_volume`, and there uint8 is allowed for the
        bytes of any voxels, because such bytes need not hold a shape or a type.
      whole_volume: whether the codec takes a volume at once rather than slice by slice.
      sixteen_bits: whether it also takes uint16. All take uint8.
      clock: CPU seconds that have been spent on coding so far; only differences mean anything.
    """

    name: str
    encode: Callable[[np.ndarray], bytes | bytearray]
    decode: Callable[[bytes | bytearray], np.ndarray]
    whole_volume: bool = False
    sixteen_bits: bool = False
    clock: Callable[[], float] = cpu_seconds


def load_package(name: str, extra: str) -> Any:
    """A package that a peer needs.

    Args:
      name: to import.
      extra: of jaxslice, that installs it.

    Raises:
      MissingExtraError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        raise MissingExtraError(
            f"Needs the package {name}: pip install 'jaxslice[{extra}]'."
        ) from None
