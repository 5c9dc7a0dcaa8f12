"""What the documents say holds: examples run, tables are the CSV's, links lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from jaxslice.jobs import effort
from jaxslice.models.presets import FULL

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_tables_are_those_of_the_csv():
    printed = subprocess.run(
        [sys.executable, ROOT / "experiments" / "table.py"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for table in printed.strip().split("\n\n"):
        assert table in README


@pytest.mark.parametrize("document", ["README.md", "BUILD.md"])
def test_links_lead_somewhere(document):
    targets = re.findall(r"\]\(([^)#]+)\)", (ROOT / document).read_text())
    for target in targets:
        assert target.startswith("http") or (ROOT / target).exists(), target


def test_build_names_every_module():
    build = (ROOT / "BUILD.md").read_text()
    for path in (ROOT / "jaxslice").glob("*.py"):
        assert path.name == "__init__.py" or path.name in build, path.name


def test_the_ci_runs_the_readmes_test_command():
    (command,) = re.findall(r"passes the tests:\n\n```sh\n(.*)\n```", README)
    script = (ROOT / ".ci" / "run").read_text()
    assert command.replace("install -e", "install -q -e") in script


@pytest.mark.slow
def test_the_readmes_example_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(effort, "tuning_steps", lambda *_: 100)
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    exec(compile(code, "README.md", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    assert f"{FULL.num_params} parameters" in printed[0]
    (shown,) = re.findall(r"prints\n\n```\n(.*?)```", README, flags=re.DOTALL)
    # The rate depends on training, the voxels do not.
    assert printed[1:] == shown.splitlines()[1:]


@pytest.mark.slow
def test_leave_one_out_smoke(tmp_path):
    output = tmp_path / "left_out.csv"
    script = ROOT / "experiments" / "leave_one_out.py"
    arguments = ["--smoke", f"--models={tmp_path}", f"--output={output}"]
    subprocess.run([sys.executable, script, *arguments], check=True)
    header, *rows = output.read_text().splitlines()
    assert header.startswith("volume,effort,bits_per_voxel")
    assert [row.split(",")[0] for row in rows] == ["near", "far"]
    assert {path.name for path in tmp_path.rglob("*.json")} == {"near.json", "far.json"}
    assert output.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
