"""The native engine: the C library of `jaxslice/native`, called through ctypes.

It runs one block at a time on the calling thread and releases the interpreter's lock meanwhile. It
needs neither JAX nor a compiler at run time. The library checks all of its arguments.
"""

from __future__ import annotations

import ctypes
import functools
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxslice.codec import payload
from jaxslice.codec.architecture import Architecture
from jaxslice.codec.message import unflatten
from jaxslice.codec.network import IntegerNetwork, Model, blank
from jaxslice.core.box import Triple
from jaxslice.core.errors import FormatError
from jaxslice.core.types import AlphabetSizes, BlockSymbols, Device, Extents, Words
from jaxslice.native import build

PORTABLE, AVX2, AVX512 = 0, 1, 2
SET_NAMES = ("portable", "avx2", "avx512")
"""Instruction sets, as `enum march_set` numbers them."""

_BAD_STATE, _TOO_SHORT, _UNFINISHED = -6, -7, -8
_ERRORS = {
    -1: "an architecture out of its ranges",
    -2: "a network that does not fit or could overflow",
    -3: "a shape that does not fit",
    -4: "a slice without levels",
    -5: "a symbol beyond its slice's levels",
    _BAD_STATE: "a message with a head out of range, expected 2**31 to 2**63",
    _TOO_SHORT: "a message that has too few words or left a lane unfinished: damaged, or coded "
    "with another network",
    _UNFINISHED: "a message that has too many words or left a lane unfinished: damaged, or coded "
    "with another network",
    -9: "too little memory",
    -10: "an instruction set that this core lacks",
    -11: "a null pointer",
}


class _Task(ctypes.Structure):
    """`struct march_task`."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in ("context_count", "activity_count")),
        *((name, ctypes.c_int32) for name in ("activity_offset", "fallback", "shear")),
        *((name, ctypes.c_int32) for name in ("components", "hidden_count")),
        ("hidden", ctypes.c_int32 * 4),
        ("block_shape", ctypes.c_int32 * 3),
        ("extent", ctypes.c_int32 * 3),
        ("level_count_size", ctypes.c_int32),
        ("weights_size", ctypes.c_int64),
        ("biases_size", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("context", "weights", "biases", "level_counts")),
    )


class NativeError(RuntimeError):
    """The library returned an error other than a damaged message.

    Attributes:
      code: a value of `enum march_error`.
    """

    def __init__(self, code: int):
        super().__init__(f"Got {_ERRORS.get(code, f'the error {code}')} from the native engine.")
        self.code = code


def library_path() -> Path:
    """Path of the built library."""
    return build.FOLDER / build.library_name()


@functools.cache
def _library() -> ctypes.CDLL | None:
    """The library; None if it was not built, or if its structures have another layout."""
    try:
        library = ctypes.CDLL(str(library_path()))
    except OSError:
        return None
    pointer, size, integer = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32
    task = ctypes.POINTER(_Task)
    signatures = {
        "march_task_bytes": (size, []),
        "march_best_set": (integer, []),
        "march_has_set": (integer, [integer]),
        "march_scratch_bytes": (size, [task, integer]),
        "march_decode": (size, [task, integer, pointer, size, pointer, size, pointer, size]),
        "march_encode": (size, [task, integer, pointer, size, pointer, size, pointer, size]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library if library.march_task_bytes() == ctypes.sizeof(_Task) else None


def _loaded() -> ctypes.CDLL:
    library = _library()
    if library is None:
        raise RuntimeError(f"Got no native engine at {library_path()}: it was not built.")
    return library


def instruction_sets() -> tuple[int, ...]:
    """Instruction sets that the library and this CPU support; empty if it was not built."""
    library = _library()
    if library is None:
        return ()
    return tuple(number for number in range(len(SET_NAMES)) if library.march_has_set(number))


def best_set() -> int | None:
    """The fastest instruction set to use, or None if XLA is the better choice here."""
    library = _library()
    best = library.march_best_set() if library else PORTABLE
    return None if best == PORTABLE else best


class _Call:
    """A task of the library, with its arrays and scratch memory."""

    def __init__(
        self,
        model: Model,
        block_shape: Triple,
        extent: Triple,
        level_counts: np.ndarray,
        instruction_set: int | None,
    ):
        architecture, network = model.architecture, model.network
        context = np.ascontiguousarray(architecture.context, np.int32)
        weights = np.concatenate([np.asarray(w, np.int8).ravel() for w in network.weights])
        biases = np.concatenate([np.asarray(b, np.int32).ravel() for b in network.biases])
        counts = np.ascontiguousarray(level_counts, np.int32)
        self._arrays = context, weights, biases, counts
        hidden = (*architecture.hidden, 0, 0, 0, 0)[:4]
        self.task = _Task(
            len(context),
            architecture.activity_count,
            architecture.activity_offset,
            architecture.fallback,
            architecture.shear,
            architecture.components,
            len(architecture.hidden),
            (ctypes.c_int32 * 4)(*hidden),
            (ctypes.c_int32 * 3)(*block_shape),
            (ctypes.c_int32 * 3)(*extent),
            counts.size,
            weights.size,
            biases.size,
            *(array.ctypes.data for array in self._arrays),
        )
        best = best_set()
        chosen = PORTABLE if best is None else best
        self.set = chosen if instruction_set is None else instruction_set
        needed = _checked(_loaded().march_scratch_bytes(self.task, self.set))
        self.scratch = np.empty(needed, np.uint8)

    def run(self, name: str, source: np.ndarray, target: np.ndarray) -> int:
        function = getattr(_loaded(), name)
        return _checked(
            function(
                self.task,
                self.set,
                source.ctypes.data,
                source.size,
                target.ctypes.data,
                target.size,
                self.scratch.ctypes.data,
                self.scratch.size,
            )
        )


def _checked(result: int) -> int:
    if result in (_BAD_STATE, _TOO_SHORT, _UNFINISHED):
        raise FormatError(f"Got {_ERRORS[result]}.")
    if result < 0:
        raise NativeError(result)
    return result


def decode(
    message: np.ndarray,
    block_shape: Triple,
    extent: Triple,
    level_counts: np.ndarray,
    model: Model,
    instruction_set: int | None = None,
) -> np.ndarray:
    """Decodes one block's message.

    Args:
      message: uint32 [word], from `message.flatten`.
      block_shape: (z, y, x) of the block.
      extent: (z, y, x) of the voxels in the message.
      level_counts: int [extent z], levels of each slice, 1 to 256.
      model: whose network predicts.
      instruction_set: one of `instruction_sets`; the best if not given.

    Returns:
      Symbols, uint8 of the extent's shape.

    Raises:
      FormatError: the message is damaged.
    """
    call = _Call(model, block_shape, extent, level_counts, instruction_set)
    symbols = np.empty(extent, np.uint8)
    call.run("march_decode", np.ascontiguousarray(message, np.uint32), symbols)
    return symbols


def encode(
    symbols: np.ndarray,
    block_shape: Triple,
    level_counts: np.ndarray,
    model: Model,
    instruction_set: int | None = None,
) -> np.ndarray:
    """Encodes the symbols of one block's extent.

    Args:
      symbols: uint8 of the extent's shape, each below its slice's level count.
      block_shape: of the block.
      level_counts: int [extent z], levels of each slice, 1 to 256.
      model: whose network predicts.
      instruction_set: one of `instruction_sets`; the best if not given.

    Returns:
      The message, uint32 [word]; see `message.flatten`.
    """
    symbols = np.ascontiguousarray(symbols, np.uint8)
    depth, height, width = symbols.shape
    call = _Call(model, block_shape, (depth, height, width), level_counts, instruction_set)
    # The width of an interval is at least 64 of 2**24, so a symbol takes little more than 18 bits.
    room = np.empty(symbols.size * 5 // 8 + 2 * height + 64, np.uint32)
    count = call.run("march_encode", symbols, room)
    return room[room.size - count :]


class NativeEngine:
    """See `interface.Engine`. Blocks of a batch run one after the other."""

    name = "native"

    @functools.cache  # noqa: B019 (there is one engine, which lives as long as the process)
    def is_available(self) -> bool:
        """Whether the library was built, this core is one it is fast on, and the probe passes."""
        from jaxslice.codec import probe

        return best_set() is not None and probe.passes(self)

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
    ) -> list[Words]:
        """See `interface.Engine.encode`."""
        messages = []
        for block, extent in enumerate(_triples(extents)):
            if not extent[0]:
                messages.append(np.zeros(0, np.uint32))
                continue
            used = Model(model.architecture, networks[block]) if networks else model
            inside = symbols[(block, *payload.within(extent))].astype(np.uint8)
            counts = sizes[block, : extent[0]]
            messages.append(encode(inside, symbols.shape[1:], counts, used))
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
    ) -> BlockSymbols:
        """See `interface.Engine.decode`."""
        symbols = np.zeros((len(messages), *block_shape), np.int16)
        for block, extent in enumerate(_triples(extents)):
            if not extent[0]:
                continue
            _, tail = unflatten(messages[block], extent[1])
            most = payload.most_words(block_shape)
            if tail.size > most:
                raise FormatError(f"Got a message of {tail.size} words, expected at most {most}.")
            used = Model(model.architecture, networks[block]) if networks else model
            counts = sizes[block, : extent[0]]
            inside = (block, *payload.within(extent))
            symbols[inside] = decode(messages[block], block_shape, extent, counts, used)
        return symbols

    def compile_for(
        self,
        block_shape: Triple,
        architecture: Architecture,
        batch: int,
        *,
        encoder: bool = True,
        decoder: bool = True,
        block_networks: bool = False,
    ) -> int:
        """Nothing is compiled, and a batch runs block by block; see `interface.Engine`."""
        counts = np.ones(block_shape[0], np.int32)
        call = _Call(
            Model(architecture, blank(architecture)), block_shape, block_shape, counts, None
        )
        voxels = math.prod(block_shape)
        # Beside the scratch memory: symbols, and room for a message of any length.
        return call.scratch.size + voxels + 4 * (voxels * 5 // 8)


def _triples(extents: Extents) -> list[Triple]:
    return [(int(z), int(y), int(x)) for z, y, x in extents]


ENGINE = NativeEngine()
