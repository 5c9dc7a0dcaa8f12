"""Do the server and the zarr codec bear many readers for long, and clients that block?

    python experiments/load.py snemi_ac4.npy
    python experiments/load.py snemi_ac4.npy --minutes=60 --rate=20 --output=results/soak.csv
    python experiments/load.py --smoke --output=/tmp/load.csv

The volume is compressed at effort 0 in small blocks. Three runs follow, each as a process of its
own with 200 readers at the same time: `jaxslice serve` with a cache for an eighth of the volume,
the same with hostile clients beside the readers, and a program that reads by the zarr codec. Every
answer is compared with the voxels. Hostile clients read a byte at a time, send requests and read
nothing, send half a request or none, or go away in the middle of an answer.

`--rate` limits the requests per second of all readers together; then server and codec run side by
side for all the time, with hostile clients. Without it each reader asks again at once.

Cost: 3 minutes a run (`--minutes`) on 2 cores. Expected: no error; memory, open files and threads
that stay as they are after the first minutes; readers of one kind that are served alike.

Columns of the CSV: run; kind of reader; readers; requests, errors and what they were; seconds of
the run; requests per second; quantiles of the latency in ms; the least and largest median of one
reader in ms. For hostile kinds, requests are connections, and `closed` how many were closed by the
server (or by the client that goes away). NAME_memory.csv has samples in time: resident memory in
MB, open files, threads.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import common
import load_clients
import numpy as np
import psutil
import serve
from common import Row
from load_clients import Hostile, Seen

import jaxslice

COLUMNS = (
    "volume", "run", "kind", "readers", "requests", "errors", "what", "closed", "seconds",
    "requests_per_second", "p50_ms", "p95_ms", "p99_ms", "max_ms", "least_reader_p50_ms",
    "largest_reader_p50_ms",
)  # fmt: skip
MEMORY_COLUMNS = ("volume", "run", "second", "resident_mb", "open_files", "threads")
READERS = {"cached chunks": 60, "any chunks": 60, "zarr chunks": 60, "documents": 20}
HOSTILE = {
    "a byte at a time": 20, "32 requests, reads nothing": 20, "half a request": 20,
    "no request": 20, "goes away": 10,
}  # fmt: skip
BLOCK_SHAPE = (32, 128, 128)
_HOSTILE_PAUSE = 1.0
_SAMPLES = 60
"""Samples of the memory in a run, at least every 30 seconds."""


class Watched:
    """Samples of a process in time."""

    def __init__(self, volume: str, run: str, pid: int) -> None:
        self.rows: list[Row] = []
        self._process, self._begin = psutil.Process(pid), time.monotonic()
        self._named = {"volume": volume, "run": run}

    async def sample(self, seconds: float) -> None:
        """Adds samples for some seconds, or until it is cancelled or the process ends."""
        every = min(30.0, seconds / _SAMPLES)
        while self._process.is_running() and self._process.status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > self._begin + seconds:
                return
            with self._process.oneshot():
                self.rows.append({
                    **self._named,
                    "second": time.monotonic() - self._begin,
                    "resident_mb": self._process.memory_info().rss / 1e6,
                    "open_files": self._process.num_fds(),
                    "threads": self._process.num_threads(),
                })  # fmt: skip
            await asyncio.sleep(every)


def row_of(run: str, kind: str, seen: Seen, seconds: float) -> Row:
    """A row of the readers of one kind."""
    every = [1000 * second for reader in seen.seconds for second in reader]
    medians = [1000 * float(np.median(reader)) for reader in seen.seconds if reader]
    p50, p95, p99, most = (float(q) for q in np.quantile(every or [0], (0.5, 0.95, 0.99, 1)))
    return {
        "run": run, "kind": kind, "readers": len(seen.seconds), "requests": len(every),
        "errors": seen.errors.total(),
        "what": "; ".join(f"{n} {what}" for what, n in seen.errors.items()),
        "seconds": seconds, "requests_per_second": len(every) / seconds,
        "p50_ms": p50, "p95_ms": p95, "p99_ms": p99, "max_ms": most,
        "least_reader_p50_ms": min(medians, default=0.0),
        "largest_reader_p50_ms": max(medians, default=0.0),
    }  # fmt: skip


async def load_server(
    archive: str, voxels: np.ndarray, name: str, run: str, hostile: dict[str, int],
    given: argparse.Namespace,
) -> tuple[list[Row], list[Row]]:  # fmt: skip
    """Runs a server with readers; rows of the readers, and of the memory."""
    log = Path(archive).with_suffix(".log")
    seconds, counts, seen = 60 * given.minutes, {}, {}
    cache_mb = max(1, voxels.nbytes // 8 // 10**6)
    with open(log, "w") as file, serve.served(archive, cache_mb, stderr=file) as running:
        watched = Watched(name, run, running.process.pid)
        url = running.volume.removesuffix("/precomputed")
        served = await load_clients.served_volume(url, voxels, BLOCK_SHAPE)
        beside = [
            asyncio.ensure_future(watched.sample(seconds)),
            asyncio.ensure_future(load_clients.be_hostile(served, hostile, _HOSTILE_PAUSE, counts)),
        ]
        deadline = time.monotonic() + seconds
        await load_clients.read_all(served, _readers(given), deadline, _pause(given), seen)
        # What is still open at the end was not closed by the server.
        counts = {kind: Hostile(count.opened, count.closed) for kind, count in counts.items()}
        for task in beside:
            task.cancel()
        await asyncio.wait(beside)
    logged = log.read_text().splitlines()
    rows = [row_of(run, kind, found, seconds) for kind, found in seen.items()]
    rows += [
        {"run": run, "kind": kind, "readers": hostile[kind], "requests": count.opened,
         "closed": count.closed, "seconds": seconds}
        for kind, count in counts.items()
    ]  # fmt: skip
    rows.append({"run": run, "kind": "log of the server", "errors": len(logged),
                 "what": "; ".join(logged[:5]), "seconds": seconds})  # fmt: skip
    return rows, watched.rows


async def load_codec(
    archive: str, path: str, name: str, run: str, given: argparse.Namespace
) -> tuple[list[Row], list[Row]]:
    """Runs readers by the zarr codec; rows of the readers, and of the memory."""
    seconds = 60 * given.minutes
    process = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("load_codec.py"), archive, path,
         f"--readers={given.readers}", f"--seconds={seconds}", f"--pause={_pause(given)}"],
        stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )  # fmt: skip
    watched = Watched(name, run, process.pid)
    reading = asyncio.get_running_loop().run_in_executor(None, process.communicate)
    sampling = asyncio.ensure_future(watched.sample(seconds))
    output, _ = await reading
    sampling.cancel()
    await asyncio.wait([sampling])
    found = json.loads(output)
    seen = Seen(found["seconds"])
    seen.errors.update(found["errors"])
    return [row_of(run, "boxes by the zarr codec", seen, seconds)], watched.rows


def _readers(given: argparse.Namespace) -> dict[str, int]:
    total = sum(READERS.values())
    return {kind: max(1, given.readers * n // total) for kind, n in READERS.items()}


def _pause(given: argparse.Namespace) -> float:
    """Mean seconds that a reader waits before a request."""
    return given.readers / given.rate if given.rate else 0.0


async def runs_of(
    archive: str, path: str, name: str, given: argparse.Namespace
) -> tuple[list[Row], list[Row]]:
    """All runs with one archive."""
    voxels = np.load(path)
    if given.rate:
        # Server and codec side by side, each at half of the rate.
        given = argparse.Namespace(**{**vars(given), "rate": given.rate / 2})
        results = await asyncio.gather(
            load_server(archive, voxels, name, "soak of the server", HOSTILE, given),
            load_codec(archive, path, name, "soak of the zarr codec", given),
        )
    else:
        results = [
            await load_server(archive, voxels, name, "server", {}, given),
            await load_server(archive, voxels, name, "server, hostile clients", HOSTILE, given),
            await load_codec(archive, path, name, "zarr codec", given),
        ]
    return [row for rows, _ in results for row in rows], [row for _, m in results for row in m]


def measure(path: str, given: argparse.Namespace) -> Iterator[Row]:
    """The rows of a volume; those of the memory go into a CSV of their own."""
    name = common.name_of(path)
    if given.smoke:
        given.minutes, given.readers = 0.02, 8
    with tempfile.TemporaryDirectory() as folder:
        archive = f"{folder}/{name}.zarr"
        options = jaxslice.CompressOptions(effort=0, block_shape=BLOCK_SHAPE)
        jaxslice.compress(path, archive, options)
        rows, memory = asyncio.run(runs_of(archive, path, name, given))
    output = given.output or common.RESULTS / "load.csv"
    common.replace_volume(output.with_stem(f"{output.stem}_memory"), MEMORY_COLUMNS, memory)
    yield from ({"volume": name} | row for row in rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures into `load.csv` and `load_memory.csv`."""
    parser = common.parser_of("load", __doc__, None)
    parser.add_argument("--minutes", type=float, default=3.0, help="of each run")
    parser.add_argument("--readers", type=int, default=sum(READERS.values()))
    parser.add_argument("--rate", type=float, help="requests per second of all readers together")
    common.run(parser, arguments, measure, None, COLUMNS)


if __name__ == "__main__":
    main()
