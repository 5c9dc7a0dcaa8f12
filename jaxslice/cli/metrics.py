"""Progress as a file of metrics in Prometheus' text format, for node_exporter to collect.

A file suits batch jobs: it needs no port, it is there when the job has ended, and a scrape between
two jobs finds the end of the last one.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from absl import flags

from jaxslice.cli import places
from jaxslice.cli.flag_types import define_text
from jaxslice.cli.shared_flags import OUTPUT
from jaxslice.core.errors import MissingExtraError, UsageError
from jaxslice.core.machine import peak_so_far_bytes
from jaxslice.core.progress import Progress
from jaxslice.storage.traffic import traffic

WRITE_SECONDS = 10.0
"""Least time between two writes of the file."""


def define_flags(values: flags.FlagValues) -> None:
    """The flag of the file."""
    define_text(
        values, "metrics_file", None,
        "Local file, by convention of the ending .prom, that shows the progress in Prometheus' "
        "text format while the job runs. Default: none.", OUTPUT,
    )  # fmt: skip


@contextlib.contextmanager
def exported(values: flags.FlagValues, command: str, progress: Progress) -> Iterator[Progress]:
    """Keeps the file of `--metrics_file` up to date while the `with` block lasts.

    Args:
      values: the flags.
      command: that runs.
      progress: to pass on to.

    Raises:
      MissingExtraError: the library is not installed.
      UsageError: the file cannot be written.
    """
    if values.metrics_file is None:
        yield progress
        return
    metrics = Metrics(values.metrics_file, command, progress)
    try:
        yield metrics
    except BaseException:
        metrics.end(succeeded=False)
        raise
    metrics.end(succeeded=True)


class Metrics:
    """A `Progress` that passes on what it is told, and writes it to a file now and then."""

    def __init__(
        self,
        path: str,
        command: str,
        progress: Progress,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Writes the file for the first time.

        Args:
          path: of the file.
          command: that runs.
          progress: to pass on to.
          clock: seconds since 1970.
        """
        places.check_local("metrics_file", path)
        self._path, self._progress, self._clock = path, progress, clock
        self._lock, self._last = threading.Lock(), clock()
        self._begin(command)
        try:
            self._write()
        except OSError as error:
            raise UsageError(f"Cannot write the metrics {path!r}: {error.strerror}.") from error

    def _begin(self, command: str) -> None:
        try:
            import prometheus_client as prometheus
        except ImportError:
            raise MissingExtraError(
                "--metrics_file needs prometheus_client: pip install 'jaxslice[metrics]'."
            ) from None
        self._registry = registry = prometheus.CollectorRegistry()

        def gauge(name: str, text: str, *labels: str) -> Any:
            return prometheus.Gauge(
                f"jaxslice_{name}", text, ("command", *labels), registry=registry
            )

        self._command = command
        self._done = gauge("done", "Steps or blocks done of a part of the work.", "part")
        self._total = gauge("total", "Steps or blocks of a part of the work.", "part")
        self._begun = gauge("begun_timestamp_seconds", "When the job began.")
        self._updated = gauge("updated_timestamp_seconds", "When this file was written.")
        self._peak = gauge("peak_memory_bytes", "Most resident memory so far.")
        self._read = gauge("source_read_bytes", "Bytes read from sources, as they are stored.")
        self._written = gauge("written_bytes", "Bytes written to stores.")
        self._state = gauge("state", "0 running, 1 succeeded, -1 failed or interrupted.")
        self._before = traffic()
        self._begun.labels(command).set(self._clock())
        self._state.labels(command).set(0)

    def __call__(self, part: str, done: int, total: int) -> None:
        """Takes the part of the work, how much of it is done, and how much there is."""
        self._progress(part, done, total)
        name = part.split(" ")[0]
        with self._lock:
            self._done.labels(self._command, name).set(done)
            self._total.labels(self._command, name).set(total)
            if self._clock() - self._last >= WRITE_SECONDS:
                self._write_or_go_on()

    def end(self, *, succeeded: bool) -> None:
        """Writes the file for the last time."""
        with self._lock:
            self._state.labels(self._command).set(1 if succeeded else -1)
            self._write_or_go_on()

    def _write_or_go_on(self) -> None:
        # Metrics that cannot be written are no reason to give up the work.
        with contextlib.suppress(OSError):
            self._write()

    def _write(self) -> None:
        import prometheus_client as prometheus

        self._last = self._clock()
        self._updated.labels(self._command).set(self._last)
        self._peak.labels(self._command).set(peak_so_far_bytes())
        moved = traffic() - self._before
        self._read.labels(self._command).set(moved.read_bytes)
        self._written.labels(self._command).set(moved.written_bytes)
        # The library writes another file and renames it.
        prometheus.write_to_textfile(self._path, self._registry)
