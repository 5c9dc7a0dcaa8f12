"""The native engine: the march in C; see `jaxslice.native.library`.

It runs one block at a time on the calling thread, without the interpreter's lock, and needs neither
JAX nor a compiler at run time.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np

from jaxslice.codec import limits, payload
from jaxslice.codec.engines.native_tasks import linear_task, network_task
from jaxslice.codec.linear import LinearArchitecture
from jaxslice.codec.message import unflatten
from jaxslice.codec.network import AnyArchitecture, IntegerNetwork, Model, blank
from jaxslice.core.box import Triple
from jaxslice.core.errors import FormatError, UsageError
from jaxslice.core.types import AlphabetSizes, BlockSymbols, Device, Extents, Words
from jaxslice.native import library


class BlockCall:
    """One block's task for the library: its arrays, kept alive for the call, and scratch memory.

    Raises:
      NativeError: the library refuses the task or the instruction set.
      MemoryError: the machine cannot give the scratch memory. No other engine takes over: xla needs
        more.
    """

    def __init__(
        self,
        model: Model,
        block_shape: Triple,
        extent: Triple,
        level_counts: np.ndarray,
        instruction_set: int | None,
        choices: np.ndarray | None = None,
    ):
        counts = np.ascontiguousarray(level_counts, np.int32)
        if isinstance(model.architecture, LinearArchitecture):
            made = linear_task(model, block_shape, extent, counts, choices)
        else:
            made = network_task(model, block_shape, extent, counts)
        self.task, self._arrays = made
        self.set = library.best_set() if instruction_set is None else instruction_set
        self.scratch = _scratch(library.scratch_bytes(self.task, self.set), block_shape)

    def run(self, name: str, source: np.ndarray, target: np.ndarray) -> int:
        """Encodes or decodes; see `library.run`."""
        return library.run(name, self.task, self.set, source, target, self.scratch)


def _scratch(size: int, block_shape: Triple) -> np.ndarray:
    """Memory of `size` bytes for the library to work in."""
    try:
        return np.empty(size, np.uint8)
    except MemoryError:
        shape = " x ".join(map(str, block_shape))
        raise MemoryError(
            f"Got no {size} bytes of memory for the native engine, expected them for a block of "
            f"{shape} voxels. Smaller blocks or fewer workers need less."
        ) from None


def decode(
    message: np.ndarray,
    block_shape: Triple,
    extent: Triple,
    level_counts: np.ndarray,
    model: Model,
    instruction_set: int | None = None,
    choices: np.ndarray | None = None,
) -> np.ndarray:
    """Decodes one block's message.

    Args:
      message: uint32 [word], from `message.flatten`.
      block_shape: (z, y, x) of the block.
      extent: (z, y, x) of the voxels in the message.
      level_counts: int [extent z], levels of each slice.
      model: whose network predicts.
      instruction_set: one of `library.instruction_sets`; the best if not given.
      choices: int [extent z], the linear predictor of each slice; the first if not given.

    Returns:
      Symbols, of the architecture's dtype and of the extent's shape.

    Raises:
      FormatError: the message is damaged.
      MemoryError: see `BlockCall`.
    """
    call = BlockCall(model, block_shape, extent, level_counts, instruction_set, choices)
    symbols = np.empty(extent, model.architecture.dtype)
    try:
        call.run("decode", np.ascontiguousarray(message, np.uint32), symbols)
    except library.NativeError as error:
        if error.code in library.DAMAGED:
            raise FormatError(str(error)) from None
        raise
    return symbols


def encode(
    symbols: np.ndarray,
    block_shape: Triple,
    level_counts: np.ndarray,
    model: Model,
    instruction_set: int | None = None,
    choices: np.ndarray | None = None,
) -> np.ndarray:
    """Encodes the symbols of one block's extent.

    Args:
      symbols: of the extent's shape and the architecture's dtype, each below its slice's level
        count.
      block_shape: of the block.
      level_counts: int [extent z], levels of each slice.
      model: whose network predicts.
      instruction_set: one of `library.instruction_sets`; the best if not given.
      choices: int [extent z], the linear predictor of each slice; the first if not given.

    Returns:
      The message, uint32 [word], as `rans.flatten` arranges it.

    Raises:
      MemoryError: see `BlockCall`.
    """
    symbols = np.ascontiguousarray(symbols, model.architecture.dtype)
    depth, height, width = symbols.shape
    call = BlockCall(
        model, block_shape, (depth, height, width), level_counts, instruction_set, choices
    )
    room = np.empty(_most_words(symbols.size, model.architecture) + 2 * height + 64, np.uint32)
    count = call.run("encode", symbols, room)
    return room[room.size - count :]


def _most_words(voxels: int, architecture: AnyArchitecture) -> int:
    """Words that some voxels take at most.

    An interval is at least 64 of 2**24, so that a symbol takes at most 18 bits and a rounding. Of
    16-bit voxels an interval is at least 1, and up to 7 plain bits are added: 31 bits.
    """
    return voxels if architecture.is_wide else voxels * 5 // 8


class NativeEngine:
    """See `interface.Engine`. Blocks of a batch run one after the other."""

    name = "native"

    def __init__(self, instruction_set: int | None = None) -> None:
        """Takes one of `library.instruction_sets`; the best if None."""
        self._set = instruction_set

    @functools.cache  # noqa: B019 (there are few engines, which live as long as the process)
    def is_available(self) -> bool:
        """Whether the library was built, this core is one it is fast on, and the probe passes."""
        from jaxslice.codec import probe

        fast = set(library.instruction_sets()) - {library.PORTABLE}
        return bool(fast) and probe.passes(self)

    def runs_on_host(self) -> bool:
        """It runs on the host's cores."""
        return True

    def devices(self) -> Sequence[Device | None]:
        """There is no choice."""
        return [None]

    def encode(
        self,
        symbols: BlockSymbols,
        sizes: AlphabetSizes,
        extents: Extents,
        model: Model,
        networks: Sequence[IntegerNetwork] | None = None,
        device: Device | None = None,
        choices: np.ndarray | None = None,
    ) -> list[Words]:
        """See `interface.Engine.encode`. A device other than a CPU is a `UsageError`."""
        _check_device(device)
        messages = []
        for block, extent in enumerate(_triples(extents)):
            if not extent[0]:
                messages.append(np.zeros(0, np.uint32))
                continue
            used = Model(model.architecture, networks[block]) if networks else model
            inside = symbols[(block, *payload.within(extent))]
            counts = sizes[block, : extent[0]]
            chosen = None if choices is None else choices[block, : extent[0]]
            messages.append(
                encode(inside, symbols.shape[1:], counts, used, self._set, choices=chosen)
            )
        return messages

    def decode(
        self,
        messages: Sequence[Words],
        sizes: AlphabetSizes,
        extents: Extents,
        block_shape: Triple,
        model: Model,
        networks: Sequence[IntegerNetwork] | None = None,
        device: Device | None = None,
        choices: np.ndarray | None = None,
    ) -> BlockSymbols:
        """See `interface.Engine.decode`. A device other than a CPU is a `UsageError`."""
        _check_device(device)
        symbols = np.zeros((len(messages), *block_shape), model.architecture.dtype)
        for block, extent in enumerate(_triples(extents)):
            if not extent[0]:
                continue
            _, tail = unflatten(messages[block], extent[1])
            most = limits.most_words(block_shape, model.architecture.dtype.itemsize)
            if tail.size > most:
                raise FormatError(f"Got a message of {tail.size} words, expected at most {most}.")
            used = Model(model.architecture, networks[block]) if networks else model
            counts = sizes[block, : extent[0]]
            inside = (block, *payload.within(extent))
            chosen = None if choices is None else choices[block, : extent[0]]
            decoded = decode(
                messages[block], block_shape, extent, counts, used, self._set, choices=chosen
            )
            if len(symbols) == 1 and extent == block_shape:
                return decoded[np.newaxis]
            symbols[inside] = decoded
        return symbols

    def compile_for(
        self,
        block_shape: Triple,
        architecture: AnyArchitecture,
        batch: int,
        *,
        encoder: bool = True,
        decoder: bool = True,
        block_networks: bool = False,
    ) -> int:
        """Nothing is compiled, and a batch runs block by block; see `interface.Engine`."""
        counts = np.ones(block_shape[0], np.int32)
        call = BlockCall(
            Model(architecture, blank(architecture)), block_shape, block_shape, counts, None
        )
        voxels = math.prod(block_shape)
        # Beside the scratch memory: symbols, and room for a message of any length.
        voxel_bytes = architecture.dtype.itemsize
        return call.scratch.size + voxels * voxel_bytes + 4 * _most_words(voxels, architecture)


def _check_device(device: Device | None) -> None:
    """Refuses what the caller cannot have meant: to ignore it would run on the host unnoticed."""
    if device is not None and device.platform != "cpu":
        raise UsageError(
            f"Got the device {device} with the engine 'native', expected a CPU or no device; the "
            "engine 'xla' runs on accelerators."
        )


def _triples(extents: Extents) -> list[Triple]:
    return [(int(z), int(y), int(x)) for z, y, x in extents]


ENGINE = NativeEngine()
