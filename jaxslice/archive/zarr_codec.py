"""The Zarr v3 codec `jaxslice`: arrays of jaxslice blocks that any zarr program can read.

Registered under the `zarr.codecs` entry point, so that zarr finds it by name in metadata without
anybody importing jaxslice. JAX itself is loaded when the first block is decoded.
"""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from zarr.abc.codec import ArrayBytesCodec
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import Buffer, NDBuffer
from zarr.dtype import UInt8

from jaxslice.archive.metadata import CODEC_NAME, CodecConfiguration
from jaxslice.archive.model import model_of
from jaxslice.core.errors import UsageError

if TYPE_CHECKING:
    pass


@dataclasses.dataclass(frozen=True)
class JaxsliceCodec(ArrayBytesCodec):
    """Blocks as chunks of a uint8 array [z, y, x].

    Attributes:
      configuration: as in FORMAT.md, section 1.
    """

    configuration: CodecConfiguration
    is_fixed_size = False

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The codec that array metadata describe.

        Raises:
          FormatError: the configuration is damaged, or of a later version (VersionError).
        """
        return cls(CodecConfiguration.from_json(data.get("configuration")))

    def to_dict(self) -> dict[str, Any]:
        """Metadata that `from_dict` reads."""
        return {"name": CODEC_NAME, "configuration": self.configuration.to_json()}

    def validate(self, *, shape: tuple[int, ...], dtype: Any, chunk_grid: Any) -> None:
        """Refuses arrays other than uint8 with three axes (UsageError)."""
        if not isinstance(dtype, UInt8) or len(shape) != 3:
            raise UsageError(
                f"Got an array of {dtype} and shape {shape}, expected uint8 [z, y, x]: other data "
                "are not supported by the codec 'jaxslice'."
            )

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        block = await asyncio.to_thread(self._decode, chunk_data.to_bytes(), chunk_spec.shape)
        return chunk_spec.prototype.nd_buffer.from_numpy_array(block)

    async def _encode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer | None:
        block = np.ascontiguousarray(chunk_data.as_numpy_array())
        payload = await asyncio.to_thread(self._encode, block)
        return chunk_spec.prototype.buffer.from_bytes(payload)

    def _decode(self, payload: bytes, shape: tuple[int, ...]) -> np.ndarray:
        from jaxslice.codec.block import decode_block

        depth, height, width = shape
        configuration = self.configuration
        return decode_block(
            payload,
            (depth, height, width),
            model_of(configuration),
            own_networks=configuration.own_networks,
        )

    def _encode(self, block: np.ndarray) -> bytes:
        from jaxslice.codec.block import encode_block

        return encode_block(block, model_of(self.configuration))

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """Not known before encoding."""
        raise NotImplementedError("The size of a jaxslice block is known only once it is encoded.")
