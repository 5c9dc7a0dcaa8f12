"""The peer vc-delta3d, which needs Python 3.12 or later, in a process of its own.

It runs by the Python that the environment variable JAXSLICE_PEER_PYTHON names, or by the one that
runs jaxslice. Its seconds are those of coding alone; starting Python and moving bytes are left out.
"""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path

import numpy as np

from jaxslice.bench.peer import Peer
from jaxslice.bench.peer_programs import run_program
from jaxslice.core.errors import MissingExtraError

VARIABLE = "JAXSLICE_PEER_PYTHON"
_WORKER = Path(__file__).with_name("delta3d_worker.py")
_SECONDS = struct.Struct("<d")


def delta3d(predictor: str) -> Peer:
    """vc-delta3d at its default or with its linear predictor, on a volume at once.

    Args:
      predictor: "delta", its default; or "lpc", which uses "delta" for 16 bits, where an axis is
        shorter than 16 voxels, and where that is smaller.

    Raises:
      MissingExtraError: no Python has it.
    """
    worker = _Worker(_find_python())

    def encode(volume: np.ndarray) -> bytes:
        shape = "x".join(map(str, volume.shape))
        voxels = np.ascontiguousarray(volume)
        return worker.run(["encode", predictor, shape, voxels.dtype.name], voxels.tobytes())

    def decode(data: bytes | bytearray) -> np.ndarray:
        return np.frombuffer(worker.run(["decode"], data), np.uint8)

    return Peer(
        "vc-delta3d" if predictor == "delta" else f"vc-delta3d {predictor}",
        encode,
        decode,
        whole_volume=True,
        sixteen_bits=predictor == "delta",
        clock=lambda: worker.seconds,
    )


class _Worker:
    """Runs the worker's program, and adds up its seconds of coding."""

    def __init__(self, python: str):
        self.seconds = 0.0
        self._python = python

    def run(self, arguments: list[str], data: bytes | bytearray) -> bytes:
        answer = run_program([self._python, str(_WORKER), *arguments], data)
        (seconds,) = _SECONDS.unpack_from(answer)
        self.seconds += seconds
        return answer[_SECONDS.size :]


def _find_python() -> str:
    python = os.environ.get(VARIABLE) or sys.executable
    try:
        run_program([python, str(_WORKER), "check"], b"")
    except (OSError, RuntimeError) as error:
        raise MissingExtraError(
            "Needs the package vc-delta3d and Python 3.12 or later, where it is installed by: "
            f"pip install vc-delta3d. {VARIABLE}=PATH names another Python than {python}. {error}"
        ) from None
    return python
