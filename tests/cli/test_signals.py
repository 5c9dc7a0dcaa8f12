"""SIGTERM, SIGHUP and Ctrl-C: the work is cleaned up, and the message says what is left."""

import contextlib
import os
import signal

import pytest

from jaxslice.cli import compress, main, train, verify


@pytest.fixture
def handlers():
    """Gives the handlers of signals back as they were."""
    numbers = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
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
def test_nothing_is_left_of_a_local_archive(jaxslice, monkeypatch, small_volume, tmp_path, number):
    main._interrupt_on_signals()
    monkeypatch.setattr(compress, "progress_display", send_when(number, "compress"))
    code, out, err = jaxslice(
        "compress", small_volume.path, tmp_path / "a.zarr", "--effort=0", "--block_shape=4,16,32"
    )
    assert (code, out) == (1, "")
    assert err == f"jaxslice: Interrupted. Nothing new was kept at '{tmp_path / 'a.zarr'}'.\n"
    assert not list(tmp_path.iterdir())


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

    main._interrupt_on_signals()
    monkeypatch.setattr("jaxslice.info", interrupted, raising=False)
    code, _, err = jaxslice("info", "a.zarr")
    assert (code, err, cleaned) == (1, "jaxslice: Interrupted. Nothing was written.\n", [True])


@pytest.mark.usefixtures("handlers")
def test_an_ignored_signal_stays_ignored():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    main._interrupt_on_signals()
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGTERM) not in (signal.SIG_IGN, signal.SIG_DFL)


@pytest.mark.parametrize(
    ("module", "arguments", "words", "left"),
    [
        (compress, ["v", "a.zarr"], [], "Nothing new was kept at 'a.zarr'."),
        (compress, ["v", "file:///a.zarr"], [], "Nothing new was kept at 'file:///a.zarr'."),
        (compress, ["v", "s3://b/a"], [], "Objects that were already written to 's3://b/a' may"),
        (compress, ["v", "gs://b/a"], [], "Objects that were already written to 'gs://b/a' may"),
        (verify, ["a.zarr"], [], "Nothing was written."),
        (train, ["v"], ["--output=m"], "No model was written."),
        (train, ["v"], ["--output=m", "--checkpoint_dir=s"], "goes on from the states in 's'."),
    ],
)
def test_the_message_says_what_is_left(module, arguments, words, left):
    values = module.COMMAND.flags()
    values([module.COMMAND.name, *words])
    assert left in module.COMMAND.after_interrupt(values, *arguments)
