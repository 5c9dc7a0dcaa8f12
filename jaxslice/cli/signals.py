"""Signals that stop the program as Ctrl-C does, so that it removes what is half done."""

from __future__ import annotations

import _thread
import math
import signal
import sys
import threading
import time
from types import FrameType

from jaxslice.storage.store_options import interrupt_waits

_TOGETHER_SECONDS = 5.0
"""Signals within this time of the first belong to it."""

_RETRY_SECONDS = 0.1


class Interrupter:
    """Turns SIGTERM and SIGHUP into one `KeyboardInterrupt`, which is not lost.

    Batch systems stop a job with SIGTERM, and a terminal that goes away sends SIGHUP; often one
    follows the other and would cut the cleaning short. Signals that are ignored, as `nohup`
    arranges, stay ignored.
    """

    def __init__(self) -> None:
        """Takes over the signals of this process. Call it in the main thread."""
        self._last = -math.inf
        self._previous_hook = sys.unraisablehook
        numbers = [signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", None)]
        self._numbers = [
            number
            for number in numbers
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN
        ]
        for number in self._numbers:
            signal.signal(number, self._interrupt)
        sys.unraisablehook = self._raise_again

    def _interrupt(self, number: int, _frame: FrameType | None) -> None:
        soon = time.monotonic() - self._last < _TOGETHER_SECONDS
        if number != signal.SIGINT and soon:
            return
        self._last = time.monotonic()
        interrupt_waits()
        raise KeyboardInterrupt

    def _raise_again(self, unraisable: sys.UnraisableHookArgs) -> None:
        """Python drops exceptions in callbacks of the garbage collector, of which JAX has one."""
        if not issubclass(unraisable.exc_type, KeyboardInterrupt) or not self._numbers:
            self._previous_hook(unraisable)
            return
        self._last = -math.inf
        again = threading.Timer(_RETRY_SECONDS, _signal_main_thread, [self._numbers[0]])
        again.daemon = True
        again.start()


def _signal_main_thread(number: signal.Signals) -> None:
    # A real signal also ends a wait for a lock, where the system has one.
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, number)
    else:
        _thread.interrupt_main(number)
