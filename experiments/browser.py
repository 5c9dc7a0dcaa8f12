"""Is decoding in the browser worth having: the first slice, MB/s, and the size of the page?

    python experiments/browser.py fib25_a.npy
    python experiments/browser.py --smoke --output=/tmp/browser.csv

The volume is compressed at some efforts, and written once more as 16 bits (times 16, with noise in
the lower bits). A plain web server offers archives and page to headless Chromium. `first_slice` is
the time from opening the page, nothing cached, to the slice in the middle on the canvas, by as many
workers as the machine has cores. The speed is of one block, from payload to voxels, decoded over
and over in one thread, the best of some: with WebAssembly's vectors (simd128), without them, and by
the native engine with its plain C and with its best instruction set.

Cost: 2 minutes a volume on 2 cores. Expected: the first slice within 2 seconds at effort fast, in
several at effort 0; vectors help most where voxels have 8 bits; AVX-512 is 7 to 40 times as fast.

Columns: volume; effort; bits of a voxel; seconds to the first slice; MB/s of voxels for each core
in the browser and natively; kilobytes of the WebAssembly and of the page's other files.
"""

from __future__ import annotations

import argparse
import functools
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import common
import numpy as np
from common import Row
from playwright.sync_api import Browser, sync_playwright

import jaxslice
from jaxslice.browser import build
from jaxslice.native import library

COLUMNS = (
    "volume", "effort", "voxel_bits", "first_slice_seconds", "simd128_mb_per_second",
    "plain_wasm_mb_per_second", "native_portable_mb_per_second", "native_mb_per_second",
    "wasm_kilobytes", "other_kilobytes",
)  # fmt: skip
PLAIN = "plain.wasm"
DECODE = """async ([page, archive, wasm, times]) => {
  const load = (name) => import(`${page}/${name}.js`);
  const [{ openArchive, payloadOf }, { Engine }, { modelOf }, { decodePayload }] =
    await Promise.all(["archive", "engine", "model", "payload"].map(load));
  const engine = await Engine.load(`${page}/${wasm}`), [scale] = await openArchive(archive);
  const model = modelOf(engine, scale.codec, scale.bits, scale.blockShape);
  const payload = await payloadOf(engine, scale, [0, 0, 0]);
  let best = Infinity, bytes = 0;
  for (let i = 0; i < times; i++) {
    const began = performance.now();
    bytes = decodePayload(engine, model, payload, [0, 0, 0]).byteLength;
    best = Math.min(best, performance.now() - began);
  }
  return bytes / best / 1000;
}"""


class QuietHandler(SimpleHTTPRequestHandler):
    """Offers the files of a folder, as any web server does."""

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing of single requests."""


def first_slice(browser: Browser, address: str) -> float:
    """Seconds until a new page shows the slice in the middle."""
    page = browser.new_page()
    begin = time.perf_counter()
    page.goto(address)
    page.wait_for_selector("body[data-state=ready], body[data-state=error]", timeout=120_000)
    took = time.perf_counter() - begin
    assert page.evaluate("document.body.dataset.state") == "ready", page.inner_text("#status")
    page.close()
    return took


def browser_speed(browser: Browser, url: str, archive: str, wasm: str, times: int) -> float:
    """MB/s of decoding the first block in one thread."""
    page = browser.new_page()
    page.goto(f"{url}/page/")
    page.set_default_timeout(300_000)
    speed = page.evaluate(DECODE, [f"{url}/page", f"{url}/{archive}", wasm, times])
    page.close()
    return speed


def native_speed(archive: str, instruction_set: int | None, times: int) -> float:
    """MB/s of decoding the first block in one thread, as Python calls it."""
    best_set = library.best_set
    if instruction_set is not None:
        library.best_set = lambda: instruction_set
    try:
        seconds, size = [], 0
        for _ in range(times):
            volume = jaxslice.open(archive)
            shape = tuple(min(a, b) for a, b in zip(volume.chunks, volume.shape, strict=True))
            begin = time.perf_counter()
            size = np.asarray(volume[tuple(slice(n) for n in shape)]).nbytes
            seconds.append(time.perf_counter() - begin)
    finally:
        library.best_set = best_set
    return size / min(seconds) / 1e6


def volumes_of(path: str, folder: str, is_small: bool) -> Iterator[tuple[str, int, str | int]]:
    """Volumes to compress, their bits, and the effort."""
    yield path, 8, "fast"
    if is_small:
        return
    yield path, 8, 0
    voxels = np.load(path)[:64]
    noise = np.random.default_rng(0).integers(0, 16, voxels.shape, np.uint16)
    np.save(f"{folder}/sixteen.npy", voxels.astype(np.uint16) * 16 + noise)
    yield f"{folder}/sixteen.npy", 16, 0


def measure(path: str, given: argparse.Namespace) -> Iterator[Row]:
    """The rows of a volume."""
    program = shutil.which("chromium")
    assert program is not None, "expected chromium on the PATH"
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        files = build.write_page(Path(folder, "page"))
        build.compile_engine(Path(folder, "page", PLAIN), vectors=False)
        sizes = {file.name: file.stat().st_size / 1000 for file in files}
        handler = functools.partial(QuietHandler, directory=folder)
        with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever).start()
            browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
            for source, bits, effort in volumes_of(path, folder, given.smoke):
                archive = f"{effort}-{bits}.zarr"
                options = jaxslice.CompressOptions(effort=effort)
                jaxslice.compress(source, f"{folder}/{archive}", options)
                url, times = f"http://127.0.0.1:{server.server_port}", 1 if given.smoke else 5
                speed = functools.partial(browser_speed, browser, url, archive)
                here = functools.partial(native_speed, f"{folder}/{archive}")
                yield {
                    "volume": common.name_of(path),
                    "effort": effort,
                    "voxel_bits": bits,
                    "first_slice_seconds": first_slice(
                        browser, f"{url}/page/?archive=../{archive}"
                    ),
                    "simd128_mb_per_second": speed(build.WASM, times),
                    "plain_wasm_mb_per_second": speed(PLAIN, times),
                    "native_portable_mb_per_second": here(library.PORTABLE, times),
                    "native_mb_per_second": here(None, times),
                    "wasm_kilobytes": sizes[build.WASM],
                    "other_kilobytes": sum(sizes.values()) - sizes[build.WASM],
                }
            browser.close()
            server.shutdown()


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures into `browser.csv`."""
    parser = common.parser_of("browser", __doc__, None)
    common.run(parser, arguments, measure, None, COLUMNS, ("volume", "effort", "voxel_bits"))


if __name__ == "__main__":
    main()
