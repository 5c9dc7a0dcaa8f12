"""The page about an archive: what it says holds; a browser shows it, on a phone and on paper."""

import base64
import io
import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from small_volume import OFFSET, SHAPE

import jaxslice as library
from jaxslice.archive.model import model_of
from jaxslice.bench.explain import explain_slice, spent_bits
from jaxslice.core.errors import MissingExtraError, UsageError
from jaxslice.report import pictures
from jaxslice.report.measure import _rates, _tiled, contents_of
from jaxslice.report.page import page_of


@pytest.fixture(scope="module")
def contents(small_archive, small_volume):
    return contents_of(small_archive, source=small_volume.path)


@pytest.fixture(scope="module")
def page(contents):
    return page_of(contents)


def images_of(page: str) -> list[np.ndarray]:
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))) for data in found]


def test_the_cuts_are_the_volumes(contents, page, small_volume):
    for axis, plane in enumerate(contents.planes):
        middle = SHAPE[axis] // 2
        assert (plane.axis, plane.position) == ("zyx"[axis], OFFSET[axis] + middle)
        np.testing.assert_array_equal(plane.image, small_volume.voxels.take(middle, axis))
    for image, plane in zip(images_of(page), contents.planes, strict=False):
        np.testing.assert_array_equal(image, plane.image)


def test_spent_bits_add_up_to_the_payload(small_archive):
    """Summed over a block they are what its message holds, but for the coder's own few bytes."""
    volume = library.open(small_archive)
    model = model_of(volume.archive.configuration)
    block = np.asarray(volume[:4, :16, :32])
    spent = sum(float(spent_bits(block, z, model).sum()) for z in range(4)) / 8
    actual = len(volume.archive.read_payload((0, 0, 0)))
    heads_bytes = 16 * 8
    assert spent < actual < spent + heads_bytes + 200
    assert explain_slice(block, 3, model)[1].mean() == pytest.approx(
        spent_bits(block, 3, model).mean(), abs=0.6
    )


def test_slices_that_are_not_coded_cost_nothing(small_archive):
    model = model_of(library.open(small_archive).archive.configuration)
    block = np.random.default_rng(0).integers(0, 256, (3, 16, 32), dtype=np.uint8)
    block[1], block[2] = block[0], 7
    assert spent_bits(block, 0, model).min() > 0
    assert not spent_bits(block, 1, model).any()
    assert not spent_bits(block, 2, model).any()


def test_rates_of_blocks_and_slices(contents, small_archive):
    assert len(contents.blocks) == 18
    along_z, along_y, along_x = contents.block_maps
    assert (along_z.bits.shape, along_y.bits.shape, along_x.bits.shape) == ((3, 2), (3, 2), (3, 3))
    rates = np.array([block.bits_per_voxel for block in contents.blocks]).reshape(3, 3, 2)
    np.testing.assert_allclose(along_y.bits, rates.mean(1))
    assert [one.z for one in contents.slices] == sorted({one.z for one in contents.slices})
    assert contents.slices[0].z == OFFSET[0]
    assert contents.fine_maps[1].bits.shape == (len(contents.slices), 2)


def test_tiles_are_means():
    bits = np.arange(20 * 33, dtype=np.float32).reshape(20, 33)
    tiles = _tiled(bits)
    assert tiles.shape == (2, 3)
    assert tiles[0, 0] == bits[:16, :16].mean()
    assert tiles[1, 2] == bits[16:, 32:].mean()


def test_peers_and_ours_on_the_crop(contents, page):
    names = [rate.name for rate in contents.rates]
    assert {"jaxslice", "PNG", "JPEG-LS", "JPEG-XL e7"} <= set(names)
    assert [rate.name for rate in contents.rates if rate.ours] == ["jaxslice"]
    rates = [rate.bits_per_voxel for rate in contents.rates]
    assert rates == sorted(rates)
    for rate in contents.rates:
        assert f"{rate.bits_per_voxel:.3f}" in page


def test_only_codecs_of_16_bits_stand_beside_16_bits(small_volume, small_archive):
    model = model_of(library.open(small_archive).archive.configuration).of_voxels(np.uint16)
    crop = small_volume.voxels[:2, :16, :16].astype(np.uint16) * 9
    notes: list[str] = []
    names = {rate.name for rate in _rates(crop, model, notes)}
    assert {"jaxslice", "PNG"} < names
    assert "WebP" not in names
    assert notes == []


def test_checks(contents, page, small_volume, small_archive, tmp_path, archive_copy):
    assert [check.passed for check in contents.checks] == [True] * 4
    assert page.count('class="pass"') == 4
    skipped = contents_of(small_archive, with_peers=False)
    assert [check.passed for check in skipped.checks] == [True, True, None]
    changed = small_volume.voxels.copy()
    changed[5, 20, 20] ^= 1
    from small_volume import write_volume

    other = write_volume(tmp_path / "changed", changed)
    differs = contents_of(small_archive, with_peers=False, source=other.path).checks[-1]
    assert differs.passed is False
    assert "1 voxels in 1 blocks differ" in differs.text
    # A block that no picture needs.
    path = archive_copy / "0" / "c" / "0" / "0" / "1"
    path.write_bytes(path.read_bytes()[:-1])
    damaged = contents_of(str(archive_copy), with_peers=False, check_all=True).checks[-1]
    assert damaged.passed is False
    assert "(0, 0, 1)" in damaged.text


def test_the_page_needs_nothing_else(page):
    assert not re.findall(r"(?:src|href)=[\"'](?!data:)", page)
    assert "url(data:" in page
    assert "<script" not in page
    assert "@import" not in page


def test_what_files_say_is_escaped(contents):
    import dataclasses

    hostile = dataclasses.replace(contents, name="<script>alert(1)</script>")
    assert "<script>" not in page_of(hostile)


def test_without_jinja_the_extra_is_named(contents, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtraError, match=r"jaxslice\[report\]"):
        page_of(contents)


def test_without_the_peers_the_page_says_so(small_archive, monkeypatch):
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    found = contents_of(small_archive)
    if not found.rates:
        assert any("jaxslice[bench]" in note for note in found.notes)


def test_colours():
    values = np.array([[0.0, 5.0, np.nan, 10.0, 20.0]])
    image = pictures.coloured(values, 0.0, 10.0)[0]
    assert tuple(image[0]) == (0, 0, 4)
    assert tuple(image[2]) == (200, 200, 200)
    assert tuple(image[3]) == tuple(image[4]) == (252, 253, 191)
    assert image[0].sum() < image[1].sum() < image[3].sum()
    assert pictures.limits([values, np.array([np.nan, 7.0])]) == (0.1, 19.8)


def test_the_command(small_archive, tmp_path, monkeypatch, capsys):
    from jaxslice.cli import backend, main

    monkeypatch.setattr(backend, "start_backend", lambda *_, **__: None)
    monkeypatch.chdir(tmp_path)
    assert main.run(["jaxslice", "report", small_archive, "--nopeers", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    (written,) = tmp_path.iterdir()
    assert report["page"] == str(written) == str(tmp_path / "small.html")
    assert written.read_text().startswith("<!doctype html>")
    assert main.run(["jaxslice", "report", small_archive]) == 2
    assert "--overwrite" in capsys.readouterr().err
    with pytest.raises(UsageError, match="expected an archive"):
        contents_of(str(tmp_path / "none.zarr"))


@pytest.fixture(scope="module")
def chromium():
    program = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if program is None:
        pytest.skip("there is no Chromium here")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.mark.parametrize("width", [390, 1200])
def test_a_browser_shows_it(chromium, page, tmp_path, width):
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    opened = chromium.new_page(viewport={"width": width, "height": 800})
    problems = []
    opened.on("console", lambda message: problems.append(message.text))
    opened.on("requestfailed", lambda request: problems.append(request.url))
    opened.goto((tmp_path / "page.html").as_uri())
    assert problems == []
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    assert opened.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
    shown = opened.evaluate("[...document.images].map(image => image.clientWidth)")
    assert min(shown) >= 200, "pictures are large enough to be seen"
    opened.close()


def test_it_prints(chromium, page, tmp_path):
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    opened = chromium.new_page()
    opened.goto((tmp_path / "page.html").as_uri())
    data = opened.pdf(format="A4")
    opened.close()
    assert data.startswith(b"%PDF")
    pages = len(re.findall(rb"/Type\s*/Page\b", data))
    assert 1 <= pages <= 6


def test_reading_needs_no_report(small_archive):
    program = "import sys, jaxslice; jaxslice.info(sys.argv[1]); print('jinja2' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program, small_archive], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
