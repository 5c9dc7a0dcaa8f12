"""`--help` and `--version`: complete, and nothing else is done."""

import pytest
from absl import flags

from jaxslice.cli import registry
from jaxslice.cli.arguments import parse
from jaxslice.codec.versions import ARCHIVE_VERSION


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["-help"], ["help"]])
def test_help_lists_the_commands(jaxslice, words):
    code, out, err = jaxslice(*words)
    assert (code, err) == (0, "")
    for name, summary in registry.SUMMARIES.items():
        assert f"  {name:<10}  {summary}\n" in out


@pytest.mark.parametrize("command", registry.SUMMARIES)
def test_help_of_a_command(jaxslice, command):
    code, out, err = jaxslice(command, "--help")
    assert (code, err) == (0, "")
    assert jaxslice("help", command)[1] == out
    assert jaxslice(command, "--seed=nonsense", "-h")[1] == out
    usage = " ".join(["Usage: jaxslice", command, *registry.load(command).arguments])
    assert out.startswith(usage)
    values = registry.load(command).flags()
    for name in values:
        _, _, text = out.partition(f"--[no]{name}\n" if values[name].boolean else f"--{name}=<")
        assert "efault" in text.split("\n  --")[0], f"--{name} has its default"
    for heading in ("Output:", "Other:", "Examples:"):
        assert f"\n{heading}\n" in out
    assert len([line for line in out.splitlines() if len(line) > 100]) == 0


def test_flags_are_grouped(jaxslice):
    _, out, _ = jaxslice("compress", "--help")
    headings = [line for line in out.splitlines() if line[:1].isupper() and line.endswith(":")]
    assert headings == [
        "What to read:", "How well to compress:", "Checks:", "Resources:", "Output:",
        "How to reach stores:", "Other:", "Examples:",
    ]  # fmt: skip
    _, _, quality = out.partition("How well to compress:")
    assert "--effort=<" in quality.partition("Checks:")[0]
    assert "--missing=<error|zero>\n" in out
    assert "(default: '1')" in out


@pytest.mark.parametrize("command", registry.SUMMARIES)
def test_examples_can_be_parsed(command):
    loaded = registry.load(command)
    assert loaded.examples
    for example in loaded.examples:
        program, name, *words = example.split()
        assert (program, name) == ("jaxslice", command)
        parse(loaded, words)


def test_help_of_an_unknown_command(jaxslice):
    code, out, err = jaxslice("shrink", "--help")
    assert (code, out) == (2, "")
    assert "the command 'shrink', expected one of compress" in err


def test_help_is_an_argument_after_two_dashes(jaxslice):
    code, _, err = jaxslice("info", "--", "--help")
    assert code == 2
    assert "there is no zarr.json" in err


def test_every_flag_has_help():
    for command in registry.SUMMARIES:
        values = registry.load(command).flags()
        for name in values:
            assert isinstance(values[name], flags.Flag)
            assert values[name].help != "(no help available)"


def test_version(jaxslice):
    code, out, _ = jaxslice("--version")
    assert code == 0
    assert out.startswith("jaxslice ")
    assert out.endswith(f", writes archives of format {ARCHIVE_VERSION}\n")
