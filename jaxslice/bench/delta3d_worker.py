"""Runs the codec vc-delta3d in a Python of its own; standard input to standard output.

    python delta3d_worker.py encode lpc 64x256x256 uint8 < voxels > seconds-and-bytes
    python delta3d_worker.py decode < bytes > seconds-and-voxels

vc-delta3d needs Python 3.12 or later, so that this file imports nothing of jaxslice. What it writes
starts with the CPU seconds of coding alone, as a float64 of 8 bytes. It is timed a few
times, and the quickest counts: the first run of a process also brings memory into being.
"""

import struct
import sys
import time
from collections.abc import Callable

PASSES = 3


def timed(work: Callable[[], bytes]) -> bytes:
    """The result of some work, after the CPU seconds that it takes."""
    seconds = []
    for _ in range(PASSES):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return struct.pack("<d", min(seconds)) + work()


def main(arguments: list[str]) -> None:
    from vc_delta3d import Delta3D  # pyright: ignore[reportMissingImports]

    if arguments == ["check"]:
        return
    way, *rest = arguments
    data = sys.stdin.buffer.read()
    if way == "encode":
        import numpy as np

        predictor, shape, dtype = rest
        volume = np.frombuffer(data, dtype).reshape([int(n) for n in shape.split("x")])
        coded = timed(lambda: Delta3D(predictor=predictor).encode(volume))
    else:
        coded = timed(lambda: Delta3D().decode(data))
    sys.stdout.buffer.write(coded)


if __name__ == "__main__":
    main(sys.argv[1:])
