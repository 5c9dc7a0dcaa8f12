"""The real Neuroglancer in a real browser shows the voxels."""

import io
import os
import shutil

import numpy as np
import pytest
from small_volume import OFFSET

from jaxslice.serve import viewer

SIZE = 600
"""Of the window, in pixels."""

PIXELS = (8, 9)
"""Of a voxel along y and x, which are 4 and 4.5 nm."""


@pytest.fixture(scope="module")
def page():
    program = (
        os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    )
    if program is None:
        pytest.skip("there is no Chromium here")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Drawn by software, as there may be no graphics card; no sandbox, as root cannot use it.
        arguments = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser.new_page(viewport={"width": SIZE, "height": SIZE})
        browser.close()


def pixels_of(page) -> np.ndarray:
    """The picture of the browser's window, RGB."""
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))


def test_it_shows_the_slice(server, small_volume, page, monkeypatch):
    plain = {
        "layout": "xy",
        "crossSectionScale": 1 / PIXELS[0],
        **dict.fromkeys(("showAxisLines", "showScaleBar", "showDefaultAnnotations"), False),
    }
    state_of = viewer.viewer_state

    def plain_state(volume, source):
        state = state_of(volume, source) | plain
        state["layers"][0]["shader"] = (
            "void main() { emitGrayscale(toNormalized(getDataValue())); }"
        )
        return state

    monkeypatch.setattr(viewer, "viewer_state", plain_state)
    volumes = [server.site.volumes["small"]]
    with viewer.local_viewers(volumes, server.url, "127.0.0.1") as links:
        page.goto(links["small"])
        page.wait_for_function("window.viewer !== undefined && viewer.isReady()")
        shown = pixels_of(page)
    z = small_volume.voxels.shape[0] // 2
    assert page.evaluate("viewer.position.value[2]") == OFFSET[0] + z + 0.5
    expected = small_volume.voxels[z]
    height, width = (n * size for n, size in zip(expected.shape, PIXELS, strict=True))
    # One pixel near the middle of each voxel, for every place that the slice may have.
    found = [
        voxels
        for top in range(SIZE - height)
        for left in range(SIZE - width)
        if (voxels := shown[top : top + height : PIXELS[0], left : left + width : PIXELS[1]]).any()
        and np.array_equal(voxels[0, :, 0], expected[0])
    ]
    assert found, "the first row of the slice stands somewhere in the window"
    assert any(np.array_equal(voxels, np.stack([expected] * 3, -1)) for voxels in found)


def test_the_printed_link_shows_three_planes(server, page):
    volumes = [server.site.volumes["small-2"]]
    with viewer.local_viewers(volumes, server.url, "127.0.0.1") as links:
        page.goto(links["small-2"])
        page.wait_for_function("window.viewer !== undefined && viewer.isReady()")
        shown = pixels_of(page)
    half = SIZE // 2
    for panel in (shown[50:half, :half], shown[50:half, half:], shown[half:, half:]):
        grey = panel[(panel[..., 0] == panel[..., 1]) & (panel[..., 1] == panel[..., 2])]
        assert len(np.unique(grey)) > 50, "each plane shows many grey levels"
