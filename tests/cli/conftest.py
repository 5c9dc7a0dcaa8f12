"""Runs the command line in the process of the tests."""

from collections.abc import Callable

import pytest

from jaxslice.cli import backend, main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def jaxslice(capsys, monkeypatch) -> Run:
    """Runs a command: (exit code, stdout, stderr)."""
    # The compilation cache is a global setting, which must not leak into other tests.
    monkeypatch.setattr(backend, "start_backend", lambda *_, **__: None)

    def run(*words):
        code = main.run(["jaxslice", *map(str, words)])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def no_work(monkeypatch) -> None:
    """Fails a test whose command goes further than its checks."""

    def started(*_, **__):
        raise AssertionError("the work has begun")

    monkeypatch.setattr(backend, "start_backend", started)
