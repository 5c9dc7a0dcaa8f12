"""Readers of an archive by the zarr codec, as threads of a process of their own, for `load.py`.

    python experiments/load_codec.py ARCHIVE VOXELS.npy --readers=200 --seconds=180

Prints what they have seen as JSON: seconds of each request for each reader, and errors.
"""

from __future__ import annotations

import argparse
import collections
import json
import random
import threading
import time

import numpy as np
import zarr

_EDGES = (16, 32, 64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("archive")
    parser.add_argument("voxels")
    parser.add_argument("--readers", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=180)
    parser.add_argument("--pause", type=float, default=0.0, help="mean seconds before a request")
    given = parser.parse_args()
    voxels = np.load(given.voxels, mmap_mode="r")
    array = zarr.open_array(f"{given.archive}/0", mode="r")
    deadline = time.monotonic() + given.seconds
    errors: collections.Counter[str] = collections.Counter()
    seconds: list[list[float]] = [[] for _ in range(given.readers)]

    def read(number: int) -> None:
        source = random.Random(number)
        while True:
            if given.pause:
                time.sleep(source.expovariate(1 / given.pause))
            if time.monotonic() > deadline:
                return
            corner = [source.randrange(n) for n in voxels.shape]
            box = tuple(slice(a, a + source.choice(_EDGES)) for a in corner)
            begin = time.perf_counter()
            try:
                if not np.array_equal(array[box], voxels[box]):
                    errors["other voxels"] += 1
            except Exception as error:  # what it is goes into the table
                errors[f"{type(error).__name__}: {error}"] += 1
            seconds[number].append(time.perf_counter() - begin)

    threads = [threading.Thread(target=read, args=(n,)) for n in range(given.readers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({"seconds": seconds, "errors": errors}))


if __name__ == "__main__":
    main()
