"""The wheel: holds every package, and works where nothing else of the project is."""

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from jaxslice.native import build

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "build_backend"))

from jaxslice_reproducible import normalise_sdist, normalise_wheel  # noqa: E402 (no package)

FIRST_STEP = """
import jaxslice, sys
from jaxslice.bench import demo
from jaxslice.models import model_file
demo.write_synthetic(sys.argv[1], seed=0, shape=(4, 32, 32))
assert model_file.names() == ["default", "large", "medium"]
print(jaxslice.__file__)
"""


BUILD = """
import os, sys
_, umask, target = sys.argv
os.umask(int(umask, 8))
sys.path.insert(0, "build_backend")
import jaxslice_build
print(jaxslice_build.build_sdist(target), jaxslice_build.build_wheel(target))
"""


def built(folder: Path, umask: str, seconds: int) -> tuple[Path, Path]:
    """Builds a source archive and a wheel of a copy of the sources in a folder.

    Args:
      folder: for the copy and for what is built.
      umask: of the process that builds.
      seconds: added to the times of all files.
    """
    sources, target, compiler = folder / "sources", folder / "built", folder / "cc"
    left_out = shutil.ignore_patterns("__pycache__", "*.so", "*.dylib")
    for name in ("jaxslice", "build_backend"):
        shutil.copytree(ROOT / name, sources / name, ignore=left_out)
    for name in ("pyproject.toml", "README.md", "MANIFEST.in"):
        shutil.copy(ROOT / name, sources / name)
    for path in sources.rglob("*"):
        os.utime(path, (seconds, seconds))
    target.mkdir()
    # Without optimisation the compiler takes a fifth of the time.
    compiler.write_text(f'#!/bin/sh\nexec {shlex.join(build.compiler() or [])} "$@" -O0\n')
    compiler.chmod(0o755)
    environment = {**os.environ, "CC": str(compiler), "PYTHONPATH": ""}
    subprocess.run(
        [sys.executable, "-c", BUILD, umask, target], cwd=sources, env=environment, check=True,
        capture_output=True,
    )  # fmt: skip
    (sdist,), (wheel,) = target.glob("*.tar.gz"), target.glob("*.whl")
    return sdist, wheel


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> tuple[Path, Path]:
    return built(tmp_path_factory.mktemp("wheel"), "022", 1_600_000_000)


@pytest.fixture(scope="module")
def wheel(files) -> Path:
    return files[1]


def test_folder_time_and_umask_leave_nothing(files, tmp_path):
    again = built(tmp_path / "elsewhere", "077", 1_700_000_000)
    for one, other in zip(files, again, strict=True):
        assert one.name == other.name
        assert one.read_bytes() == other.read_bytes(), one.name


def test_the_time_may_be_given(files, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    for path, normalise in zip(files, (normalise_sdist, normalise_wheel), strict=True):
        copy = Path(shutil.copy(path, tmp_path))
        normalise(copy)
        assert copy.read_bytes() != path.read_bytes()
    assert {i.date_time for i in zipfile.ZipFile(copy).infolist()} == {(2023, 11, 14, 22, 13, 20)}


def test_a_library_that_is_there_is_no_source(files):
    with tarfile.open(files[0]) as archive:
        names = [Path(name).name for name in archive.getnames()]
    assert "march.h" in names
    assert not {name for name in names if name.endswith((".so", ".dylib"))}


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
    # To unpack it is all that an installation does, but for the commands.
    zipfile.ZipFile(wheel).extractall(target)
    paths = {sysconfig.get_path(name) for name in ("purelib", "platlib")}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(
        [python, "-P", "-c", FIRST_STEP, str(tmp_path / "volume")],
        env=environment, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == os.path.join(target, "jaxslice", "__init__.py")
    assert (tmp_path / "volume" / "info").exists()
