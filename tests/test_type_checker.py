"""Calls are checked against their annotations in every package whose signatures name arrays."""

import re
import tomllib
from pathlib import Path

import jax.numpy as jnp
import pytest
from jaxtyping import TypeCheckError

from jaxslice.codec import rans

ROOT = Path(__file__).parents[1]
NAMES_ARRAYS = re.compile(r"from (jaxtyping|jaxslice\.core\.(jax_)?types) import")


def test_every_package_with_arrays_is_checked():
    options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    (packages,) = (word for word in options["addopts"] if word.startswith("--jaxtyping-packages="))
    *checked, checker = packages.partition("=")[2].split(",")
    with_arrays = {
        f"jaxslice.{path.relative_to(ROOT / 'jaxslice').parts[0]}"
        for path in (ROOT / "jaxslice").rglob("*.py")
        if NAMES_ARRAYS.search(path.read_text())
    }
    # `core` defines the names and computes nothing with them.
    assert set(checked) == with_arrays - {"jaxslice.core"}
    assert checker == "type_checker.check"


def test_arrays_of_another_dtype_are_refused():
    with pytest.raises(TypeCheckError):
        rans.peek(jnp.zeros(3, jnp.float32), 16)
