"""The Zarr v3 codec `jaxslice`: arrays of jaxslice blocks that any zarr program can read.

Registered under the `zarr.codecs` entry point, so that zarr finds it by name in metadata without
anybody importing jaxslice. JAX itself is loaded when the first block is decoded.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
from zarr.abc.buffer import Buffer, NDBuffer
from zarr.abc.codec import ArrayBytesCodec

from jaxslice.archive.configuration import CODEC_NAME, CodecConfiguration
from jaxslice.archive.decoder import blocks_together, decode_payloads, shared_pool
from jaxslice.archive.model import model_of
from jaxslice.codec.limits import check_volume
from jaxslice.codec.place import IDENTITY_BYTES
from jaxslice.core.errors import FormatError, UsageError
from jaxslice.core.voxel_types import check_voxel_type

A = TypeVar("A")
B = TypeVar("B")


@dataclasses.dataclass(frozen=True)
class JaxsliceCodec(ArrayBytesCodec):
    """Blocks as chunks of an array [z, y, x] of uint8 or uint16.

    Attributes:
      configuration: as in FORMAT.md, section 1.
    """

    configuration: CodecConfiguration
    is_fixed_size = False

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> JaxsliceCodec:
        """The codec that array metadata describe.

        Raises:
          FormatError: the configuration is damaged, or of a later version (VersionError).
        """
        return cls(CodecConfiguration.from_json(data.get("configuration")))

    def to_dict(self) -> dict[str, Any]:
        """Metadata that `from_dict` reads."""
        return {"name": CODEC_NAME, "configuration": self.configuration.to_json()}

    def for_new_array(self) -> JaxsliceCodec:
        """The codec with the same network for an array of its own, not sealed."""
        identity = os.urandom(IDENTITY_BYTES)
        configuration = dataclasses.replace(self.configuration, identity=identity, sealed=False)
        return JaxsliceCodec(configuration)

    def validate(self, *, shape: tuple[int, ...], dtype: Any, chunk_grid: Any) -> None:
        """Refuses arrays of another data type than the network's, or not of three axes.

        Raises:
          UsageError: another data type or number of axes.
          FormatError: shapes that no reader could hold.
        """
        native, expected = dtype.to_native_dtype(), self.configuration.architecture.dtype
        check_voxel_type(native, "an array")
        if native != expected or len(shape) != 3:
            raise UsageError(
                f"Got an array of {native} and shape {shape}, expected {expected} [z, y, x] as the "
                "codec's network."
            )
        chunk_shape = getattr(chunk_grid, "chunk_shape", None)
        if chunk_shape is not None and 0 not in shape:
            depth, height, width = shape
            check_volume((depth, height, width))
            self.configuration.check_blocks(chunk_shape)

    async def decode(
        self, chunks_and_specs: Iterable[tuple[Buffer | None, Any]]
    ) -> list[NDBuffer | None]:
        """Decodes the chunks of one batch; None stays None, but is damage in a sealed array.

        How many chunks zarr puts into a batch is its option `codec_pipeline.batch_size`.
        """
        batch = list(chunks_and_specs)
        present = [i for i, (chunk, _) in enumerate(batch) if chunk is not None]
        if self.configuration.sealed and len(present) < len(batch):
            raise FormatError(
                "Got no chunk, expected every chunk of a sealed array: lost, or black and dropped "
                "by zarr, which array.write_empty_chunks prevents."
            )
        step = blocks_together() if present else 1
        groups = [present[start : start + step] for start in range(0, len(present), step)]

        def decode_group(group: list[int]) -> list[np.ndarray]:
            payloads = [chunk.to_bytes() for i in group if (chunk := batch[i][0]) is not None]
            depth, height, width = batch[group[0]][1].shape
            # zarr does not tell which chunk it is, so that only the array is checked.
            places = [self.configuration.place_of(None)] * len(payloads)
            return decode_payloads(payloads, (depth, height, width), self.configuration, places)

        results: list[NDBuffer | None] = [None] * len(batch)
        for group, blocks in zip(groups, await _in_pool(decode_group, groups), strict=True):
            for i, block in zip(group, blocks, strict=True):
                results[i] = batch[i][1].prototype.nd_buffer.from_numpy_array(block)
        return results

    async def encode(
        self, chunks_and_specs: Iterable[tuple[NDBuffer | None, Any]]
    ) -> list[Buffer | None]:
        """Encodes the chunks of one batch; None stays None.

        Raises:
          UsageError: the array is sealed.
        """
        if self.configuration.sealed:
            raise UsageError(
                "Got a write to a sealed array, expected one that is not: write to a new array, "
                "with the codec's for_new_array()."
            )
        batch = list(chunks_and_specs)
        present = [i for i, (chunk, _) in enumerate(batch) if chunk is not None]
        arrays = [chunk.as_numpy_array() for chunk, _ in batch if chunk is not None]
        results: list[Buffer | None] = [None] * len(batch)
        payloads = await _in_pool(self._encode, arrays)
        for i, payload in zip(present, payloads, strict=True):
            results[i] = batch[i][1].prototype.buffer.from_bytes(payload)
        return results

    def _encode(self, block: np.ndarray) -> bytes:
        from jaxslice.codec.block import encode_blocks

        configuration = self.configuration
        (payload,) = encode_blocks(
            [np.ascontiguousarray(block)], model_of(configuration),
            places=[configuration.place_of(None)], format_version=configuration.format_version,
        )  # fmt: skip
        return payload

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: Any) -> int:
        """Not known before encoding."""
        raise NotImplementedError("The size of a jaxslice block is known only once it is encoded.")


async def _in_pool(function: Callable[[A], B], items: Sequence[A]) -> list[B]:
    """Calls the function with each item, on the threads that decode."""
    loop = asyncio.get_running_loop()
    pool = shared_pool()
    return await asyncio.gather(*(loop.run_in_executor(pool, function, item) for item in items))
