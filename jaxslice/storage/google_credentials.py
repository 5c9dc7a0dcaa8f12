"""Google's credentials: where there are none, public buckets are read without a word about it.

TensorStore looks for credentials once in a process, with its first request to Google Cloud Storage,
and writes a line to stderr where it finds none. There is no setting against that, so the first
request is made here, to nobody, while stderr is kept aside.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import threading
from collections.abc import Iterator

_COMPLAINT = b"Could not find the credentials file"
_NOBODY = "http://127.0.0.1:9"
_ADDRESS = "TENSORSTORE_GCS_HTTP_URL"

_lock = threading.Lock()
_looked = False


def look_for_google_credentials() -> None:
    """Lets TensorStore look for Google's credentials, once in this process."""
    global _looked
    with _lock:
        if _looked:
            return
        _looked = True
        with _stderr_without(_COMPLAINT), _environment(_ADDRESS, _NOBODY):
            _ask_nobody()


def _ask_nobody() -> None:
    import tensorstore as ts

    spec = {"driver": "gcs", "bucket": "nobody"}
    context = ts.Context({"gcs_request_retries": {"max_retries": 0}})
    with contextlib.suppress(ValueError):
        ts.KvStore.open(spec, context=context).result().read("nothing").result()


@contextlib.contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


@contextlib.contextmanager
def _stderr_without(part: bytes) -> Iterator[None]:
    """Holds back what libraries write to stderr meanwhile, and drops the lines with `part`."""
    with contextlib.suppress(OSError, ValueError):  # no stderr, or none that is a file
        sys.stderr.flush()
    try:
        real = os.dup(2)
    except OSError:
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(real, 2)
            os.close(real)
            held.seek(0)
            for line in held:
                if part not in line:
                    os.write(2, line)
