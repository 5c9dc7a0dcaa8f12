"""The NEON kernel: compiled for AArch64 by zig, and run where qemu can run it.

The fuzzer holds its messages against those of the portable kernel, and hands it damaged ones.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from jaxslice.native import build, library

QEMU = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory) -> str:
    files = build.sources("aarch64")
    options = {option for each in files.values() for option in each}
    program = str(tmp_path_factory.mktemp("neon") / "fuzz")
    names = [str(build.SOURCES / f"{name}.c") for name in files]
    command = [sys.executable, "-m", "ziglang", "cc", "-target", "aarch64-linux-musl", "-static"]
    command += [*build.OPTIONS, *options, "-O1", "-Werror", f"-I{build.SOURCES}"]
    fuzz = map(str, sorted(Path(__file__).parent.glob("fuzz*.c")))
    build._run([*command, *names, *fuzz, "-o", program])
    return program


@pytest.mark.slow
def test_it_compiles_without_a_warning_and_runs_exactly(fuzzer):
    program = Path(fuzzer).read_bytes()
    assert program[:4] == b"\x7fELF"
    assert program[18:20] == (183).to_bytes(2, "little")
    # The C library in it names the folder that zig compiled it in.
    assert str(build.SOURCES).encode() not in program, "the same bytes in any folder"
    if QEMU:
        command = [QEMU, fuzzer, str(library.NEON), "30"]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout + result.stderr[:5000]
        assert "30 of 30 rounds were coded" in result.stdout
