"""What the native engine is told of a block: a task of the library, and the arrays in it."""

from __future__ import annotations

import ctypes

import numpy as np

from jaxslice.codec.network import Model
from jaxslice.core.box import Triple
from jaxslice.native import library


def network_task(
    model: Model, block_shape: Triple, extent: Triple, counts: np.ndarray
) -> tuple[library.Task, tuple[np.ndarray, ...]]:
    """A block's task for a network, and the arrays that it points to."""
    architecture, network = model.architecture, model.network
    context = np.ascontiguousarray(architecture.context, np.int32)
    weights = np.concatenate([np.asarray(w, np.int8).ravel() for w in network.weights])
    biases = np.concatenate([np.asarray(b, np.int32).ravel() for b in network.biases])
    arrays = context, weights, biases, counts
    hidden = (*architecture.hidden, 0, 0, 0, 0)[:4]
    task = library.Task(
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
        architecture.voxel_bits,
        weights.size,
        biases.size,
        *(array.ctypes.data for array in arrays),
    )
    return task, arrays


def linear_task(
    model: Model,
    block_shape: Triple,
    extent: Triple,
    counts: np.ndarray,
    choices: np.ndarray | None,
) -> tuple[library.LinearTask, tuple[np.ndarray, ...]]:
    """A block's task for linear predictors, and the arrays that it points to."""
    architecture = model.architecture
    context = np.ascontiguousarray(architecture.context, np.int32)
    if choices is None:
        choices = np.zeros(counts.size, np.uint8)
    numbers = map(np.ascontiguousarray, (*model.network, np.asarray(choices, np.uint8)))
    arrays = context, *numbers, counts
    task = library.LinearTask(
        len(context),
        architecture.fallback,
        architecture.shear,
        architecture.scales,
        architecture.phases,
        architecture.predictors,
        (ctypes.c_int32 * 3)(*block_shape),
        (ctypes.c_int32 * 3)(*extent),
        counts.size,
        0,
        *(array.ctypes.data for array in arrays),
    )
    return task, arrays
