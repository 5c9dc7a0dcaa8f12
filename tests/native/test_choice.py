"""Where "auto" chooses the native engine, and what that engine refuses."""

import importlib.machinery
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from fresh_python import modules_after
from models_for_tests import SHAPE, TINY_MODEL, smooth_block

from jaxslice.codec.block import decode_block, encode_block
from jaxslice.codec.engines import interface, native
from jaxslice.core.errors import UsageError
from jaxslice.native import library

built = pytest.mark.skipif(not library.instruction_sets(), reason="the native engine was not built")
GPU = SimpleNamespace(platform="gpu")


@pytest.fixture
def bare(monkeypatch):
    """An environment without any accelerator's package, and nothing remembered of another."""
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.delenv("PJRT_NAMES_AND_LIBRARY_PATHS", raising=False)
    monkeypatch.setattr(interface, "_ACCELERATORS", ())
    monkeypatch.setattr(interface, "_PLUGINS", "jax_plugins_of_this_test")
    interface._has_accelerator.cache_clear()
    yield monkeypatch
    interface._has_accelerator.cache_clear()


def plugin_folder(folder) -> str:
    """A namespace package with one plug-in, which must not be imported."""
    (folder / "jax_plugins_of_this_test" / "some_chip").mkdir(parents=True)
    source = folder / "jax_plugins_of_this_test" / "some_chip" / "__init__.py"
    source.write_text("raise AssertionError('imported')")
    return str(folder)


def test_nothing_installed_is_no_accelerator(bare):
    assert not interface._has_plugin()
    assert not interface._has_accelerator()


def test_a_plugin_in_the_namespace_counts_and_is_not_imported(bare, tmp_path):
    bare.syspath_prepend(plugin_folder(tmp_path))
    assert interface._has_plugin()
    assert "jax_plugins_of_this_test.some_chip" not in sys.modules


def test_an_entry_point_counts(bare, tmp_path):
    folder = tmp_path / "some_chip-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Name: some_chip\nVersion: 1\n")
    (folder / "entry_points.txt").write_text("[jax_plugins_of_this_test]\nchip = some_chip\n")
    bare.syspath_prepend(str(tmp_path))
    assert interface._has_plugin()


def test_a_package_of_the_list_counts(bare):
    bare.setattr(interface, "_ACCELERATORS", ("some_chip_driver",))
    assert not interface._has_plugin()
    spec = importlib.machinery.ModuleSpec("some_chip_driver", None)
    bare.setitem(sys.modules, "some_chip_driver", SimpleNamespace(__spec__=spec))
    assert interface._has_plugin()


def test_a_plugin_named_in_the_environment_counts(bare):
    bare.setenv("PJRT_NAMES_AND_LIBRARY_PATHS", "chip:/lib/chip.so")
    assert interface._has_plugin()


@pytest.mark.parametrize(
    ("platforms", "found"), [("", True), ("cpu", False), ("cpu,cuda", False), ("cuda,cpu", True)]
)
def test_jax_platforms_comes_before_plugins(bare, platforms, found):
    import jax

    bare.setattr(interface, "_has_plugin", lambda: True)
    bare.setattr(jax, "default_backend", lambda: "gpu")
    bare.setenv("JAX_PLATFORMS", platforms)
    assert interface._has_accelerator() == found
    if found:
        assert interface.engine_named("auto").name == "xla"


def test_looking_for_plugins_does_not_load_jax():
    statement = "from jaxslice.codec.engines import interface; interface._has_plugin()"
    assert "jax" not in modules_after(statement)


def test_a_plugin_without_its_accelerator_leaves_the_cpu(bare):
    import jax

    bare.setattr(interface, "_has_plugin", lambda: True)
    bare.setattr(jax, "default_backend", lambda: "cpu")
    assert not interface._has_accelerator()


def test_on_a_given_accelerator_auto_is_xla():
    assert interface.engine_named("auto", GPU).name == "xla"


@built
def test_the_native_engine_refuses_an_accelerator():
    block = smooth_block(SHAPE)
    data = encode_block(block, TINY_MODEL, engine="native")
    with pytest.raises(UsageError, match=r"Got the device .*gpu.*expected a CPU"):
        encode_block(block, TINY_MODEL, GPU, engine="native")
    with pytest.raises(UsageError, match=r"Got the device .*gpu.*expected a CPU"):
        decode_block(data, SHAPE, TINY_MODEL, GPU, engine="native")


@built
def test_a_cpu_may_be_given_to_the_native_engine():
    block = smooth_block(SHAPE)
    cpu = SimpleNamespace(platform="cpu")
    data = encode_block(block, TINY_MODEL, cpu, engine="native")
    assert np.array_equal(decode_block(data, SHAPE, TINY_MODEL, cpu, engine="native"), block)


@built
def test_scratch_memory_that_there_is_not_is_an_error_that_says_so(monkeypatch):
    monkeypatch.setattr(library, "scratch_bytes", lambda task, instruction_set: 1 << 62)
    with pytest.raises(MemoryError, match=f"Got no {1 << 62} bytes .* 3 x 70 x 24 voxels"):
        native.encode(smooth_block((3, 70, 24)), (3, 70, 24), np.full(3, 256), TINY_MODEL)
