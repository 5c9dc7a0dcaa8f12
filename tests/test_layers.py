"""Imports go one way: read from the source, so that nothing has to be imported to know."""

import ast
import graphlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "jaxslice"
MODULES = sorted(path.stem for path in PACKAGE.glob("*.py") if path.stem != "__init__")

CORE = {
    *("march", "intervals", "rans", "features", "config", "division", "box", "types", "errors"),
    *("levels", "payload", "checksum"),
}
"""Integers and geometry: they know nothing of networks, storage or people."""

EXACT = {
    *("integer", "weights", "difference", "coder", "block", "xla"),
    *("fused", "fused_network"),
}
TRAINING = {
    *("network", "train", "training_set", "tune", "own_networks", "augment", "checkpoint"),
    *("adaptation", "compare", "params", "styles", "moments", "precondition", "scoring"),
}
ABOVE_TRAINING = {
    *("archive", "source", "destination", "storage", "pipeline", "zarr_codec", "command_line"),
    *("lazy", "demo", "describe", "options", "terminal", "stages", "metadata"),
    *("blockwise", "explain", "effort", "base", "pieces", "recipe", "shipped"),
    *("bench", "bench_report", "bench_speed", "memory", "parallelism"),
}
STORAGE = {"source", "destination", "archive", "storage", "lazy"}
"""The modules that may touch TensorStore."""

ZARR = {"zarr_codec", "archive", "destination", "source"}
FLAGS = {"command_line"}
REFERENCE_MAY_IMPORT = {"errors"}


def imports_of(source: str, *, at_import: bool = False) -> set[str]:
    """Dotted names of all that a module imports, `from a import b` as `a.b` and as `a`.

    Args:
      source: Python code.
      at_import: only what is imported when the module is, not inside functions or for type
        checkers.
    """
    names: set[str] = set()
    pending = list(ast.parse(source).body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            names |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
        if at_import and is_lazy(node):
            pending += getattr(node, "orelse", [])
        else:
            pending += list(ast.iter_child_nodes(node))
    return names


def is_lazy(node: ast.AST) -> bool:
    if isinstance(node, ast.If):
        return ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)


def source_of(module: str) -> str:
    return (PACKAGE / f"{module}.py").read_text()


def own_modules(source: str, *, at_import: bool = False) -> set[str]:
    """Modules of the package that a source imports."""
    names = imports_of(source, at_import=at_import)
    found = {name.split(".")[1] for name in names if name.startswith("jaxslice.")}
    return found & set(MODULES)


def top_levels(source: str) -> set[str]:
    return {name.split(".")[0] for name in imports_of(source)}


def test_the_reader_of_imports_finds_every_form():
    source = (
        "import a, b.c as d\nfrom e import f, g\nfrom jaxslice import rans\n"
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n  import h\nelse:\n  import i\n"
        "def k():\n  import absl.flags\n  from jaxslice.march import shear\n"
        "class C:\n  import l\ntry:\n  import m\nexcept ImportError:\n  pass\n"
    )
    everything = imports_of(source)
    assert {"a", "b.c", "e.f", "e.g", "h", "i", "absl.flags", "l", "m"} <= everything
    at_import = imports_of(source, at_import=True)
    assert {"a", "b.c", "e.f", "i", "l", "m"} <= at_import
    assert not at_import & {"h", "absl.flags", "jaxslice.march"}
    assert own_modules(source) == {"rans", "march"}
    assert own_modules(source, at_import=True) == {"rans"}
    assert top_levels("from absl import flags") == {"absl"}


def test_the_modules_of_the_rules_exist():
    assert {*CORE, *EXACT, *TRAINING} <= set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_imports_are_absolute(module):
    assert not {name for name in imports_of(source_of(module)) if name.startswith(".")}


@pytest.mark.parametrize("module", sorted(CORE))
def test_the_core_imports_only_the_core(module):
    assert own_modules(source_of(module)) <= CORE


@pytest.mark.parametrize("module", sorted(EXACT))
def test_coding_knows_no_training_and_no_storage(module):
    assert own_modules(source_of(module)) <= CORE | EXACT


@pytest.mark.parametrize("module", sorted(TRAINING))
def test_training_knows_no_archives(module):
    assert not own_modules(source_of(module)) & ABOVE_TRAINING


def test_training_libraries_stay_in_training():
    for module in set(MODULES) - TRAINING:
        assert not top_levels(source_of(module)) & {"flax", "optax", "orbax"}, module


def test_only_checkpoints_touch_orbax_and_only_when_used():
    assert not {
        name
        for name in imports_of(source_of("checkpoint"), at_import=True)
        if name.startswith("orbax")
    }
    using = {module for module in MODULES if "orbax" in top_levels(source_of(module))}
    assert using == {"checkpoint"}


def test_compressing_without_training_needs_no_training_library():
    loaded = modules_after("import jaxslice.pipeline")
    assert "jax" in loaded
    assert not loaded & {"flax", "optax", "orbax"}


@pytest.mark.parametrize("module", MODULES)
def test_only_storage_touches_tensorstore_and_zarr(module):
    used = top_levels(source_of(module))
    assert "tensorstore" not in used or module in STORAGE
    assert "zarr" not in used or module in ZARR


@pytest.mark.parametrize("module", MODULES)
def test_only_the_command_line_touches_flags(module):
    assert "absl" not in top_levels(source_of(module)) or module in FLAGS


def test_the_reference_decoder_stands_alone():
    if "reference" not in MODULES:
        pytest.skip("not there yet")
    source = source_of("reference")
    assert own_modules(source) <= REFERENCE_MAY_IMPORT
    assert top_levels(source) <= {"numpy", "jaxslice", *sys.stdlib_module_names}


def test_imports_have_no_cycles():
    graph = {module: own_modules(source_of(module)) for module in MODULES}
    assert not any(module in used for module, used in graph.items())
    order = list(graphlib.TopologicalSorter(graph).static_order())
    assert set(order) == set(MODULES)
    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter({**graph, "errors": {"block"}}).prepare()


def modules_after(statement: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after `statement`."""
    result = subprocess.run(
        [sys.executable, "-c", f"import sys; {statement}; print('\\n'.join(sys.modules))"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
    )
    return set(result.stdout.split())


def test_importing_the_package_does_not_start_jax():
    loaded = modules_after("import jaxslice")
    assert "jaxslice" in loaded
    assert not loaded & {"jax", "jaxlib", "flax", "tensorstore", "zarr", "numpy"}
    # The check can fail.
    assert "jax" in modules_after("import jaxslice.rans")


@pytest.mark.parametrize("module", ["zarr_codec", "command_line", "archive", "reference"])
def test_what_starts_often_does_not_load_jax(module):
    if module not in MODULES:
        pytest.skip("not there yet")
    assert "jax" not in modules_after(f"import jaxslice.{module}")
