"""The decoding march as one kernel: `coder`'s plain decoder with its loop over time inside Pallas.

The plain decoder is some eighty XLA kernels for every time step, which an accelerator launches one
after the other. Here one kernel decodes whole blocks, one program instance for each, and what a
step makes stays in registers. Written for Pallas' Triton backend (GPUs); on a CPU Pallas interprets
it, slowly. The integers are those of the plain decoder: it calls `intervals.find_interval`, the
halves of `rans.pop` and, in `pallas.network`, all of the mixture that works voxel by voxel.

Each thread is meant to have a lane to itself, as Triton's default layout has it with a warp for
every 32 lanes. Threads then meet where empty heads are counted and in the history, of which a lane
reads at step t what its neighbours wrote at step t - 1. A barrier for all threads of the program
instance therefore ends each step. In CUDA it orders accesses to the device's memory as well: "all
global and shared memory accesses made by these threads prior to __syncthreads() are visible to all
threads in the block" (CUDA C++ Programming Guide). Loops are not pipelined (`num_stages=1`), which
could move reads across it. The interpreter takes one operation after the other and has no barrier,
so that what it decodes says nothing about this one.
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
"""More would be too many for the registers of one program instance."""


def supports(geometry: Geometry, platform: str) -> bool:
    """Whether there is a kernel for such blocks on such a device.

    Not for TPUs: Mosaic, Pallas' backend for them, has no 64-bit integers, which heads are.
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
    """Decodes blocks as the plain decoder does, bit for bit. Needs `jax.enable_x64` around it.

    Args:
      network: proven; one for all blocks or, with `block_networks`, one for each (a leading axis).
      head: uint64 [block, lane].
      words: uint32 [block, word].
      limits: int16 [t, block, lane], the alphabets' sizes, 0 where a lane rests.
      steps: int32, time steps to run.
      geometry: static.
      architecture: static.
      block_networks: static.
      interpret: static: XLA evaluates the kernel on any device, instead of Triton compiling it.

    Returns:
      Symbols int16 [t, block, lane], the final heads, and how many words each block used: int32
      [block]. Of a message that is too short the symbols are as meaningless as in the plain
      decoder, and the words used are more than there are.
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
    """The history of a block as the kernel has it: one row after the other, in one dimension.

    Lanes are as many as the next power of two, which is what Triton asks of every array.
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
        """Places from a row to the next, which is one time step later."""
        return self.lanes + 2 * self.geometry.margin

    @property
    def places(self) -> int:
        """In the history of a whole block, and of the rows before it."""
        return (self.geometry.lead + self.geometry.num_rows) * self.pitch

    def place_of(self, time: jax.Array) -> jax.Array:
        """Of lane 0 at a time step."""
        return (time + self.geometry.lead) * self.pitch + self.geometry.margin

    @property
    def offsets(self) -> np.ndarray:
        """int32 [c]: places from a voxel to each context voxel, then any that fill a round."""
        steps = np.array(self.geometry.lags, np.int32)
        lanes = np.array([dy for _, dy, _ in self.geometry.context], np.int32)
        return np.pad(self.pitch * steps + lanes, (0, MOST_TOGETHER - 1), mode="edge")

    def lanes_of(self, history: jax.Array) -> jax.Array:
        """Symbols [t, block, lane] of the history [block, place]."""
        rows = history.reshape(self.geometry.blocks, -1, self.pitch)[:, self.geometry.lead :]
        margin = self.geometry.margin
        return rows[:, :, margin : margin + self.geometry.lanes].transpose(1, 0, 2)


def _of_block(array: jax.Array) -> pallas.BlockSpec:
    """Each program instance sees the part of its block, which is the leading axis."""
    rest = array.shape[1:]
    return pallas.BlockSpec((None, *rest), lambda block: (block, *[0] * len(rest)))


def _of_all(array: jax.Array) -> pallas.BlockSpec:
    """Each program instance sees the whole array."""
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
    """The kernel: decodes one block, as `coder`'s plain decoder does step by step."""
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
