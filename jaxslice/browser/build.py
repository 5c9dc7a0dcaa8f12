"""Writes the page into a folder: its files, and the native engine compiled to WebAssembly."""

from __future__ import annotations

import importlib.util
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from jaxslice.core.errors import MissingExtraError
from jaxslice.native.build import SHARED, SOURCES

FOLDER = Path(__file__).parent
FILES = ("index.html", "page.js", "worker.js", "archive.js", "engine.js", "model.js", "payload.js")
WASM = "jaxslice.wasm"
EXPORTS = (
    *(f"{kind}_{name}" for kind in ("march", "linear") for name in ("task_bytes", "scratch_bytes")),
    *("march_decode", "linear_decode", "page_crc32c", "page_xxh3", "page_difference"),
    "__heap_base",
)
TARGET = ("-target", "wasm32-wasi")
SIMD = ("-msimd128",)
VECTORS = {"portable": (*SIMD, "-Dmarch_portable=march_scalar")}
"""Options of files other than `SIMD`: the kernel of lanes.c takes the place of the portable one."""
OPTIONS = (
    *("-std=gnu11", "-O3", "-ffp-contract=off", "-fvisibility=hidden"),
    # Memory is copied and filled by instructions, so that no C library is needed.
    "-mbulk-memory",
)
LINK = (
    *("-nostdlib", "-Wl,--no-entry", "-Wl,--strip-all", "-Wl,-z,stack-size=262144"),
    *(f"-Wl,--export={name}" for name in EXPORTS),
)


def write_page(folder: Path) -> list[Path]:
    """Writes the page's files into a folder, which is made if it is not there.

    Returns:
      The files.

    Raises:
      MissingExtraError: the package ziglang, which compiles to WebAssembly, is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    compile_engine(folder / WASM)
    for name in FILES:
        shutil.copyfile(FOLDER / name, folder / name)
    return [folder / name for name in (*FILES, WASM)]


def compile_engine(target: Path, vectors: bool = True) -> None:
    """Compiles the native engine to WebAssembly.

    Args:
      target: the file to write.
      vectors: whether with the kernel for WebAssembly's vectors, or only with the portable ones.

    Raises:
      MissingExtraError: the package ziglang is not installed.
    """
    if importlib.util.find_spec("ziglang") is None:
        raise MissingExtraError(
            "Got no package ziglang, expected it to compile to WebAssembly: pip install "
            "'jaxslice[browser]'."
        )
    with tempfile.TemporaryDirectory() as folder:
        objects = []
        own = ("page", "lanes") if vectors else ("page",)
        sources = [*(SOURCES / f"{name}.c" for name in SHARED), *(FOLDER / f"{n}.c" for n in own)]
        for source in sources:
            objects.append(f"{folder}/{source.stem}.o")
            options = VECTORS.get(source.stem, SIMD) if vectors else ()
            _run([*OPTIONS, *options, "-c", str(source), "-o", objects[-1]])
        _run([*LINK, *objects, "-o", str(target)])


def _run(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "ziglang", "cc", *TARGET, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(f"Got an error from {shlex.join(command)}:\n{result.stderr}")
