"""What the documents say holds: examples run, tables are the CSV's, links lead somewhere."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from jaxslice.jobs import effort
from jaxslice.models.presets import FULL

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


DOCUMENTS = sorted(
    path.relative_to(ROOT)
    for folder in (".", "docs", "docs/howto", "experiments", "jaxslice", "jaxslice/models")
    for path in (ROOT / folder).glob("*.md")
)


def test_the_tables_are_those_of_the_csv():
    printed = subprocess.run(
        [sys.executable, ROOT / "experiments" / "table.py"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    readme, *others = printed.strip().split("\n\n")
    assert readme in README
    documents = [path.read_text() for path in sorted((ROOT / "docs").rglob("*.md"))]
    assert len(others) == 9
    for table in others:
        assert any(table in document for document in documents)


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_links_lead_somewhere(document):
    targets = re.findall(r"\]\(([^)#]+)\)", (ROOT / document).read_text())
    for target in targets:
        place = (ROOT / document).parent / target
        assert target.startswith("http") or place.exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_text_wraps_at_100_columns(document):
    """Tables, code and links cannot be wrapped."""
    text = re.sub(r"^```.*?^```", "", (ROOT / document).read_text(), flags=re.M | re.S)
    long = [line for line in text.splitlines() if len(line) > 100]
    assert [line for line in long if not line.startswith(("|", "    ")) and " " in line] == []


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 150


def test_build_names_every_package_and_dependency():
    build = (ROOT / "BUILD.md").read_text()
    for path in (ROOT / "jaxslice").rglob("__init__.py"):
        assert path.parent.name + "/" in build or path.parent.name in build, path
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for requirement in [*project["dependencies"], *extras["bench"], *extras["train"],
                        *extras["test"]]:  # fmt: skip
        name = re.split(r"[\[>=]", requirement)[0]
        assert re.search(rf"\b{name}\b", build), name


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
