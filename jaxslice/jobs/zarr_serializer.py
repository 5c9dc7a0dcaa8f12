"""The codec for arrays that zarr writes itself."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

from jaxslice.archive.configuration import CodecConfiguration
from jaxslice.codec import network_bytes
from jaxslice.codec.place import IDENTITY_BYTES
from jaxslice.models import model_file

if TYPE_CHECKING:
    from jaxslice.archive.zarr_codec import JaxsliceCodec


def zarr_serializer(model: str | os.PathLike[str] = "default") -> JaxsliceCodec:
    """The codec for `zarr.create_array(..., serializer=..., compressors=None)`.

    Such an array is compressed with a model as it is; `compress` fits one to the volume first, and
    takes fewer bytes.

    Args:
      model: default, medium, large or a file that `train` wrote.

    Returns:
      A codec of zarr; the array's chunks become the blocks.

    Raises:
      UsageError: there is no such model.

    >>> import jaxslice, numpy, zarr
    >>> array = zarr.create_array(
    ...     "own.zarr", shape=(4, 32, 48), chunks=(4, 32, 48), dtype="uint8",
    ...     serializer=jaxslice.zarr_serializer(), compressors=None, overwrite=True)
    >>> array[...] = numpy.load("volume.npy")
    >>> int(zarr.open("own.zarr", mode="r")[1, 2, 3])
    99
    """
    from jaxslice.archive.zarr_codec import JaxsliceCodec

    found = model_file.load(os.fspath(model))
    architecture = found.architecture
    packed, _ = network_bytes.pack_coded(found.network, architecture)
    # Blocks of another array do not pass for blocks of this one.
    identity = secrets.token_bytes(IDENTITY_BYTES)
    return JaxsliceCodec(CodecConfiguration(architecture, packed, identity=identity))
