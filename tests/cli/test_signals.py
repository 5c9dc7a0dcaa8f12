"""SIGTERM, SIGHUP and Ctrl-C: the work is cleaned up, and the message says what is left."""

import contextlib
import gc
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from jaxslice.cli import compress, signals, train, verify
from jaxslice.cli.signals import Interrupter

ROOT = Path(__file__).parents[2]


@pytest.fixture
def handlers():
    """Puts the handlers of signals back."""
    hook = sys.unraisablehook
    numbers = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    sys.unraisablehook = hook
    for number, handler in before.items():
        signal.signal(number, handler)


def send_when(number: int, part: str):
    """A display of progress that sends a signal to this process as a part of the work begins."""
    sent = []

    @contextlib.contextmanager
    def display():
        def show(name, _done, _total):
            if name.startswith(part) and not sent:
                sent.append(number)
                os.kill(os.getpid(), number)

        yield show

    return display


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_what_is_finished_of_a_local_archive_is_kept(
    jaxslice, monkeypatch, small_volume, tmp_path, number
):
    Interrupter()
    monkeypatch.setattr(compress, "progress_display", send_when(number, "compress"))
    code, out, err = jaxslice(
        "compress", small_volume.path, tmp_path / "a.zarr", "--effort=0", "--block_shape=4,16,32"
    )
    assert (code, out) == (1, "")
    assert err == (
        f"jaxslice: Interrupted. What is finished is kept in '{tmp_path / '.a.zarr.partial'}': the "
        "same command goes on from there.\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == [".a.zarr.partial"]


@pytest.mark.usefixtures("handlers")
def test_a_second_signal_does_not_cut_the_cleaning_short(jaxslice, monkeypatch):
    cleaned = []

    def interrupted(*_, **__):
        try:
            os.kill(os.getpid(), signal.SIGHUP)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGHUP)
            cleaned.append(True)

    Interrupter()
    monkeypatch.setattr("jaxslice.info", interrupted, raising=False)
    code, _, err = jaxslice("info", "a.zarr")
    assert (code, err, cleaned) == (1, "jaxslice: Interrupted. Nothing was written.\n", [True])


@pytest.mark.usefixtures("handlers")
def test_a_later_signal_interrupts_the_cleaning(monkeypatch):
    monkeypatch.setattr(signals, "_TOGETHER_SECONDS", 0.0)
    Interrupter()
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupt_in_the_garbage_collector_is_not_lost(number):
    def callback(*_):
        gc.callbacks.remove(callback)
        signal.raise_signal(number)

    def work():
        gc.collect()
        return threading.Event().wait(60)

    Interrupter()
    gc.callbacks.append(callback)
    with pytest.raises(KeyboardInterrupt):
        work()


@pytest.mark.usefixtures("handlers")
def test_other_unraisable_errors_are_shown_as_before(monkeypatch):
    shown = []
    monkeypatch.setattr(sys, "unraisablehook", shown.append)

    def callback(*_):
        gc.callbacks.remove(callback)
        raise ValueError

    Interrupter()
    gc.callbacks.append(callback)
    gc.collect()
    assert [unraisable.exc_type for unraisable in shown] == [ValueError]


def test_the_program_stops_by_a_signal(small_volume, tmp_path):
    program = (
        "import contextlib, os, signal\n"
        "from jaxslice.cli import compress, main\n"
        "@contextlib.contextmanager\n"
        "def display():\n"
        "    yield lambda *_: os.kill(os.getpid(), signal.SIGHUP)\n"
        "compress.progress_display = display\n"
        f"main.main(['jaxslice', 'compress', {small_volume.path!r}, 'a.zarr', '--effort=0',"
        " '--block_shape=4,16,32'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(tmp_path / "cache")},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    kept = "What is finished is kept in", "Nothing new was kept at"
    assert done.stderr.startswith(tuple(f"jaxslice: Interrupted. {words} '" for words in kept))
    assert {path.name for path in tmp_path.iterdir()} <= {"cache", ".a.zarr.partial"}


@pytest.mark.usefixtures("handlers")
def test_an_ignored_signal_stays_ignored():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    Interrupter()
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGTERM) not in (signal.SIG_IGN, signal.SIG_DFL)


@pytest.mark.parametrize(
    ("module", "arguments", "words", "left"),
    [
        (compress, ["v", "a.zarr"], [], "Nothing new was kept at 'a.zarr'."),
        (compress, ["v", "file:///a.zarr"], [], "Nothing new was kept at 'file:///a.zarr'."),
        (compress, ["v", "s3://b/a"], [], "may remain in 's3://b/a': the same command goes on"),
        (compress, ["v", "gs://b/a"], [], "may remain in 'gs://b/a': the same command goes on"),
        (verify, ["a.zarr"], [], "Nothing was written."),
        (train, ["v"], ["--output=m"], "No model was written."),
        (train, ["v"], ["--output=m", "--checkpoint_dir=s"], "goes on from the states in 's'."),
    ],
)
def test_the_message_says_what_is_left(module, arguments, words, left):
    values = module.COMMAND.flags()
    values([module.COMMAND.name, *words])
    assert left in module.COMMAND.after_interrupt(values, *arguments)
