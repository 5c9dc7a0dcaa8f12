"""The documentation: the site builds without a broken link, and what the pages show runs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxslice.bench.synthetic import synthetic_volume

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    done = subprocess.run(
        [*command, f"--site-dir={folder}"], cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.slow
def test_every_link_of_the_site_leads_somewhere(site):
    broken = []
    for page in site.rglob("*.html"):
        for target in re.findall(r'(?:href|src)="([^"]+)"', page.read_text()):
            path, _, _ = target.partition("#")
            if re.match(r"[a-z]+:|//", path) or not path or page.name == "404.html":
                continue
            place = (page.parent / path.partition("?")[0]).resolve()
            if not (place.is_file() or (place / "index.html").is_file()):
                broken.append((page.relative_to(site), target))
    assert broken == []


@pytest.mark.slow
def test_the_site_has_what_is_promised(site):
    text = {path.parent.name: path.read_text() for path in site.rglob("index.html")}
    assert "bits_per_voxel" in (site / "results" / "speed.csv").read_text()
    assert "jaxslice diff ARCHIVE SOURCE" in text["commands"]
    assert "zarr_serializer" in text["reference"]
    assert "XXH3" in text["format"], "FORMAT.md is part of the site"


def run_blocks(page: str, folder: Path) -> str:
    """Runs the shell and Python blocks of a page in their order, the latter as one program."""
    shell = f'jaxslice() {{ "{sys.executable}" "{ROOT / "run.py"}" "$@"; }}\nset -e\n'
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    names: dict = {}
    printed = ""
    for language, code in re.findall(r"```(sh|python)\n(.*?)```", page, re.DOTALL):
        if language == "sh":
            command = ["bash", "-c", shell + code]
            done = subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, text=True
            )
            assert done.returncode == 0, code + done.stderr
            printed += done.stdout
        else:
            exec(compile(code, "page", "exec"), names)
    return printed


@pytest.mark.slow
def test_the_tutorial_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    printed = run_blocks((DOCS / "tutorial.md").read_text(), tmp_path)
    assert "bits per voxel" in printed
    assert "1 3:4,4:5,5:6" in capsys.readouterr().out
    assert {"slice.png", "volume.zarr", "back.npy"} <= {path.name for path in tmp_path.iterdir()}


@pytest.fixture(scope="module")
def example(tmp_path_factory) -> Path:
    """A folder with the volume and the archive that pages name."""
    import jaxslice

    folder = tmp_path_factory.mktemp("pages")
    np.save(folder / "volume.npy", synthetic_volume((32, 192, 192), seed=1))
    options = jaxslice.CompressOptions(effort=0)
    jaxslice.compress(str(folder / "volume.npy"), str(folder / "volume.zarr"), options)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", ["zarr", "loaders", "napari", "report", "everyday"])
def test_a_page_runs(name, example, monkeypatch):
    monkeypatch.chdir(example)
    page = (DOCS / "howto" / f"{name}.md").read_text()
    # Installing and opening a window is left to the reader.
    page = re.sub(r"```sh\npip install.*?```", "", page, flags=re.DOTALL)
    run_blocks(page, example)


@pytest.mark.slow
def test_the_server_of_the_page_runs(example, monkeypatch, capsys):
    monkeypatch.chdir(example)
    page = (DOCS / "howto" / "neuroglancer.md").read_text()
    run_blocks(re.sub(r"```sh.*?```", "", page, flags=re.DOTALL), example)
    assert "http://127.0.0.1:" in capsys.readouterr().out
