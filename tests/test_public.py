"""The public names: each is documented, and its example runs."""

import doctest
import inspect

import numpy as np
import pytest

import jaxslice

FUNCTIONS = [name for name in jaxslice.__all__ if inspect.isfunction(getattr(jaxslice, name))]


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """A folder with the volume and the archive that the examples name."""
    folder = tmp_path_factory.mktemp("examples")
    voxels = np.arange(4 * 32 * 48, dtype=np.uint16).reshape(4, 32, 48)
    np.save(folder / "volume.npy", voxels.astype(np.uint8))
    options = jaxslice.CompressOptions(effort=0)
    jaxslice.compress(str(folder / "volume.npy"), str(folder / "volume.zarr"), options)
    return folder


def test_the_public_functions():
    assert set(FUNCTIONS) == {
        *("compress", "decompress", "diff", "verify", "info", "open", "train", "load_model"),
        *("encode_blocks", "decode_blocks", "zarr_serializer"),
        *("plan_archive", "compress_shard", "seal", "forecast", "status"),
        *("extend", "inspect", "open_source", "repair", "scrub", "set_store_options"),
    }


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_example_of_a_public_function_runs(name, examples, monkeypatch):
    monkeypatch.chdir(examples)
    function = inspect.unwrap(getattr(jaxslice, name))
    (test,) = doctest.DocTestFinder(recurse=False).find(function, name, globs={})
    assert test.examples, f"{name} has no example"
    runner = doctest.DocTestRunner()
    runner.run(test)
    assert runner.summarize(verbose=False).failed == 0


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_public_function_documents_its_parts(name):
    text = inspect.getdoc(getattr(jaxslice, name)) or ""
    parts = ("Args:",) if name == "set_store_options" else ("Args:", "Returns:", "Raises:")
    for part in parts:
        assert part in text, f"{name} lacks {part}"
    for argument in inspect.signature(getattr(jaxslice, name)).parameters:
        assert f"{argument}:" in text, f"{name} does not document {argument}"


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = jaxslice.nothing
    assert dir(jaxslice) == jaxslice.__all__
