"""Options for the compiler: taken where it knows them, and left away where not."""

import jax
import pytest

from jaxslice.codec.engines import xla_options


@pytest.fixture(autouse=True)
def _fresh():
    xla_options.compiler_options.cache_clear()
    yield
    xla_options.compiler_options.cache_clear()


def test_a_cpu_gets_all_that_this_release_knows():
    assert xla_options.compiler_options("cpu") == xla_options._ON_CPU


def test_unknown_options_are_left_away(monkeypatch):
    monkeypatch.setattr(xla_options, "_ON_CPU", {"xla_cpu_no_such_thing": 1, **xla_options._ON_CPU})
    known = xla_options.compiler_options("cpu")
    assert "xla_cpu_no_such_thing" not in known
    assert known["xla_cpu_multi_thread_eigen"] is False
    assert jax.jit(lambda: 3, compiler_options=known)() == 3


def test_accelerators_get_none():
    assert xla_options.compiler_options("cuda") == {}
