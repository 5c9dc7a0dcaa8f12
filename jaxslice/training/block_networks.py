"""Training of block networks: one network for each block, for many blocks at once.

Each network starts from the archive's network and is trained on its block only (Hinkle et al.
2020). Blocks are distributed over a mesh of devices. The result for a block does not depend on the
other blocks that are trained at the same time.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Sequence

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxslice.codec import network_difference, payload, slices
from jaxslice.codec.architecture import Architecture
from jaxslice.codec.engines.xla_options import compiler_options
from jaxslice.codec.network import IntegerNetwork
from jaxslice.core.types import Device, Volume
from jaxslice.training.config import TrainingConfig
from jaxslice.training.parameters import Params, to_integers, to_params
from jaxslice.training.train import TrainingState, initial_state, train_step
from jaxslice.training.training_set import TrainingSet, prepare

AXIS = "blocks"

VMAPPED_ON_CPU, VMAPPED_ELSEWHERE = 1, 16
"""Blocks that one device trains at once, by `vmap`. On a CPU core the data of one block fit the
cache better; an accelerator needs several blocks to be busy."""


def train_block_networks(
    blocks: Sequence[Volume],
    base: IntegerNetwork,
    architecture: Architecture,
    config: TrainingConfig,
    seeds: Sequence[int],
    devices: Sequence[Device],
    stop: threading.Event | None = None,
) -> list[bytes | None]:
    """Trains a network for each block.

    Args:
      blocks: uint8 [z, y, x] each, all of one shape.
      base: the archive's network, from which training starts.
      architecture: architecture of the networks.
      config: options of training.
      seeds: for each block the random seed of its samples.
      devices: devices to train on; blocks are distributed evenly.
      stop: an event that ends training early once it is set.

    Returns:
      For each block the difference of its network to the base, from `network_difference.encode`;
      None if there is no difference or training diverged.
    """
    on_cpu = devices[0].platform == "cpu"
    together = len(devices) * (VMAPPED_ON_CPU if on_cpu else VMAPPED_ELSEWHERE)
    mesh = Mesh(np.array(devices), (AXIS,))
    differences: list[bytes | None] = []
    for first in range(0, len(blocks), together):
        sets = [_set_of(block, architecture) for block in blocks[first : first + together]]
        chosen = list(seeds[first : first + together])
        filling = together - len(sets)
        trained = _train_together(
            sets + sets[:1] * filling, chosen + chosen[:1] * filling, base, architecture, config,
            mesh, stop,
        )  # fmt: skip
        for index in range(len(sets)):
            params = jax.tree.map(lambda leaf, i=index: leaf[i], trained)
            differences.append(_difference_of(params, base, architecture))
    return differences


def _train_together(
    sets: Sequence[TrainingSet],
    seeds: Sequence[int],
    base: IntegerNetwork,
    architecture: Architecture,
    config: TrainingConfig,
    mesh: Mesh,
    stop: threading.Event | None,
) -> Params:
    """Parameters after training [block, ...]. Each device of the mesh trains as many blocks."""
    spread = NamedSharding(mesh, PartitionSpec(AXIS))
    stacked = lambda *leaves: np.stack(leaves)
    data = jax.device_put(jax.tree.map(stacked, *sets), spread)
    keys = jax.device_put(np.array([seed % (1 << 32) for seed in seeds], np.uint32), spread)
    start = jax.tree.map(np.asarray, initial_state(to_params(base), config))
    state = jax.device_put(jax.tree.map(stacked, *[start] * len(sets)), spread)
    steps = jax.device_put(np.full(len(sets), config.steps, np.int32), spread)
    train_on = _program(mesh, architecture, config.of_any_length())
    for _ in range(-(-config.steps // config.steps_per_call)):
        if stop is not None and stop.is_set():
            break
        # Without waiting here, all calls would be queued before `stop` is checked once.
        state = jax.block_until_ready(train_on(state, data, keys, steps))
    return jax.device_get(state.params)


@functools.lru_cache(maxsize=8)
def _program(mesh: Mesh, architecture: Architecture, config: TrainingConfig):
    """The compiled function from (states, training sets, seeds, steps in all), all [block, ...], to
    the states after `config.steps_per_call` steps.
    """

    def train_block(
        state: TrainingState, data: TrainingSet, seed: jax.Array, steps: jax.Array
    ) -> TrainingState:
        key = jax.random.key(seed)
        step = lambda state, _: train_step(state, key, data, architecture, config, steps=steps)
        return jax.lax.scan(step, state, None, length=config.steps_per_call)[0]

    def train_shard(*shard):
        if len(shard[2]) > 1:
            return jax.vmap(train_block)(*shard)
        alone = train_block(*jax.tree.map(lambda leaf: leaf[0], shard))
        return jax.tree.map(lambda leaf: leaf[None], alone)

    spread = PartitionSpec(AXIS)
    sharded = jax.shard_map(
        train_shard, mesh=mesh, in_specs=spread, out_specs=spread, check_vma=False
    )
    # On a CPU each device is one core, which trains its own blocks.
    options = compiler_options(mesh.devices.flat[0].platform)
    return jax.jit(sharded, donate_argnums=0, compiler_options=options)


def _set_of(block: Volume, architecture: Architecture) -> TrainingSet:
    """The training set of a block's coded slices, padded to the whole block's shape."""
    extent = payload.extent_of(block, int(block[-1, -1, -1]))
    inside = block[payload.within(extent)] if extent[0] else block[:1, :1, :1]
    table = slices.find(inside)
    if table is not None and len(table.coded):
        inside = inside[table.coded]
    return prepare([inside], architecture, shape=block.shape)


def _difference_of(params, base: IntegerNetwork, architecture: Architecture) -> bytes | None:
    """The encoded difference to the base; None if it is zero or a parameter is not finite."""
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params)):
        return None
    own = to_integers(params, architecture)
    data, used = network_difference.encode(base, own, architecture)
    same = all(
        np.array_equal(a, b)
        for a, b in zip(jax.tree.leaves(used), jax.tree.leaves(base), strict=True)
    )
    return None if same else data
