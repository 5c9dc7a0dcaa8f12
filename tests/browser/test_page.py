"""The page that decodes archives itself, in a real browser, from a plain web server."""

import base64
import functools
import io
import json
import os
import shutil
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import zarr
from PIL import Image
from servers import serve_folder

import jaxslice as library
from jaxslice.browser import build
from jaxslice.core.errors import MissingExtraError

GOLDEN = Path(__file__).parents[1] / "golden"
SHOWN = [
    *(f"v3/{name}" for name in ("own", "bordered", "slices")),
    *(f"v4/{name}" for name in ("own", "comb", "noise", "repeats", "linear", "sixteen")),
]
"""Golden archives of both formats, of all modes, level tables, predictors and voxels."""

DAMAGED = {
    "fourth-byte": "mode",
    "large-fill": "fill",
    "lost": "lost",
    "network-denied": "flags",
    "other-digest": "digest",
    "other-identity": "another array",
    "swapped": "expected",
}
"""Golden archives that must be refused -> a word of what the page says."""


class QuietHandler(SimpleHTTPRequestHandler):
    """Answers like `python -m http.server`, which knows no ranges."""

    def log_message(self, format: str, *args: object) -> None:
        """Keeps the requests out of the output of the tests."""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of a web server with the page and golden archives, and its address."""
    folder = tmp_path_factory.mktemp("site")
    build.write_page(folder / "page")
    for name in ("v2", "v3", "v4", "damaged"):
        (folder / name).symlink_to(GOLDEN / name)
    handler = functools.partial(QuietHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def tab():
    program = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if program is None:
        pytest.skip("there is no Chromium here")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser.new_page(viewport={"width": 900, "height": 500})
        browser.close()


def opened(tab, url: str, archive: str) -> str:
    """Opens an archive in the page; what state the page comes to."""
    tab.goto(f"{url}/page/?archive={archive}")
    return settled(tab)


def settled(tab) -> str:
    tab.wait_for_selector("body[data-state=ready], body[data-state=error]")
    return tab.evaluate("document.body.dataset.state")


def go_to(tab, z: int) -> str:
    move = "z => { const s = document.getElementById('z'); s.value = z; s.oninput({target: s}); }"
    tab.evaluate(move, z)
    return settled(tab)


def canvas_of(tab) -> np.ndarray:
    """The pixels of the canvas, all of which must be grey."""
    data = tab.evaluate("document.getElementById('slice').toDataURL('image/png').split(',')[1]")
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))
    assert (image == image[..., :1]).all()
    return image[..., 0]


def as_shown(plane: np.ndarray) -> np.ndarray:
    """Grey values of a slice: those of 16 bits from the darkest to the brightest."""
    if plane.dtype == np.uint8:
        return plane
    low, high = int(plane.min()), int(plane.max())
    return ((plane.astype(np.int64) - low) * 255 // max(high - low, 1)).astype(np.uint8)


@pytest.mark.parametrize("name", SHOWN)
def test_it_shows_every_slice(tab, site, name):
    folder, url = site
    voxels = zarr.open_group(folder / f"{name}.zarr", mode="r")["0"][:]
    assert opened(tab, url, f"../{name}.zarr") == "ready", tab.inner_text("#status")
    assert tab.evaluate("jaxslice.view.z") == len(voxels) // 2
    for z, plane in enumerate(voxels):
        assert go_to(tab, z) == "ready", tab.inner_text("#status")
        np.testing.assert_array_equal(canvas_of(tab), as_shown(plane))


@pytest.mark.parametrize("name", DAMAGED)
def test_it_refuses_damage(tab, site, name):
    folder, url = site
    metadata = json.loads((folder / f"damaged/v4/{name}.zarr/0/zarr.json").read_text())
    opened(tab, url, f"../damaged/v4/{name}.zarr")
    said = []
    for z in range(metadata["shape"][0]):
        if go_to(tab, z) == "error":
            said.append(tab.inner_text("#status"))
    assert any(DAMAGED[name] in text for text in said), said


@pytest.mark.parametrize(
    ("archive", "message"),
    [("v2/tissue.zarr", "format versions 3 and 4"), ("none.zarr", "status 404"), ("v4", "404")],
)
def test_it_says_what_it_cannot_read(tab, site, archive, message):
    assert opened(tab, site[1], f"../{archive}") == "error"
    assert message in tab.inner_text("#status")


@pytest.fixture(scope="module")
def sharded(site, small_volume) -> str:
    options = library.CompressOptions(
        block_shape=(4, 16, 32), shard_shape=(8, 32, 32), effort="fast", downsample=1
    )
    library.compress(small_volume.path, str(site[0] / "sharded.zarr"), options)
    return "sharded.zarr"


def test_shards_from_a_server_without_ranges(tab, site, sharded, small_volume):
    assert opened(tab, site[1], f"../{sharded}") == "ready", tab.inner_text("#status")
    np.testing.assert_array_equal(canvas_of(tab), small_volume.voxels[5])
    tab.select_option("#scale", "1")
    settled(tab)
    coarser = zarr.open_group(site[0] / sharded, mode="r")["1"]
    z = tab.evaluate("jaxslice.view.z")
    np.testing.assert_array_equal(canvas_of(tab), coarser[z])


def test_shards_from_another_server_with_ranges(tab, site, sharded, small_volume):
    with serve_folder(site[0]) as url:
        assert opened(tab, site[1], f"{url}/{sharded}") == "ready", tab.inner_text("#status")
        np.testing.assert_array_equal(canvas_of(tab), small_volume.voxels[5])


def test_a_large_slice_is_moved_by_dragging(tab, site):
    voxels = np.random.default_rng(0).integers(0, 256, (2, 700, 1200), np.uint8)
    np.save(site[0] / "large.npy", voxels)
    options = library.CompressOptions(block_shape=(2, 256, 256), effort="fast")
    library.compress(str(site[0] / "large.npy"), str(site[0] / "large.zarr"), options)
    assert opened(tab, site[1], "../large.zarr") == "ready", tab.inner_text("#status")
    shown = canvas_of(tab)
    np.testing.assert_array_equal(shown, voxels[1, : shown.shape[0], : shown.shape[1]])
    tab.mouse.move(600, 400)
    tab.mouse.down()
    tab.mouse.move(500, 350)
    tab.mouse.up()
    assert settled(tab) == "ready"
    top, left = tab.evaluate("[jaxslice.view.top, jaxslice.view.left]")
    assert (top, left) == (50, 100)
    moved = voxels[1, top : top + shown.shape[0], left : left + shown.shape[1]]
    np.testing.assert_array_equal(canvas_of(tab), moved)


def test_the_command(tmp_path, monkeypatch, capsys):
    from jaxslice.cli import main

    folder = tmp_path / "viewer"
    assert main.run(["jaxslice", "page", str(folder), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    written = sorted(path.name for path in folder.iterdir())
    assert written == sorted((*build.FILES, build.WASM))
    assert report["bytes"] == sum(path.stat().st_size for path in folder.iterdir())
    assert main.run(["jaxslice", "page", str(folder)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    monkeypatch.setattr(build.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"jaxslice\[browser\]"):
        build.compile_engine(tmp_path / "engine.wasm")
