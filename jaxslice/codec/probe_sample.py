"""Fixed blocks that an engine encodes and decodes again, to find out whether it is exact."""

from __future__ import annotations

import dataclasses

import numpy as np

from jaxslice.codec.engines.interface import Engine
from jaxslice.codec.network import Model
from jaxslice.core.checksum import crc32c
from jaxslice.core.errors import FormatError
from jaxslice.core.types import AlphabetSizes, BlockSymbols, Device, Extents, Words


@dataclasses.dataclass(frozen=True, eq=False)
class ProbeSample:
    """A batch of blocks of one shape, and the model that predicts them.

    Attributes:
      symbols: [block, z, y, x], as `Engine.encode` takes them.
      sizes: int32 [block, z], alphabet sizes.
      extents: int32 [block, 3].
      model: the architecture and the numbers that predict.
      choices: uint8 [block, z], the linear predictor of each slice; None where there is one.
    """

    symbols: BlockSymbols
    sizes: AlphabetSizes
    extents: Extents
    model: Model
    choices: np.ndarray | None = None

    def messages(self, engine: Engine, device: Device | None = None) -> list[Words]:
        """The message of each block."""
        return engine.encode(
            self.symbols, self.sizes, self.extents, self.model, None, device, self.choices
        )

    def checksum(self, engine: Engine, device: Device | None = None) -> int:
        """CRC32C of the messages of all blocks."""
        words = self.messages(engine, device)
        return crc32c(b"".join(message.astype("<u4").tobytes() for message in words))

    def decodes(self, engine: Engine, device: Device | None = None) -> bool:
        """Whether the engine decodes its own messages to the symbols that were encoded."""
        _, depth, height, width = self.symbols.shape
        shape = (depth, height, width)
        messages = self.messages(engine, device)
        try:
            decoded = engine.decode(
                messages, self.sizes, self.extents, shape, self.model, None, device, self.choices
            )
        except FormatError:
            return False
        return all(
            np.array_equal(before[:z, :y, :x], after[:z, :y, :x])
            for before, after, (z, y, x) in zip(self.symbols, decoded, self.extents, strict=True)
        )
