"""Decoding as one Pallas kernel, with the loop over time steps inside the kernel.

`xla_lanes.decode_lanes` compiles to many XLA kernels for each time step, which an accelerator
launches one after the other. Here one kernel decodes whole blocks, with one program instance for
each block, and keeps intermediate results in registers. It is written for Pallas' Triton backend
(GPUs); on a CPU Pallas interprets it, slowly. It computes the same integers, since it calls the
same `intervals.find_interval`, `rans.without` and `rans.refilled`, and `network.mixture_of` calls
the same functions for everything that is computed voxel by voxel.

With one warp for 32 lanes, Triton's default layout gives each thread one lane. Threads communicate
where empty heads are counted, and through the history: a lane reads at step t what its neighbours
wrote at step t - 1. So each step ends with a barrier for all threads of the program instance. In
CUDA it also orders accesses to global memory: "all global and shared memory accesses made by these
threads prior to __syncthreads() are visible to all threads in the block" (CUDA C++ Programming
Guide). Loops are not pipelined (`num_stages=1`), because pipelining could move reads across the
barrier. The interpreter runs operations in sequence, so it does not test the barrier.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import pallas
from jax.experimental.pallas import triton

from jaxslice.codec import intervals, rans
from jaxslice.codec.architecture import Architecture
from jaxslice.codec.curve import PRECISION
from jaxslice.codec.engines.pallas.network import MOST_TOGETHER, Ref, Weights, carried, mixture_of
from jaxslice.codec.geometry import Geometry
from jaxslice.codec.march import OUTSIDE
from jaxslice.codec.message import LOWER_BOUND
from jaxslice.codec.network import IntegerNetwork

MAX_WARPS = 16

MAX_LANES = 2048
"""Limited by the registers of one program instance."""


def supports(geometry: Geometry, platform: str) -> bool:
    """Whether the kernel supports blocks of this geometry on a platform.

    TPUs are not supported: Mosaic, their Pallas backend, has no 64-bit integers for the heads.
    """
    return platform != "tpu" and geometry.lanes <= MAX_LANES


def decode_lanes(
    network: IntegerNetwork,
    head: jax.Array,
    words: jax.Array,
    limits: jax.Array,
    steps: jax.Array,
    *,
    geometry: Geometry,
    architecture: Architecture,
    block_networks: bool,
    interpret: bool,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Decodes a batch of blocks, like `xla_lanes.decode_lanes`. Needs `jax.enable_x64` around it.

    Args:
      network: a network that `network.prove` accepts: one for all blocks or, with `block_networks`,
        one for each block (a leading axis [block]).
      head: uint64 [block, lane].
      words: uint32 [block, word], the tails.
      limits: int16 [t, block, lane], alphabet sizes, 0 where a lane is idle.
      steps: int32, number of time steps to run.
      geometry: geometry of the blocks (static).
      architecture: architecture of the network (static).
      block_networks: see `network` (static).
      interpret: whether Pallas interprets the kernel, on any device (static).

    Returns:
      Symbols int16 [t, block, lane], the final heads uint64 [block, lane], and the number of words
      that each block used, int32 [block]. If a message is too short, its symbols are undefined and
      this number is larger than the number of words.
    """
    layout = _Layout(geometry)
    resting = layout.lanes - geometry.lanes
    heads = jnp.pad(head, ((0, 0), (0, resting)), constant_values=LOWER_BOUND)
    limits = jnp.pad(limits, ((0, 0), (0, 0), (0, resting)))
    history = jnp.full((geometry.blocks, layout.places), OUTSIDE, jnp.int16)
    weights, tree = jax.tree.flatten(carried(network))
    kernel = functools.partial(
        _decode_block,
        tree=tree,
        layout=layout,
        architecture=architecture,
        words_of_block=words.shape[1],
        barrier=not interpret,
    )
    common = steps.reshape(1), jnp.asarray(layout.offsets), words.reshape(-1)
    by_time = pallas.BlockSpec((len(limits), None, layout.lanes), lambda block: (0, block, 0))
    history, last, used = pallas.pallas_call(
        kernel,
        grid=(geometry.blocks,),
        in_specs=[
            _of_block(history),
            *map(_of_all, common),
            by_time,
            _of_block(heads),
            *map(_of_block if block_networks else _of_all, weights),
        ],
        out_specs=[
            _of_block(history),
            _of_block(heads),
            pallas.BlockSpec((1,), lambda block: (block,)),
        ],
        out_shape=[
            jax.ShapeDtypeStruct(history.shape, history.dtype),
            jax.ShapeDtypeStruct(heads.shape, heads.dtype),
            jax.ShapeDtypeStruct((geometry.blocks,), jnp.int32),
        ],
        input_output_aliases={0: 0},
        compiler_params=triton.CompilerParams(num_warps=layout.warps, num_stages=1),
        interpret=interpret,
        name="decode_march",
    )(history, *common, limits, heads, *weights)
    return layout.lanes_of(history), last[:, : geometry.lanes], used


@dataclasses.dataclass(frozen=True)
class _Layout:
    """The layout of a block's history in the kernel: all rows, flattened to one dimension.

    The number of lanes is rounded up to a power of two, which Triton requires for all arrays.
    """

    geometry: Geometry

    @property
    def lanes(self) -> int:
        return pallas.next_power_of_2(self.geometry.lanes)

    @property
    def warps(self) -> int:
        return min(max(self.lanes // 32, 1), MAX_WARPS)

    @property
    def pitch(self) -> int:
        """Number of places in a row, which is one time step."""
        return self.lanes + 2 * self.geometry.margin

    @property
    def places(self) -> int:
        """Number of places in the history of a block, including the rows before its first step."""
        return (self.geometry.lead + self.geometry.num_rows) * self.pitch

    def place_of(self, time: jax.Array) -> jax.Array:
        """The place of lane 0 at a time step."""
        return (time + self.geometry.lead) * self.pitch + self.geometry.margin

    @property
    def offsets(self) -> np.ndarray:
        """int32 [c + padding]: distance in places from a voxel to each of its context voxels."""
        steps = np.array(self.geometry.lags, np.int32)
        lanes = np.array([dy for _, dy, _ in self.geometry.context], np.int32)
        return np.pad(self.pitch * steps + lanes, (0, MOST_TOGETHER - 1), mode="edge")

    def lanes_of(self, history: jax.Array) -> jax.Array:
        """Symbols [t, block, lane] of the history [block, place]."""
        rows = history.reshape(self.geometry.blocks, -1, self.pitch)[:, self.geometry.lead :]
        margin = self.geometry.margin
        return rows[:, :, margin : margin + self.geometry.lanes].transpose(1, 0, 2)


def _of_block(array: jax.Array) -> pallas.BlockSpec:
    """Gives each program instance the part of its block, which is the leading axis."""
    rest = array.shape[1:]
    return pallas.BlockSpec((None, *rest), lambda block: (block, *[0] * len(rest)))


def _of_all(array: jax.Array) -> pallas.BlockSpec:
    """Gives each program instance the whole array."""
    return pallas.BlockSpec(array.shape, lambda block: (0,) * array.ndim)


def _decode_block(
    _: Ref,
    steps: Ref,
    offsets: Ref,
    words: Ref,
    limits: Ref,
    heads: Ref,
    *refs: Ref,
    tree: Any,
    layout: _Layout,
    architecture: Architecture,
    words_of_block: int,
    barrier: bool,
) -> None:
    """The kernel: decodes one block, one time step after the other."""
    *leaves, history, last, used = refs
    weights: Weights = jax.tree.unflatten(tree, leaves)
    first = pallas.program_id(0) * jnp.int32(words_of_block)

    def decode_step(time, state):
        head, cursor = state
        limit = limits[time, :].astype(jnp.int32)
        place = layout.place_of(time)

        def context_of(number):
            offset = int(layout.offsets[number]) if isinstance(number, int) else offsets[number]
            return history[pallas.ds(place + offset, layout.lanes)].astype(jnp.float32)

        mixture = mixture_of(weights, context_of, architecture)
        position = rans.peek(head, PRECISION)
        symbol, start, freq = intervals.find_interval(mixture, position, jnp.maximum(limit, 1))
        head, empty = rans.without(head, start, freq, PRECISION)
        flags = empty.astype(jnp.int32)
        before = jnp.cumsum(flags, dtype=jnp.int32) - flags
        word = words[jnp.minimum(cursor + before, words.shape[0] - 1)]
        symbol = jnp.where(limit > 0, symbol, OUTSIDE).astype(jnp.int16)
        history[pallas.ds(place, layout.lanes)] = symbol
        if barrier:
            triton.debug_barrier()
        return rans.refilled(head, empty, word), cursor + flags.sum(dtype=jnp.int32)

    start = heads[:], first
    head, cursor = jax.lax.fori_loop(jnp.int32(0), steps[0], decode_step, start)
    last[:] = head
    used[0] = cursor - first
