"""How fast is `jaxslice serve`: the first image, requests per second, memory?

    python experiments/serve.py fib25_a.npy
    python experiments/serve.py --smoke --output=/tmp/serve.csv

The volume is compressed at effort 0. `jaxslice serve` runs as a process of its own, and readers in
this one ask for random chunks of raw voxels, one request after the other each. Cold readers share
a cache that holds no block, so that every request has a block decoded; warm readers share one that
holds the volume. The first image is the time from the start of the process to the last chunk of
the slice in the middle; `browser` is the time from there to the picture of three planes in
Chromium, which is left out where there is none.

Cost: 2 minutes on 2 cores. Server and readers share the cores. Expected:
the first image within 2 seconds; warm, a thousand requests per second at any number of readers;
cold, as many as blocks can be decoded.

Columns: what is measured; readers at the same time; requests in all; seconds of all; requests and
MB of voxels per second; latencies in ms; blocks decoded; most memory of the server in MB.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import aiohttp
import common
import numpy as np
import psutil
from common import Row

import jaxslice

COLUMNS = (
    "volume", "what", "readers", "requests", "seconds", "requests_per_second",
    "megabytes_per_second", "median_ms", "p99_ms", "blocks_decoded", "peak_megabytes",
)  # fmt: skip
READERS = (1, 20, 200)
REQUESTS = {"cold": 200, "warm": 2000}
CACHE_MB = {"cold": 0, "warm": 4000}
RUN = Path(__file__).parents[1] / "run.py"


class Served:
    """A `jaxslice serve` that runs as a process of its own."""

    def __init__(self, archive: str, cache_mb: int, stderr: IO[str] | None = None) -> None:
        self.begin = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, RUN, "serve", archive, "--port=0", f"--cache_mb={cache_mb}"],
            stdout=subprocess.PIPE, stderr=stderr, text=True,
            env={**os.environ, "PYTHONPATH": str(RUN.parent)},
        )  # fmt: skip
        assert self.process.stdout is not None
        lines = [
            line.split()
            for line in iter(self.process.stdout.readline, "Ctrl-C stops the server.\n")
        ]
        self.viewer = next((words[-1] for words in lines if "machine:" in words), None)
        source = next(words[-1] for words in lines if "programs:" in words)
        self.volume = source.removeprefix("precomputed://")
        self.url = self.volume.rsplit("/", 2)[0]

    def peak_megabytes(self) -> float:
        """Most memory that the server has had resident."""
        status = Path(f"/proc/{self.process.pid}/status")
        if status.exists():
            for line in status.read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) / 1000
        return psutil.Process(self.process.pid).memory_info().rss / 1e6


@contextlib.contextmanager
def served(archive: str, cache_mb: int, stderr: IO[str] | None = None) -> Iterator[Served]:
    """Starts and stops a server, whose standard error goes to a file or where that of this goes."""
    running = Served(archive, cache_mb, stderr)
    try:
        yield running
    finally:
        running.process.send_signal(signal.SIGTERM)
        # A process that a shell started in the background ignores an interrupt, not this.
        running.process.communicate()


def chunk_names(info: dict) -> list[str]:
    """The chunks of a precomputed volume, z slowest."""
    (scale,) = info["scales"]
    ranges = [
        [(o + a, o + min(a + n, size)) for a in range(0, size, n)]
        for o, n, size in zip(
            scale["voxel_offset"], scale["chunk_sizes"][0], scale["size"], strict=True
        )
    ]
    return [
        f"{scale['key']}/{x0}-{x1}_{y0}-{y1}_{z0}-{z1}"
        for z0, z1 in ranges[2] for y0, y1 in ranges[1] for x0, x1 in ranges[0]
    ]  # fmt: skip


async def first_image(running: Served) -> float:
    """Seconds from the start of the process to the last chunk of the slice in the middle."""
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{running.volume}/info") as answer:
            names = chunk_names(await answer.json())
        z = names[len(names) // 2].rpartition("_")[2]

        async def get(name: str) -> None:
            async with session.get(f"{running.volume}/{name}") as answer:
                assert answer.status == 200
                await answer.read()

        await asyncio.gather(*(get(name) for name in names if name.endswith(f"_{z}")))
    return time.perf_counter() - running.begin


async def load(running: Served, what: str, readers: int, requests: int) -> Row:
    """Random chunks by some readers at the same time."""
    seconds: list[float] = []
    total_bytes = 0
    connector = aiohttp.TCPConnector(limit=readers)
    async with aiohttp.ClientSession(connector=connector) as session:
        async with session.get(f"{running.volume}/info") as answer:
            names = chunk_names(await answer.json())
        async with session.get(f"{running.url}/stats") as answer:
            before = (await answer.json())["decoded"]
        chosen = iter(np.random.default_rng(readers).choice(names, requests))

        async def read() -> None:
            nonlocal total_bytes
            for name in chosen:
                begin = time.perf_counter()
                async with session.get(f"{running.volume}/{name}") as answer:
                    assert answer.status == 200
                    total_bytes += len(await answer.read())
                seconds.append(time.perf_counter() - begin)

        begin = time.perf_counter()
        await asyncio.gather(*(read() for _ in range(readers)))
        took = time.perf_counter() - begin
        async with session.get(f"{running.url}/stats") as answer:
            decoded = (await answer.json())["decoded"] - before
    return {
        "what": what,
        "readers": readers,
        "requests": requests,
        "seconds": took,
        "requests_per_second": requests / took,
        "megabytes_per_second": total_bytes / took / 1e6,
        "median_ms": 1000 * float(np.median(seconds)),
        "p99_ms": 1000 * float(np.quantile(seconds, 0.99)),
        "blocks_decoded": decoded,
        "peak_megabytes": running.peak_megabytes(),
    }


def browser_seconds(url: str) -> float | None:
    """Seconds until Neuroglancer shows three planes; None where there is no Chromium."""
    program = shutil.which("chromium")
    if program is None:
        return None
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        page = browser.new_page(viewport={"width": 1200, "height": 800})
        begin = time.perf_counter()
        page.goto(url)
        page.wait_for_function("window.viewer !== undefined && viewer.isReady()")
        took = time.perf_counter() - begin
        browser.close()
    return took


def measure(path: str, given: argparse.Namespace) -> Iterator[Row]:
    """The rows of a volume."""
    name = common.name_of(path)
    with tempfile.TemporaryDirectory() as folder:
        archive = f"{folder}/{name}.zarr"
        jaxslice.compress(path, archive, jaxslice.CompressOptions(effort=0))
        with served(archive, CACHE_MB["warm"]) as running:
            took = asyncio.run(first_image(running))
            yield {"volume": name, "what": "first image", "readers": 1, "seconds": took,
                   "peak_megabytes": running.peak_megabytes()}  # fmt: skip
            if running.viewer is not None and not given.smoke:
                took = browser_seconds(running.viewer)
                if took is not None:
                    yield {"volume": name, "what": "browser", "readers": 1, "seconds": took}
        for what, cache_mb in CACHE_MB.items():
            for readers in READERS[: 1 if given.smoke else None]:
                with served(archive, cache_mb) as running:
                    if what == "warm":
                        # Every chunk once, so that all blocks are in the cache.
                        asyncio.run(load(running, what, 20, REQUESTS["cold"]))
                    yield {"volume": name} | asyncio.run(
                        load(running, what, readers, 20 if given.smoke else REQUESTS[what])
                    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures into `serve.csv`."""
    parser = common.parser_of("serve", __doc__, None)
    common.run(parser, arguments, measure, None, COLUMNS, ("volume", "what", "readers"))


if __name__ == "__main__":
    main()
