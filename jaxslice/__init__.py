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
    from jaxslice.codec.block import decode_block, encode_block
    from jaxslice.codec.network import Model
    from jaxslice.core.box import Box
    from jaxslice.core.errors import (
        ChecksumError,
        DeviceError,
        FormatError,
        MissingExtraError,
        SourceDataError,
        UsageError,
        VersionError,
    )
    from jaxslice.jobs.compress import compress
    from jaxslice.jobs.decompress import decompress
    from jaxslice.jobs.options import CompressOptions
    from jaxslice.jobs.verify import verify

_HOME = {
    "Box": "core.box",
    "ChecksumError": "core.errors",
    "CompressOptions": "jobs.options",
    "DeviceError": "core.errors",
    "FormatError": "core.errors",
    "MissingExtraError": "core.errors",
    "Model": "codec.network",
    "Report": "archive.report",
    "SourceDataError": "core.errors",
    "UsageError": "core.errors",
    "VersionError": "core.errors",
    "compress": "jobs.compress",
    "decode_block": "codec.block",
    "decompress": "jobs.decompress",
    "encode_block": "codec.block",
    "info": "archive.report",
    "open": "archive.lazy_volume",
    "verify": "jobs.verify",
}
_NAME_AT_HOME = {"open": "open_volume"}

__all__ = [
    "Box",
    "ChecksumError",
    "CompressOptions",
    "DeviceError",
    "FormatError",
    "MissingExtraError",
    "Model",
    "Report",
    "SourceDataError",
    "UsageError",
    "VersionError",
    "compress",
    "decode_block",
    "decompress",
    "encode_block",
    "info",
    "open",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'jaxslice' has no attribute {name!r}")
    module = importlib.import_module(f"jaxslice.{_HOME[name]}")
    return getattr(module, _NAME_AT_HOME.get(name, name))


def __dir__() -> list[str]:
    return __all__
