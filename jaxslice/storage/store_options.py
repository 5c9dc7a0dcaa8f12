"""How remote stores are reached: settings of the process, which all requests follow."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jaxslice.core.errors import UsageError
from jaxslice.storage.google_credentials import look_for_google_credentials

_STEP_SECONDS = 0.2
"""How often a wait looks for an interruption."""

_CLEANING_SECONDS = 2.0
"""Time limit of a request after an interruption, when what is half done is removed."""

_MOST_SECONDS = 86_400.0


@dataclasses.dataclass(frozen=True)
class StoreOptions:
    """How remote stores are reached.

    Attributes:
      endpoint: URL of an S3 service other than Amazon's; None for `AWS_ENDPOINT_URL`, or Amazon.
      region: of S3; None for `AWS_REGION`, or what the service says.
      anonymous: whether S3 requests are sent without credentials, as public buckets allow.
      requester_pays: whether the requester pays for requests: S3's header, or for Google Cloud
        Storage the project of `GOOGLE_CLOUD_PROJECT`.
      timeout_seconds: for one read or write, its retries included; above 0.
      retries: after a failed request, with growing pauses of random length; at least 0.
    """

    endpoint: str | None = None
    region: str | None = None
    anonymous: bool = False
    requester_pays: bool = False
    timeout_seconds: float = 300.0
    retries: int = 6

    def __post_init__(self):
        """Refuses values that cannot be (UsageError)."""
        if self.endpoint is not None and not self.endpoint.startswith(("http://", "https://")):
            raise UsageError(
                f"Got the endpoint {self.endpoint!r}, expected http://HOST or https://HOST."
            )
        if not 0 < self.timeout_seconds <= _MOST_SECONDS:
            raise UsageError(
                f"Got a time limit of {self.timeout_seconds:g} seconds, expected one above 0 and"
                f" at most {_MOST_SECONDS:g}."
            )
        if self.retries < 0:
            raise UsageError(f"Got {self.retries} retries, expected 0 or more.")

    def reaching(self, spec: dict[str, Any]) -> dict[str, Any]:
        """TensorStore's description of a store, and how it is reached.

        A container of another store, such as a ZIP file, is described by its base.

        Raises:
          UsageError: the requester is to pay, and nothing says which project.
        """
        if isinstance(spec.get("base"), dict):
            return {**spec, "base": self.reaching(spec["base"])}
        if spec["driver"] == "s3":
            return spec | self._of_s3()
        if spec["driver"] == "gcs":
            look_for_google_credentials()
            return spec | self._of_gcs()
        return spec

    def _of_gcs(self) -> dict[str, Any]:
        if not self.requester_pays:
            return {}
        project = os.environ.get("GOOGLE_CLOUD_PROJECT")
        if not project:
            raise UsageError(
                "Got a gs:// place whose requester pays, expected the project that pays in"
                " GOOGLE_CLOUD_PROJECT."
            )
        return {"gcs_user_project": {"project_id": project}}

    def _of_s3(self) -> dict[str, Any]:
        # A URL cannot say where an S3 service other than Amazon's is, and TensorStore does not
        # read the variables that other programs read.
        variables = os.environ
        endpoint = (
            self.endpoint
            or variables.get("AWS_ENDPOINT_URL_S3")
            or variables.get("AWS_ENDPOINT_URL")
        )
        region = self.region or variables.get("AWS_REGION") or variables.get("AWS_DEFAULT_REGION")
        found: dict[str, Any] = {}
        if endpoint:
            found["endpoint"] = endpoint.rstrip("/")
        if region and (endpoint or self.region):
            found["aws_region"] = region
        credentials = "anonymous" if self.anonymous else credentials_of_s3(variables)
        if credentials is not None:
            found["aws_credentials"] = {"type": credentials}
        if self.requester_pays:
            found["requester_pays"] = True
        return found

    def stalled_seconds(self) -> int:
        """After how long without a byte a connection counts as dead, and the request is retried."""
        return max(1, int(self.timeout_seconds / (self.retries + 2)))


def credentials_of_s3(variables: Mapping[str, str], root: str = "/") -> str | None:
    """Where credentials come from, in TensorStore's word; None for Amazon's usual chain.

    The chain writes a page of complaints to stderr where it finds nothing. So it is asked only
    where there is something to find, and requests are anonymous where there is nothing, as on
    Google Cloud Storage.

    Args:
      variables: of the process.
      root: of the file system, for tests.
    """
    if variables.get("AWS_ACCESS_KEY_ID"):
        return "environment"
    home = Path(root, variables.get("HOME", "").lstrip("/"), ".aws")
    files = [variables.get(f"AWS_{name}_FILE") for name in ("SHARED_CREDENTIALS", "CONFIG")]
    given = [home / "credentials", home / "config", *map(Path, filter(None, files))]
    if variables.get("AWS_WEB_IDENTITY_TOKEN_FILE") or any(path.is_file() for path in given):
        return None
    if any(variables.get(f"AWS_CONTAINER_CREDENTIALS_{kind}_URI") for kind in ("RELATIVE", "FULL")):
        return "ecs"
    on_amazon = [
        Path(root, "sys/class/dmi/id/sys_vendor"),
        Path(root, "sys/hypervisor/uuid"),
    ]
    for path in on_amazon:
        with contextlib.suppress(OSError):
            if path.read_text().strip().lower().startswith(("amazon ec2", "ec2")):
                return "imds"
    return "anonymous"


_options = StoreOptions()
_interrupted = threading.Event()


def set_store_options(options: StoreOptions) -> None:
    """Sets how this process reaches remote stores, from the next place that is opened on.

    Args:
      options: of all stores.

    >>> import jaxslice
    >>> jaxslice.set_store_options(jaxslice.StoreOptions(anonymous=True, timeout_seconds=60))
    >>> jaxslice.set_store_options(jaxslice.StoreOptions())
    """
    global _options
    _options = options


def store_options() -> StoreOptions:
    """How this process reaches remote stores."""
    return _options


@contextlib.contextmanager
def options_for_now(options: StoreOptions) -> Iterator[None]:
    """Sets the options for the time of a `with` block."""
    before = store_options()
    set_store_options(options)
    try:
        yield
    finally:
        set_store_options(before)


def interrupt_waits() -> None:
    """Ends the waits of all threads: the program was told to stop.

    Later requests, which remove what is half done, get little time.
    """
    _interrupted.set()


def waited(future: Any, seconds: float | None = None) -> Any:
    """The result of a TensorStore future.

    Args:
      future: of a read or a write.
      seconds: most time to wait, below the time limit of the options; the limit if None.

    Raises:
      TimeoutError: it took too long, or the program was told to stop.
      ValueError: TensorStore's own errors.
    """
    limit = min(seconds or _MOST_SECONDS, store_options().timeout_seconds)
    begun_late = _interrupted.is_set()
    if begun_late:
        limit = min(limit, _CLEANING_SECONDS)
    stop = time.monotonic() + limit
    while True:
        rest = stop - time.monotonic()
        try:
            return future.result(max(0.0, min(rest, _STEP_SECONDS)))
        except TimeoutError:
            if _interrupted.is_set() and not begun_late:
                raise TimeoutError("the program was told to stop") from None
            if rest <= _STEP_SECONDS:
                raise TimeoutError(f"no answer within {limit:g} seconds") from None
