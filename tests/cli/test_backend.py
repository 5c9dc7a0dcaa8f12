"""How a command starts JAX, in processes of their own."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run(program: str, **environment: str) -> subprocess.CompletedProcess:
    cleared = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**cleared, "PYTHONPATH": str(ROOT), **environment}, capture_output=True, text=True,
    )  # fmt: skip


def test_a_platform_that_is_not_there_is_one_line(small_archive):
    argv = ["jaxslice", "verify", small_archive, "--engine=xla"]
    program = f"from jaxslice.cli import main; main.main({argv})"
    done = run(program, JAX_PLATFORMS="none_such")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("jaxslice: Cannot start JAX with JAX_PLATFORMS=none_such: ")
    assert len(done.stderr.splitlines()) == 1


def test_an_engine_without_jax_does_not_start_it(small_archive):
    argv = ["jaxslice", "verify", small_archive, "--engine=native"]
    program = (
        f"import sys; from jaxslice.cli import main; assert main.run({argv}) == 0\n"
        "assert 'jax' not in sys.modules\n"
    )
    done = run(program, JAX_PLATFORMS="none_such")
    assert done.returncode == 0, done.stderr


def test_compiled_programs_are_kept_in_the_users_cache_folder(tmp_path):
    program = (
        "import sys, jax; from jaxslice.cli.backend import start_backend\n"
        "start_backend(keep_programs=sys.argv[1:] != ['no'])\n"
        "print(jax.config.jax_compilation_cache_dir)"
    )
    where = {"XDG_CACHE_HOME": str(tmp_path), "JAX_PLATFORMS": "cpu"}
    assert run(program, **where).stdout == f"{tmp_path}/jaxslice/xla\n"
    own = run(program, JAX_COMPILATION_CACHE_DIR=str(tmp_path / "own"), **where)
    assert own.stdout == f"{tmp_path / 'own'}\n"
    assert run(program.replace("sys.argv[1:] != ['no']", "False"), **where).stdout == "None\n"
