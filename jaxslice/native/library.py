"""The compiled library, called through ctypes: its tasks, its errors, its functions.

Knows numpy arrays and no more of jaxslice. The library checks all values that it is given.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np

from jaxslice.native import build

PORTABLE, AVX2, AVX512, NEON = 0, 1, 2, 3
SET_NAMES = ("portable", "avx2", "avx512", "neon")
"""Instruction sets, as `enum march_set` numbers them."""

_BAD_STATE, _TOO_SHORT, _UNFINISHED = -6, -7, -8
DAMAGED = frozenset({_BAD_STATE, _TOO_SHORT, _UNFINISHED})
"""Errors that say that the message is damaged."""

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


class Task(ctypes.Structure):
    """`struct march_task`. It does not keep the arrays alive that it points to."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in ("context_count", "activity_count")),
        *((name, ctypes.c_int32) for name in ("activity_offset", "fallback", "shear")),
        *((name, ctypes.c_int32) for name in ("components", "hidden_count")),
        ("hidden", ctypes.c_int32 * 4),
        ("block_shape", ctypes.c_int32 * 3),
        ("extent", ctypes.c_int32 * 3),
        ("level_count_size", ctypes.c_int32),
        ("voxel_bits", ctypes.c_int32),
        ("weights_size", ctypes.c_int64),
        ("biases_size", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("context", "weights", "biases", "level_counts")),
    )


class LinearTask(ctypes.Structure):
    """`struct linear_task`, as `Task`."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in ("context_count", "fallback", "shear", "scales")),
        *((name, ctypes.c_int32) for name in ("phases", "predictors")),
        ("block_shape", ctypes.c_int32 * 3),
        ("extent", ctypes.c_int32 * 3),
        ("level_count_size", ctypes.c_int32),
        ("unused", ctypes.c_int32),
        *((name, ctypes.c_void_p) for name in ("context", "scalars", "weights")),
        *((name, ctypes.c_void_p) for name in ("activity_weights", "curves", "choices")),
        ("level_counts", ctypes.c_void_p),
    )


class NativeError(RuntimeError):
    """The library refused what it was given.

    Attributes:
      code: of `enum march_error`.
    """

    def __init__(self, code: int):
        super().__init__(f"Got {_ERRORS.get(code, f'the error {code}')}.")
        self.code = code


def path() -> Path:
    """Where the library is if it was built."""
    return build.FOLDER / build.library_name()


_TASKS = {"march": Task, "linear": LinearTask}
"""What the functions of each kind of predictor begin with -> their task."""


@functools.cache
def _library() -> ctypes.CDLL | None:
    """The library, or None where it was not built, or was built from other sources than these."""
    try:
        library = ctypes.CDLL(str(path()))
    except OSError:
        return None
    pointer, size, integer = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32
    signatures = {
        "march_source_digest": (ctypes.c_char_p, []),
        "march_best_set": (integer, []),
        "march_has_set": (integer, [integer]),
        "levels_count": (size, [pointer, size, size, pointer]),
        "levels_look_up": (size, [pointer, size, size, pointer, pointer]),
        "linear_residuals": (
            size,
            [ctypes.POINTER(LinearTask), pointer, size, pointer, size, integer, pointer],
        ),
    }
    for name, structure in _TASKS.items():
        task = ctypes.POINTER(structure)
        buffers = [pointer, size, pointer, size, pointer, size]
        signatures |= {
            f"{name}_task_bytes": (size, []),
            f"{name}_scratch_bytes": (size, [task, integer]),
            f"{name}_decode": (size, [task, integer, *buffers]),
            f"{name}_encode": (size, [task, integer, *buffers]),
        }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name, None)
        if function is None:
            return None
        function.restype, function.argtypes = result, arguments
    current = library.march_source_digest() == build.source_digest().encode()
    alike = all(
        getattr(library, f"{name}_task_bytes")() == ctypes.sizeof(structure)
        for name, structure in _TASKS.items()
    )
    return library if current and alike else None


def _loaded() -> ctypes.CDLL:
    library = _library()
    if library is None:
        raise RuntimeError(f"Got no native library at {path()}, expected one: it was not built.")
    return library


def instruction_sets() -> tuple[int, ...]:
    """The instruction sets that the library and this core have; empty if it was not built."""
    library = _library()
    if library is None:
        return ()
    return tuple(number for number in range(len(SET_NAMES)) if library.march_has_set(number))


def best_set() -> int:
    """The fastest instruction set that the library and this core have.

    Raises:
      RuntimeError: the library was not built.
    """
    return _loaded().march_best_set()


def count_levels(voxels: np.ndarray) -> np.ndarray:
    """Counts how often each level occurs in each slice.

    Args:
      voxels: uint8 [z, y, x], not changed meanwhile.

    Returns:
      int64 [z, 256].

    Raises:
      RuntimeError: the library was not built.
    """
    assert voxels.dtype == np.uint8, voxels.dtype
    depth, height, width = voxels.shape
    inside, counts = np.ascontiguousarray(voxels), np.empty((depth, 256), np.int64)
    _checked(_loaded().levels_count(inside.ctypes.data, depth, height * width, counts.ctypes.data))
    return counts


def look_up_levels(voxels: np.ndarray, tables: np.ndarray) -> np.ndarray:
    """Replaces each voxel by the element of its slice's table that it is the index of.

    Args:
      voxels: uint8 [z, y, x], not changed meanwhile.
      tables: uint8 [z, 256].

    Returns:
      uint8 [z, y, x].

    Raises:
      RuntimeError: the library was not built.
    """
    assert voxels.dtype == tables.dtype == np.uint8, (voxels.dtype, tables.dtype)
    assert tables.shape == (len(voxels), 256), tables.shape
    depth, height, width = voxels.shape
    inside, rows = np.ascontiguousarray(voxels), np.ascontiguousarray(tables)
    found = np.empty(voxels.shape, np.uint8)
    pointers = rows.ctypes.data, found.ctypes.data
    _checked(_loaded().levels_look_up(inside.ctypes.data, depth, height * width, *pointers))
    return found


def linear_residuals(
    task: LinearTask, symbols: np.ndarray, rows: np.ndarray, margin: int
) -> np.ndarray:
    """Sums the sizes of what each of a task's linear predictors leaves in some rows of each slice.

    Args:
      task: of the symbols' extent; the caller keeps its arrays alive.
      symbols: uint8 [z, y, x], contiguous.
      rows: int32 [r], whose context is inside the slice.
      margin: columns that are left out at either end, at least as many as the context reaches.

    Returns:
      int64 [predictor, z], in 2**-exponent symbols of each predictor.

    Raises:
      NativeError: the task is refused, or a row's context is not inside.
      RuntimeError: the library was not built.
    """
    sums = np.empty((task.predictors, len(symbols)), np.int64)
    arrays = (symbols.ctypes.data, symbols.size, rows.ctypes.data, rows.size)
    _checked(_loaded().linear_residuals(task, *arrays, margin, sums.ctypes.data))
    return sums


def scratch_bytes(task: Task | LinearTask, instruction_set: int) -> int:
    """Bytes of scratch memory that `run` needs for a task.

    Raises:
      NativeError: the task or the instruction set is refused.
    """
    return _checked(_function(task, "scratch_bytes")(task, instruction_set))


def run(
    name: str,
    task: Task | LinearTask,
    instruction_set: int,
    source: np.ndarray,
    target: np.ndarray,
    scratch: np.ndarray,
) -> int:
    """Encodes or decodes a block; the interpreter's lock is released meanwhile.

    Args:
      name: `encode` or `decode`.
      task: whose arrays the caller keeps alive.
      instruction_set: one of `instruction_sets`.
      source: contiguous: symbols, uint8 or uint16, to encode, or a message, uint32, to decode.
      target: contiguous: the room for the message, uint32, or for the symbols, uint8 or uint16.
      scratch: uint8, of `scratch_bytes`.

    Returns:
      What the function returns; see march.h.

    Raises:
      NativeError: the function returned an error.
    """
    buffers = (source, target, scratch)
    pointers = (argument for array in buffers for argument in (array.ctypes.data, array.size))
    return _checked(_function(task, name)(task, instruction_set, *pointers))


def _function(task: Task | LinearTask, name: str) -> Callable[..., int]:
    """The library's function of that name for the kind of task."""
    kind = next(kind for kind, structure in _TASKS.items() if isinstance(task, structure))
    return getattr(_loaded(), f"{kind}_{name}")


def _checked(result: int) -> int:
    if result < 0:
        raise NativeError(result)
    return result
