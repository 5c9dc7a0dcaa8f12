"""Compiles the native engine to one shared library: `python -m jaxslice.native.build`.

Every file is compiled for the generic target of its machine; only the kernels of an instruction set
get that set's options, so that one library runs anywhere and chooses when it runs. The compiler is
the machine's `cc`, or `zig cc` where the Python package ziglang is installed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCES = Path(__file__).parent
FOLDER = SOURCES
"""Where the library is looked for."""

SHARED = (
    "block",
    "check",
    "dispatch",
    "history",
    "levels",
    "plan",
    "portable",
    "voxels",
    "linear",
    "linear_parts",
    "linear_tables",
    "linear_portable",
    "linear_residuals",
)
AVX2 = ("-mavx2",)
AVX512 = ("-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mavx512cd", "-mavx512vnni")
X86 = {
    "avx2": AVX2,
    "avx2_pack": (),
    "avx2_wide": AVX2,
    "avx512": AVX512,
    "avx512_wide": AVX512,
    "linear_avx2": AVX2,
    "linear_avx512": AVX512,
}
ARM64 = {"neon": ("-mcpu=generic+dotprod",)}
OPTIONS = ("-std=gnu11", "-O3", "-g0", "-fPIC", "-fvisibility=hidden", "-ffp-contract=off", "-Wall")


def compiler() -> list[str] | None:
    """The command that compiles C: `CC`, the machine's, or zig's; None if there is none."""
    if os.environ.get("CC"):
        return shlex.split(os.environ["CC"])
    for name in ("cc", "gcc", "clang"):
        if shutil.which(name):
            return [name]
    if importlib.util.find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang", "cc"]
    return None


def sources(machine: str | None = None) -> dict[str, tuple[str, ...]]:
    """Each source file's name, and the options that it needs beside the common ones.

    Args:
      machine: as `platform.machine` names it; this one if None.
    """
    files: dict[str, tuple[str, ...]] = dict.fromkeys(SHARED, ())
    machine = (machine or platform.machine()).lower()
    if machine in ("x86_64", "amd64"):
        files.update(X86)
    elif machine in ("aarch64", "arm64"):
        files.update(ARM64)
    return files


def source_digest() -> str:
    """A digest of all sources: a library of other sources than these is out of date."""
    digest = hashlib.sha256()
    for path in sorted(SOURCES.glob("*.[ch]")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def library_name() -> str:
    """The library's file name: that of no Python version, since it knows nothing of Python."""
    return "libjaxslice_march.dylib" if sys.platform == "darwin" else "libjaxslice_march.so"


def build(folder: Path = FOLDER, extra: tuple[str, ...] = ()) -> Path:
    """Compiles the library into `folder`; one that is there is replaced by a whole new one.

    Args:
      folder: where the library goes.
      extra: options for every file and the link, as `-fsanitize=address`.

    Raises:
      RuntimeError: there is no compiler, or it fails.
    """
    command = compiler()
    if command is None:
        raise RuntimeError("Got no C compiler: expected cc, gcc, clang or the package ziglang.")
    target = folder / library_name()
    # Without the map, the compiler may write the name of this folder into the library.
    defined = [f'-DMARCH_SOURCE_DIGEST="{source_digest()}"', f"-ffile-prefix-map={SOURCES}=."]
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        objects = []
        for name, options in sources().items():
            objects.append(f"{scratch}/{name}.o")
            source = str(SOURCES / f"{name}.c")
            _run([*command, *OPTIONS, *defined, *options, *extra, "-c", source, "-o", objects[-1]])
        partial = Path(scratch, "partial")
        _run([*command, *extra, "-shared", *objects, "-o", str(partial)])
        partial.replace(target)
    return target


def _run(command: list[str]) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(f"Got an error from {shlex.join(command)}:\n{result.stderr}")


if __name__ == "__main__":
    print(build())
