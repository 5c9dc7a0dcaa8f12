"""Links to viewers: they last as long as the server, and 16 bits are not shown black."""

import gc
import shutil
import urllib.request
from pathlib import Path

import numpy as np

from jaxslice.serve import viewer
from jaxslice.serve.volume import open_served

GOLDEN = Path(__file__).parents[1] / "golden" / "v4" / "sixteen.zarr"


def test_all_links_last(server):
    volumes = [server.site.volumes[name] for name in ("small", "small-2")]
    with viewer.local_viewers(volumes, server.url, "127.0.0.1") as links:
        gc.collect()
        for name in ("small", "small-2"):
            with urllib.request.urlopen(links[name]) as answer:
                assert answer.status == 200


def test_16_bits_are_shown_in_the_levels_that_they_use(server, tmp_path):
    shutil.copytree(GOLDEN, tmp_path / "a.zarr")
    volume = open_served(str(tmp_path / "a.zarr"), "a")
    (layer,) = viewer.viewer_state(volume, "http://host/a")["layers"]
    low, high = layer["shaderControls"]["normalized"]["range"]
    middle = volume.scales[0][4]
    assert middle.min() <= low < high <= middle.max()
    assert np.mean((middle >= low) & (middle <= high)) > 0.99
    (tmp_path / "a.zarr" / "0" / "c" / "0" / "0" / "0").write_bytes(b"damaged")
    (layer,) = viewer.viewer_state(open_served(str(tmp_path / "a.zarr"), "a"), "u")["layers"]
    assert "shaderControls" not in layer
    (layer,) = viewer.viewer_state(server.site.volumes["small"], "u")["layers"]
    assert "shaderControls" not in layer
