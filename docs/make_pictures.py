"""Draws the pictures of viewers that the pages show: a synthetic volume, photographed.

    python docs/make_pictures.py
    xvfb-run -a python docs/make_pictures.py napari    # where napari is installed

The first needs Chromium and the extras `viewer` and `browser`, the second the extra `napari`.
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from PIL import Image

import jaxslice
from jaxslice.bench.synthetic import synthetic_volume

PICTURES = Path(__file__).parent / "pictures"
SHAPE, VOXEL_SIZE_NM = (96, 320, 320), (8, 8, 8)
SIZE = {"width": 900, "height": 560}
COLOURS = 160
"""What the pictures are reduced to, so that they load quickly."""

CHROMIUM = ("--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")


def save(name: str, image: Image.Image) -> None:
    """Writes a picture with few colours."""
    path = PICTURES / f"{name}.png"
    image.convert("RGB").quantize(COLOURS).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


def archive_in(folder: str) -> str:
    """An archive of a synthetic volume, with two coarser scales."""
    archive = f"{folder}/em.zarr"
    options = jaxslice.SourceOptions(voxel_size_nm=VOXEL_SIZE_NM)
    source = jaxslice.open_source(synthetic_volume(SHAPE, seed=3), options=options)
    jaxslice.compress(source, archive, jaxslice.CompressOptions(effort=0, downsample=2))
    return archive


def in_browsers(archive: str, folder: str) -> None:
    """Neuroglancer, and the page that decodes by itself."""
    from playwright.sync_api import sync_playwright

    from jaxslice.browser.build import write_page
    from jaxslice.serve.server import serving
    from jaxslice.serve.viewer import local_viewers

    write_page(Path(folder, "page"))
    handler = partial(SimpleHTTPRequestHandler, directory=folder)
    with sync_playwright() as playwright, ThreadingHTTPServer(("127.0.0.1", 0), handler) as plain:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=CHROMIUM
        )
        with serving([archive]) as server:
            volumes = list(server.site.volumes.values())
            with local_viewers(volumes, server.url, "127.0.0.1") as links:
                tab = browser.new_page(viewport=SIZE)
                tab.goto(links["em"])
                tab.wait_for_function("window.viewer !== undefined && viewer.isReady()")
                save("neuroglancer", Image.open(io.BytesIO(tab.screenshot())))
        threading.Thread(target=plain.serve_forever, daemon=True).start()
        tab = browser.new_page(viewport={"width": 500, "height": 420})
        tab.goto(f"http://127.0.0.1:{plain.server_port}/page/?archive=../em.zarr")
        tab.wait_for_selector("body[data-state=ready]")
        save("page", Image.open(io.BytesIO(tab.screenshot())))
        browser.close()
        plain.shutdown()


def in_napari(archive: str) -> None:
    """napari, with the archive as its plugin opens it."""
    import napari

    viewer = napari.Viewer(show=True)
    viewer.open(archive, plugin="jaxslice")
    viewer.window.resize(SIZE["width"], SIZE["height"])
    for _ in range(20):
        napari.qt.get_qapp().processEvents()
    save("napari", Image.fromarray(viewer.screenshot(canvas_only=False, flash=False)))
    viewer.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        made = archive_in(scratch)
        if sys.argv[1:] == ["napari"]:
            in_napari(made)
        else:
            in_browsers(made, scratch)
