"""Lossless compression of 3-D electron microscopy by small networks and rANS coding.

    >>> import jaxslice
    >>> report = jaxslice.compress("volume.npy", "volume.zarr")
    >>> voxels = jaxslice.open("volume.zarr")[10:12, :, 40]

Names are loaded when they are first used, so that `import jaxslice` costs nothing and JAX is
started only by what needs it.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxslice.archive.lazy_volume import open_volume as open
    from jaxslice.archive.report import Report, info
    from jaxslice.codec.block import decode_blocks, encode_blocks
    from jaxslice.codec.network import Model
    from jaxslice.core.box import Box
    from jaxslice.core.errors import (
        ChecksumError,
        DeviceError,
        FormatError,
        MissingExtraError,
        SourceDataError,
        StorageError,
        UsageError,
        VersionError,
    )
    from jaxslice.jobs.complete import seal
    from jaxslice.jobs.compress import compress
    from jaxslice.jobs.compress_shard import compress_shard, plan_archive
    from jaxslice.jobs.costs import Foresight
    from jaxslice.jobs.decompress import decompress
    from jaxslice.jobs.diff import diff
    from jaxslice.jobs.extend import extend
    from jaxslice.jobs.forecast import forecast
    from jaxslice.jobs.job_shard import JobShard
    from jaxslice.jobs.options import CompressOptions
    from jaxslice.jobs.repair import repair
    from jaxslice.jobs.scrub import scrub
    from jaxslice.jobs.status import status
    from jaxslice.jobs.train_model import train
    from jaxslice.jobs.verify import verify
    from jaxslice.jobs.zarr_serializer import zarr_serializer
    from jaxslice.models.model_file import load as load_model
    from jaxslice.storage.store_options import StoreOptions, set_store_options
    from jaxslice.volumes.inspect import inspect
    from jaxslice.volumes.interface import Source
    from jaxslice.volumes.options import RawHeader, SourceOptions
    from jaxslice.volumes.source import open_source

_MODULE = {
    "Box": "core.box",
    "ChecksumError": "core.errors",
    "CompressOptions": "jobs.options",
    "DeviceError": "core.errors",
    "Foresight": "jobs.costs",
    "FormatError": "core.errors",
    "JobShard": "jobs.job_shard",
    "MissingExtraError": "core.errors",
    "Model": "codec.network",
    "RawHeader": "volumes.options",
    "Report": "archive.report",
    "Source": "volumes.interface",
    "SourceDataError": "core.errors",
    "SourceOptions": "volumes.options",
    "StorageError": "core.errors",
    "StoreOptions": "storage.store_options",
    "UsageError": "core.errors",
    "VersionError": "core.errors",
    "compress": "jobs.compress",
    "compress_shard": "jobs.compress_shard",
    "decode_blocks": "codec.block",
    "decompress": "jobs.decompress",
    "diff": "jobs.diff",
    "encode_blocks": "codec.block",
    "extend": "jobs.extend",
    "forecast": "jobs.forecast",
    "info": "archive.report",
    "inspect": "volumes.inspect",
    "load_model": "models.model_file",
    "open": "archive.lazy_volume",
    "open_source": "volumes.source",
    "plan_archive": "jobs.compress_shard",
    "repair": "jobs.repair",
    "scrub": "jobs.scrub",
    "seal": "jobs.complete",
    "set_store_options": "storage.store_options",
    "status": "jobs.status",
    "train": "jobs.train_model",
    "verify": "jobs.verify",
    "zarr_serializer": "jobs.zarr_serializer",
}
_NAME_THERE = {"load_model": "load", "open": "open_volume"}

__all__ = [
    "Box",
    "ChecksumError",
    "CompressOptions",
    "DeviceError",
    "Foresight",
    "FormatError",
    "JobShard",
    "MissingExtraError",
    "Model",
    "RawHeader",
    "Report",
    "Source",
    "SourceDataError",
    "SourceOptions",
    "StorageError",
    "StoreOptions",
    "UsageError",
    "VersionError",
    "compress",
    "compress_shard",
    "decode_blocks",
    "decompress",
    "diff",
    "encode_blocks",
    "extend",
    "forecast",
    "info",
    "inspect",
    "load_model",
    "open",
    "open_source",
    "plan_archive",
    "repair",
    "scrub",
    "seal",
    "set_store_options",
    "status",
    "train",
    "verify",
    "zarr_serializer",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module 'jaxslice' has no attribute {name!r}")
    module = importlib.import_module(f"jaxslice.{_MODULE[name]}")
    return getattr(module, _NAME_THERE.get(name, name))


def __dir__() -> list[str]:
    return __all__
