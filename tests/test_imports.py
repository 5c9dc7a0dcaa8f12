"""Imports go one way: which package may import which, read from the source. Fails closed."""

import ast
import sys
from pathlib import Path

import numpy as np
import pytest
from fresh_python import modules_after

from jaxslice.bench.synthetic import synthetic_volume
from jaxslice.codec.engines import interface

PACKAGE = Path(__file__).parents[1] / "jaxslice"

EVERYTHING = frozenset(
    [
        "core",
        "reference",
        "native",
        "codec",
        "models",
        "training",
        "storage",
        "volumes",
        "archive",
        "jobs",
        "serve",
        "report",
        "selftest",
        "napari_plugin",
        "browser",
        "bench",
        "cli",
    ]
)
MAY_IMPORT: dict[str, frozenset[str]] = {
    "": EVERYTHING,
    "core": frozenset(),
    "reference": frozenset({"core"}),
    "native": frozenset(),
    "codec": frozenset({"core", "codec", "native"}),
    "models": frozenset({"core", "codec", "models"}),
    "training": frozenset({"core", "codec", "models", "training"}),
    "storage": frozenset({"core", "storage"}),
    "volumes": frozenset({"core", "storage", "archive", "volumes"}),
    "archive": frozenset({"core", "codec", "storage", "archive"}),
    "jobs": EVERYTHING - {"reference", "serve", "report", "browser", "selftest", "bench", "cli"},
    "serve": frozenset({"core", "storage", "archive", "serve"}),
    "napari_plugin": frozenset({"core", "storage", "archive", "napari_plugin"}),
    "browser": frozenset({"core", "native", "browser"}),
    "bench": EVERYTHING - {"reference", "serve", "report", "browser", "selftest", "cli"},
    "report": EVERYTHING - {"reference", "serve", "browser", "selftest", "cli"},
    "selftest": EVERYTHING - {"reference", "serve", "report", "browser", "napari_plugin", "cli"},
    "cli": EVERYTHING - {"reference"},
}
"""Package -> packages that its files may import; "" holds `__init__`."""

ONLY_IN: dict[str, set[str]] = {
    "absl": {"cli"},
    "flax": {"training"},
    "optax": {"training"},
    "scipy": {"training"},
    "threadpoolctl": {"jobs"},
    "orbax": {"training"},
    "distributed": {"jobs"},
    "tensorstore": {"storage", "volumes", "archive"},
    "zarr": {"archive", "volumes"},
    "aiohttp": {"serve"},
    "neuroglancer": {"serve"},
    "jinja2": {"report"},
    "imagecodecs": {"bench"},
    "blosc2": {"bench"},
    "geozl": {"bench"},
    "tomoz": {"bench"},
    "vc_delta3d": {"bench"},
    "matplotlib": {"bench"},
    "matplotlib_scalebar": {"bench"},
    "rich": {"cli", "bench"},
    "prometheus_client": {"cli"},
}
"""Library -> the packages that may use it."""


def package_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0] if path.parent != PACKAGE else ""


def imported(source: str) -> set[str]:
    """Dotted names of everything that a source imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            names |= {f"{module}.{alias.name}" for alias in node.names}
    return names


def faults(package: str, source: str) -> list[str]:
    """What a file of a package imports and may not."""
    found = []
    for name in imported(source):
        first, *rest = name.split(".")
        if first == "jaxslice":
            target = rest[0] if rest and rest[0] in EVERYTHING else ""
            if target and target not in MAY_IMPORT[package] | {package}:
                found.append(name)
        elif first == "" or package not in ONLY_IN.get(first, {package}):
            found.append(name)
    return found


FILES = sorted(PACKAGE.rglob("*.py"))


def test_every_package_has_a_rule():
    assert {package_of(path) for path in FILES} == set(MAY_IMPORT)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_imports_what_its_package_may(path):
    assert not faults(package_of(path), path.read_text())


def test_faults_are_found():
    assert faults("codec", "def f():\n  from jaxslice.archive import store")
    assert faults("core", "from jaxslice.codec import rans")
    assert faults("jobs", "import absl.flags")
    assert faults("cli", "from . import main")
    assert not faults("jobs", "import numpy\nfrom jaxslice.training import train")


def test_the_reference_decoder_stands_alone():
    files = [path for path in FILES if package_of(path) == "reference"]
    names = set[str]().union(*(imported(path.read_text()) for path in files))
    own = {name for name in names if name.startswith("jaxslice.core")}
    assert {name.rsplit(".", 1)[0] for name in own} <= {"jaxslice.core.errors"}
    names = {name for name in names if not name.startswith("jaxslice.")}
    others = {name.split(".")[0] for name in names}
    assert others <= {"numpy", *sys.stdlib_module_names}


def test_importing_the_package_loads_nothing():
    loaded = modules_after("import jaxslice")
    assert "jaxslice" in loaded
    assert not loaded & {"jax", "jaxlib", "flax", "tensorstore", "zarr", "numpy"}


@pytest.mark.parametrize(
    "module",
    ["archive.zarr_codec", "cli.main", "archive.store", "codec.block", "codec.probe", "reference"],
)
def test_what_starts_often_does_not_load_jax(module):
    assert "jax" not in modules_after(f"import jaxslice.{module}")


def test_compressing_without_training_needs_no_training_library():
    loaded = modules_after("import jaxslice; jaxslice.compress")
    assert not loaded & {"jax", "flax", "optax", "orbax"}


def test_encoding_needs_no_jax_before_an_engine_that_uses_it_is_chosen():
    chosen = (
        "jaxslice.codec.engines.interface; jaxslice.codec.engines.interface.engine_named('xla')"
    )
    assert "jax" not in modules_after("import jaxslice.codec.engines.interface")
    assert "jax" in modules_after(f"import {chosen}")


def test_effort_0_of_the_native_engine_loads_no_jax(tmp_path):
    if not interface._load("native").is_available():
        pytest.skip("the native engine cannot run on this core")
    path = str(tmp_path / "volume.npy")
    np.save(path, synthetic_volume((4, 24, 32)))
    places = f"{path!r}, {str(tmp_path / 'a.zarr')!r}"
    command = f"['jaxslice', 'compress', {places}, '--effort=0', '--engine=native']"
    loaded = modules_after(f"from jaxslice.cli import main; assert main.run({command}) == 0")
    assert "jaxslice.training.natural_gradient" in loaded
    assert not loaded & {"jax", "jaxlib", "flax", "optax", "scipy"}
