"""What is printed: one bounded line for an error, progress for a log, reports without markup."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jaxslice.cli import terminal
from jaxslice.cli.terminal import ProgressLines, message_line, print_report, print_table, printable

ROOT = Path(__file__).parents[2]


def test_unprintable_characters_are_escaped():
    assert (
        printable("a[b].zarr \N{GREEK SMALL LETTER MU}m") == "a[b].zarr \N{GREEK SMALL LETTER MU}m"
    )
    assert printable("\x1b[31m\n\r\0\u202e\udc80") == "\\x1b[31m\\n\\r\\x00\\u202e\\udc80"


def test_messages_are_one_bounded_line():
    assert message_line("a\n  b\tc\x1b[2J") == "a b c\\x1b[2J"
    for text in ("x" * 4_000_000, "\x1b" * 1999, "a " * 4000):
        line = message_line(text)
        assert len(line) <= terminal.MESSAGE_LENGTH
        assert line.endswith("... (cut)")
    assert message_line("x" * 2000) == "x" * 2000


def test_a_message_that_quotes_a_file_is_cut(jaxslice, archive_copy):
    (archive_copy / "zarr.json").write_bytes(b"\xff\x1b[31m" * 100_000)
    code, out, err = jaxslice("info", archive_copy)
    assert (code, out) == (3, "")
    assert len(err) <= 2001
    assert "\x1b" not in err


def unseal(archive) -> None:
    """So that the metadata may be changed."""
    path = archive / "zarr.json"
    group = json.loads(path.read_text())
    del group["attributes"]["jaxslice"]["seal"]
    path.write_text(json.dumps(group))
    path = archive / "0" / "zarr.json"
    array = json.loads(path.read_text())
    array["codecs"][0]["configuration"]["sealed"] = False
    path.write_text(json.dumps(array))


def test_names_and_provenance_are_printed_as_they_are(jaxslice, archive_copy):
    path = archive_copy / "zarr.json"
    unseal(archive_copy)
    group = json.loads(path.read_text())
    text = json.dumps(group).replace('"seed": 0', '"seed": "[/x] [red]r[/red] :smile: \\u001b[2J"')
    assert text != json.dumps(group)
    path.write_text(text)
    renamed = archive_copy.rename(archive_copy.with_name("a[b].zarr"))
    code, out, err = jaxslice("info", renamed)
    assert code == 0, err
    assert "a[b].zarr" in out
    assert "[/x] [red]r[/red] :smile: \\x1b[2J" in out


def test_a_report_for_people(jaxslice, small_archive, capsys):
    code, out, _ = jaxslice("info", small_archive)
    assert code == 0
    assert "bits per voxel" in out
    assert "architecture" not in out
    print_report(
        {"raw_bytes": 20000, "seconds": {"read": 0.25, "total": 1.5}, "empty": {}, "verified": True,
         "source": None, "shape": [1, 2000], "bits_per_voxel": 4.56789}
    )  # fmt: skip
    lines = [line.split("  ") for line in capsys.readouterr().out.splitlines()]
    assert [[word.strip() for word in line if word.strip()] for line in lines] == [
        ["raw bytes", "20,000"], ["seconds"], ["read", "0.25"], ["total", "1.5"],
        ["verified", "yes"], ["source", "none"], ["shape (z,y,x)", "1, 2,000"],
        ["bits per voxel, everything counted", "4.56789"],
    ]  # fmt: skip


def test_a_table(capsys):
    print_table("Rates", ["codec", "MB/s"], [["PNG", "10.5"], ["JPEG-LS", "9.0"]])
    assert capsys.readouterr().out == ("Rates\ncodec    MB/s\nPNG      10.5\nJPEG-LS   9.0\n\n")


def test_progress_in_a_log(capsys):
    now = [0.0]
    lines = ProgressLines(lambda: now[0])
    for step in range(401):
        now[0] = 2.0 * step
        lines("train (4.5 bits per voxel)", step, 400)
    lines("train (4.5 bits per voxel)", 400, 400)
    lines("encode", 1, 2)
    err = capsys.readouterr().err.splitlines()
    assert err[0] == "train (4.5 bits per voxel): 0 of 400, 0 s"
    assert err[1] == "train (4.5 bits per voxel): 5 of 400, 10 s, 0.5 per second, about 13 min left"
    last = "train (4.5 bits per voxel): 400 of 400, 13 min, 0.5 per second"
    assert err[-2:] == [last, "encode: 1 of 2, 13 min"]
    gaps = [int(line.split(": ")[1].split()[0]) for line in err[:-2]]
    assert gaps[-1] - gaps[-2] > gaps[2] - gaps[1], "lines come less often as the job goes on"
    assert len(err) < 60


def test_progress_of_one_step(capsys):
    now = [0.0]
    lines = ProgressLines(lambda: now[0])
    lines("fit", 0, 1)
    now[0] = 54.0
    lines("fit", 1, 1)
    assert capsys.readouterr().err.splitlines() == ["fit: begun, 0 s", "fit: done, 54 s"]


def test_blocks_of_an_interrupted_run_do_not_count_as_speed(capsys):
    now = [0.0]
    lines = ProgressLines(lambda: now[0])
    for step in range(21):
        now[0] = float(step)
        lines("compress", 900 + step, 1000)
    err = capsys.readouterr().err.splitlines()
    assert err[1] == "compress: 910 of 1000, 10 s, 1 per second, about 90 s left"


def test_progress_of_a_long_job_goes_on(capsys):
    now = [0.0]
    lines = ProgressLines(lambda: now[0])
    for minute in range(40 * 60):
        now[0] = 60.0 * minute
        lines("encode", minute, 40 * 60)
    err = capsys.readouterr().err.splitlines()
    assert 40 * 12 <= len(err) <= 40 * 12 + 60, "at least every five minutes"
    assert "h, 0.0167 per second, about" in err[-1]


def test_a_log_that_cannot_be_written_does_not_stop_the_work(monkeypatch):
    tried = []

    class Full(io.StringIO):
        def write(self, text):
            tried.append(text)
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys, "stderr", Full())
    ProgressLines()("encode", 1, 2)
    assert tried


def shell(line: str, **environment: str) -> subprocess.CompletedProcess:
    names = {"PROGRAM": f"{sys.executable} {ROOT / 'run.py'}", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        ["bash", "-c", line], env={**os.environ, **names, **environment},
        capture_output=True, text=True,
    )  # fmt: skip


BUFFERING = pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])


@BUFFERING
def test_a_reader_that_goes_away_is_no_error(unbuffered):
    # The pipe is closed before the program starts to print.
    line = "{ sleep 0.1; $PROGRAM --help; echo $? >&2; } | true"
    done = shell(line, PYTHONUNBUFFERED=unbuffered)
    assert done.stderr == "1\n"


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is a device of Linux")
@BUFFERING
def test_a_full_stdout_is_one_line(unbuffered):
    done = shell("$PROGRAM --help > /dev/full", PYTHONUNBUFFERED=unbuffered)
    assert done.returncode == 1
    assert done.stderr == "jaxslice: Cannot write to stdout: No space left on device.\n"


def test_closed_streams(small_archive):
    done = shell(f"$PROGRAM info {small_archive} >&- 2>&- <&-")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_names_that_the_terminal_cannot_show(archive_copy):
    renamed = archive_copy.rename(archive_copy.with_name("\N{GREEK SMALL LETTER MU}.zarr"))
    done = shell(f"$PROGRAM info {renamed}", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert done.returncode == 0, done.stderr
    assert "\\u03bc.zarr" in done.stdout
