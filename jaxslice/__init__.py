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
    from jaxslice.block import Model, decode_block, encode_block
    from jaxslice.box import Box
    from jaxslice.describe import info
    from jaxslice.errors import (
        ChecksumError,
        DeviceError,
        FormatError,
        MissingExtraError,
        SourceDataError,
        UsageError,
        VersionError,
    )
    from jaxslice.lazy import open_volume as open
    from jaxslice.options import CompressOptions, Report
    from jaxslice.pipeline import compress, decompress, verify

_HOME = {
    "Box": "box",
    "ChecksumError": "errors",
    "CompressOptions": "options",
    "DeviceError": "errors",
    "FormatError": "errors",
    "MissingExtraError": "errors",
    "Model": "block",
    "Report": "options",
    "SourceDataError": "errors",
    "UsageError": "errors",
    "VersionError": "errors",
    "compress": "pipeline",
    "decode_block": "block",
    "decompress": "pipeline",
    "encode_block": "block",
    "info": "describe",
    "open": "lazy",
    "verify": "pipeline",
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
