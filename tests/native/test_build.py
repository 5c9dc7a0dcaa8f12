"""The library is built when the package is installed, by whatever compiler there is."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from setuptools import Distribution

from jaxslice.native import build, library

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "build_backend"))

import jaxslice_build  # noqa: E402 (the backend is no package)


@pytest.fixture
def no_compiler(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)


def test_a_compiler_of_the_machine_is_enough(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    assert not any("zig" in name for name in jaxslice_build.get_requires_for_build_wheel())
    assert not any("zig" in name for name in jaxslice_build.get_requires_for_build_editable())


def test_without_one_zig_is_required(no_compiler, monkeypatch):
    monkeypatch.setattr(build.importlib.util, "find_spec", lambda name: None)
    assert build.compiler() is None
    assert any("zig" in name for name in jaxslice_build._compiler())


def test_a_failed_build_says_so_and_is_no_error(no_compiler, monkeypatch, capsys):
    monkeypatch.setattr(build, "compiler", lambda: None)
    monkeypatch.setattr(jaxslice_build, "_native_build", lambda: build)
    jaxslice_build._compile()
    assert capsys.readouterr().err.count("XLA runs instead") == 1


def test_the_compilers_own_words_are_passed_on(monkeypatch, tmp_path):
    monkeypatch.setenv("CC", f"{sys.executable} -c 'import sys;sys.exit(sys.argv[-1])'")
    with pytest.raises(RuntimeError, match="Got an error from"):
        build.build(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("there", [True, False])
def test_the_tag_says_whether_the_library_is_there(there, monkeypatch, tmp_path):
    if there:
        (tmp_path / build.library_name()).touch()
    monkeypatch.setattr(build, "FOLDER", tmp_path)
    monkeypatch.setattr(jaxslice_build, "_native_build", lambda: build)
    command = jaxslice_build.PlatformWheel(Distribution({"name": "p"}))
    command.ensure_finalized()
    python, abi, platform = command.get_tag()
    assert (python, abi) == ("py3", "none")
    assert (platform == "any") != there
    assert command.root_is_pure != there


@pytest.mark.slow
def test_zig_builds_where_the_machine_has_no_compiler(no_compiler, tmp_path):
    """A process of its own loads it from another folder: a loaded library must not be written."""
    assert "ziglang" in " ".join(build.compiler() or [])
    build.build(tmp_path)
    script = (
        "import sys; from pathlib import Path; from jaxslice.native import build, library;"
        "build.FOLDER = Path(sys.argv[1]); from jaxslice.codec import probe;"
        "from jaxslice.codec.engines import native;"
        "print(library.instruction_sets(), probe.passes(native.ENGINE))"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        env=dict(os.environ, PYTHONPATH=str(ROOT)), capture_output=True, check=True, text=True,
    )  # fmt: skip
    assert run.stdout == f"{library.instruction_sets() or (library.PORTABLE,)} True\n"


def test_a_library_of_other_sources_is_not_used(monkeypatch):
    """As after an update of a checkout, until it is built again."""
    assert library.instruction_sets()
    monkeypatch.setattr(build, "source_digest", lambda: "0123456789abcdef")
    library._library.cache_clear()
    try:
        assert library.instruction_sets() == ()
    finally:
        library._library.cache_clear()
