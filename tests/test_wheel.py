"""The wheel: holds every package, and works where nothing else of the project is."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from jaxslice.native import build

ROOT = Path(__file__).parents[1]

FIRST_STEP = """
import jaxslice, sys
from jaxslice.bench import demo
from jaxslice.models import model_file
demo.write_synthetic(sys.argv[1], seed=0, shape=(4, 32, 32))
assert model_file.names() == ["default", "large", "medium"]
print(jaxslice.__file__)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q",
         "--no-index", "-w", folder, ROOT],
        check=True,
    )  # fmt: skip
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_holds_every_file_of_the_package(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    kept = (".py", ".md", ".json", ".js", ".html", ".c", "py.typed")
    files = [path for path in (ROOT / "jaxslice").rglob("*") if path.name.endswith(kept)]
    assert len(files) > 60
    assert {str(path.relative_to(ROOT)) for path in files} <= names
    assert f"jaxslice/native/{build.library_name()}" in names
    assert "jaxslice/native/march.h" in names
    assert "-py3-none-" in wheel.name
    assert not wheel.name.endswith("-any.whl")


def test_the_demo_begins_from_an_installed_wheel(wheel, tmp_path):
    """Dependencies are lent by this environment, without its own jaxslice: no network is needed."""
    place = tmp_path / "environment"
    venv.create(place, with_pip=False)
    python = place / "bin" / "python"
    target = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index",
         "--target", target, wheel],
        check=True,
    )  # fmt: skip
    paths = {sysconfig.get_path(name) for name in ("purelib", "platlib")}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(
        [python, "-P", "-c", FIRST_STEP, str(tmp_path / "volume")],
        env=environment, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == os.path.join(target, "jaxslice", "__init__.py")
    assert (tmp_path / "volume" / "info").exists()
