"""The figures are PNGs of the promised size that show what they were given."""

import os
import subprocess
import sys

import numpy as np
import pytest

from jaxslice.bench import figures
from jaxslice.core.errors import MissingExtraError, UsageError

CUT = np.arange(48 * 64, dtype=float).reshape(48, 64) % 256
HIGHLIGHT_RGB = (200, 85, 27)
THREE_ROWS = (337, 1200)


def read_png(path) -> np.ndarray:
    """Pixels of a PNG, uint8 [row, column, colour]."""
    import matplotlib.image as matplotlib_image

    return np.rint(255 * matplotlib_image.imread(path)[..., :3]).astype(np.uint8)


def highlighted_pixels(path) -> int:
    return int((read_png(path) == HIGHLIGHT_RGB).all(-1).sum())


def draw_figure1(path, original=CUT, prediction=CUT, bits=CUT / 32, **options) -> np.ndarray:
    figures.figure1(path, original, prediction, bits, title="A cut", **options)
    return read_png(path)


@pytest.mark.parametrize(
    ("shape", "height_inches"),
    [((48, 64), 3.69), ((1, 1), 4.58), ((4, 64), 2.22), ((64, 2), 8.14)],
)
def test_figure1_size_follows_the_cut(tmp_path, shape, height_inches):
    cut = np.resize(CUT, shape)
    pixels = draw_figure1(tmp_path / "1.png", cut, cut, cut / 32)
    assert pixels.shape[1] == 1800
    assert abs(pixels.shape[0] - 150 * height_inches) <= 1
    assert (pixels != 255).any()


def test_figure1_shows_each_of_its_cuts(tmp_path):
    usual = draw_figure1(tmp_path / "usual.png")
    gaps = [576, 1134]  # columns of pixels between the panels
    for number, name in enumerate(["original", "prediction", "bits"]):
        changed = draw_figure1(tmp_path / f"{name}.png", **{name: CUT[::-1] / 32})
        differs = (changed != usual).any((0, 2))
        panels = [part.any() for part in np.split(differs, gaps)]
        assert panels == [i == number for i in range(3)], name


def test_figure1_scale_bar_depends_on_the_voxel_size(tmp_path):
    in_voxels = draw_figure1(tmp_path / "voxels.png")
    in_nm = draw_figure1(tmp_path / "nm.png", voxel_size_nm=8.0)
    assert in_voxels.shape == in_nm.shape
    assert (in_voxels != in_nm).any()


def test_figure1_has_no_scale_bar_where_it_would_hide_the_cut(tmp_path):
    narrow = np.resize(CUT, (64, 2))
    in_voxels = draw_figure1(tmp_path / "voxels.png", narrow, narrow, narrow / 32)
    in_nm = draw_figure1(tmp_path / "nm.png", narrow, narrow, narrow / 32, voxel_size_nm=8.0)
    assert (in_voxels == in_nm).all()


def test_without_the_scale_bar_package_the_error_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib_scalebar.scalebar", None)
    with pytest.raises(MissingExtraError, match=r"jaxslice\[bench\]"):
        draw_figure1(tmp_path / "1.png")


def test_figure1_refuses_cuts_of_different_shapes(tmp_path):
    with pytest.raises(UsageError, match="one shape"):
        figures.figure1(tmp_path / "1.png", CUT, CUT[:-1], CUT, title="")
    with pytest.raises(UsageError, match="one shape"):
        figures.figure1(tmp_path / "1.png", *[np.zeros((0, 3))] * 3, title="")
    with pytest.raises(UsageError, match="voxel size"):
        figures.figure1(tmp_path / "1.png", CUT, CUT, CUT, title="", voxel_size_nm=0.0)
    assert not list(tmp_path.iterdir())


def test_figure2_has_a_row_for_each_codec_and_for_raw(tmp_path):
    path = tmp_path / "2.png"
    figures.figure2(path, {"PNG": 5.4, "jaxslice": 4.6}, title="Rates")
    assert read_png(path).shape[:2] == THREE_ROWS
    figures.figure2(path, {"PNG": 5.4, "jaxslice": 4.6, "raw": 8.0}, title="Rates")
    assert read_png(path).shape[:2] == THREE_ROWS


def test_figure2_highlights_ours_by_the_length_of_its_bar(tmp_path):
    areas = []
    for number, rate in enumerate([2.0, 4.0]):
        path = tmp_path / f"{number}.png"
        figures.figure2(path, {"PNG": 5.4, "jaxslice": rate}, title="Rates")
        areas.append(highlighted_pixels(path))
    assert areas[0] > 1000
    assert areas[1] / areas[0] == pytest.approx(2, rel=0.03)
    figures.figure2(path, {"PNG": 5.4}, title="Rates")
    assert highlighted_pixels(path) == 0


def test_figure2_puts_raw_first_and_the_best_last(tmp_path):
    path = tmp_path / "2.png"
    figures.figure2(path, {"jaxslice": 4.6, "zstd": 9.0, "PNG": 5.4}, title="Rates")
    pixels = read_png(path)
    bars = (pixels == HIGHLIGHT_RGB) | (pixels == (169, 180, 192))
    widths = bars.all(-1)[[int(150 * (0.75 + 0.4 * (i + 0.5))) for i in range(4)]].sum(1)
    assert list(np.argsort(widths)) == [3, 2, 0, 1]


@pytest.mark.parametrize("rates", [{}, {"PNG": 0.0}, {"PNG": float("nan")}])
def test_figure2_refuses_rates_that_are_none(tmp_path, rates):
    with pytest.raises(UsageError, match="Got"):
        figures.figure2(tmp_path / "2.png", rates, title="Rates")


def test_without_matplotlib_the_error_names_the_extra(monkeypatch, tmp_path):
    for name in [n for n in sys.modules if n.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"jaxslice\[bench\]"):
        figures.figure1(tmp_path / "1.png", CUT, CUT, CUT, title="")
    with pytest.raises(MissingExtraError, match=r"jaxslice\[bench\]"):
        figures.figure2(tmp_path / "2.png", {"PNG": 5.4}, title="")


def test_importing_and_drawing_needs_no_pyplot(tmp_path):
    program = (
        "import sys; from jaxslice.bench import figures\n"
        "assert 'matplotlib' not in sys.modules\n"
        f"figures.figure2({os.fspath(tmp_path / '2.png')!r}, {{'PNG': 5.4}}, title='')\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
