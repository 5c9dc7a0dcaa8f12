"""What the package may use of others: bounded, licensed, and nothing that runs foreign code."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIREMENTS = sorted(
    {
        *PROJECT["dependencies"],
        *(r for extra in PROJECT["optional-dependencies"].values() for r in extra),
    }
)
FOREIGN = [r for r in REQUIREMENTS if not r.startswith("jaxslice[")]
FILES = sorted((ROOT / "jaxslice").rglob("*.py"))

RUNS_CODE = {"eval", "exec", "compile", "__import__"}
UNSAFE_MODULES = {"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle"}


def name_of(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found
    return found[0].lower()


@pytest.mark.parametrize("requirement", FOREIGN)
def test_every_dependency_has_bounds(requirement):
    bounds = requirement.partition(";")[0]
    assert re.search(r">=\d", bounds)
    assert re.search(r"<\d", bounds)


@pytest.mark.parametrize("name", sorted({name_of(requirement) for requirement in FOREIGN}))
def test_every_dependency_has_its_reason_and_its_licence(name):
    assert re.search(rf"\b{re.escape(name)}\b", (ROOT / "BUILD.md").read_text(), re.IGNORECASE)
    table = (ROOT / "docs" / "licences.md").read_text()
    assert re.search(rf"^\| {re.escape(name)} \|", table, re.MULTILINE | re.IGNORECASE)


def test_nothing_unpickles_or_runs_what_it_reads():
    found = []
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules = {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                modules = {(node.module or "").partition(".")[0]}
            else:
                modules = set()
            bad = sorted(modules & UNSAFE_MODULES)
            if isinstance(node, ast.Call):
                if isinstance(node.func, ast.Name) and node.func.id in RUNS_CODE:
                    bad.append(node.func.id)
                for word in node.keywords:
                    value = isinstance(word.value, ast.Constant) and word.value.value
                    if word.arg in ("shell", "allow_pickle") and value:
                        bad.append(f"{word.arg}=True")
            found += [f"{path.relative_to(ROOT)}:{node.lineno} {name}" for name in bad]
    assert found == []


OFFLINE = """
import socket

def refuse(*arguments, **named):
    raise AssertionError("the network was used")

socket.getaddrinfo = socket.create_connection = refuse
socket.socket.connect = socket.socket.connect_ex = refuse
import jaxslice
from jaxslice.cli import registry
for name in jaxslice.__all__:
    getattr(jaxslice, name)
for name in registry.SUMMARIES:
    registry.load(name)
"""


def test_importing_uses_no_network():
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
