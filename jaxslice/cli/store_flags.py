"""Flags of how remote stores are reached, which every command has that opens places."""

from __future__ import annotations

from absl import flags

from jaxslice.cli.flag_types import define_text
from jaxslice.storage.store_options import StoreOptions

STORES = "How to reach stores"
DEFAULTS = StoreOptions()


def define(values: flags.FlagValues) -> None:
    """The flags of `store_options`."""
    define_text(
        values, "store_endpoint", DEFAULTS.endpoint,
        "URL of an S3 service. Default: what AWS_ENDPOINT_URL says, or Amazon's.", STORES,
    )  # fmt: skip
    define_text(
        values, "store_region", DEFAULTS.region,
        "Region of S3. Default: what AWS_REGION or the service says.", STORES,
    )  # fmt: skip
    flags.DEFINE_boolean(
        "store_anonymous", DEFAULTS.anonymous,
        "Send S3 requests without credentials, as public buckets allow.", values,
        module_name=STORES,
    )  # fmt: skip
    flags.DEFINE_boolean(
        "store_requester_pays", DEFAULTS.requester_pays,
        "Pay for the requests: on S3, or on Google Cloud Storage with the project of "
        "GOOGLE_CLOUD_PROJECT.", values, module_name=STORES,
    )  # fmt: skip
    flags.DEFINE_float(
        "io_timeout", DEFAULTS.timeout_seconds,
        "Most seconds for one read or write, its retries included.", 0.1, 86_400.0, values,
        module_name=STORES,
    )  # fmt: skip
    flags.DEFINE_integer(
        "io_retries", DEFAULTS.retries,
        "Tries after a failed request, with growing pauses of random length.", 0, 100, values,
        module_name=STORES,
    )  # fmt: skip


def store_options(values: flags.FlagValues) -> StoreOptions:
    """How stores are reached, from the flags of `define`.

    Raises:
      UsageError: a value that cannot be.
    """
    return StoreOptions(
        endpoint=values.store_endpoint,
        region=values.store_region,
        anonymous=values.store_anonymous,
        requester_pays=values.store_requester_pays,
        timeout_seconds=values.io_timeout,
        retries=values.io_retries,
    )
