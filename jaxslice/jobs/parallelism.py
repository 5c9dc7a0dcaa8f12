"""How many blocks run together on a device, and how many threads compute."""

from __future__ import annotations

import jax

from jaxslice.codec.architecture import Architecture
from jaxslice.core.box import Triple
from jaxslice.core.machine import available_host_bytes, num_cores
from jaxslice.jobs import memory


def batch_and_workers(batch: int | None, workers: int | None) -> tuple[int, int]:
    """Cores work on blocks of their own; an accelerator wants many blocks at once."""
    on_cpu = jax.default_backend() == "cpu"
    if workers is None:
        workers = num_cores() if on_cpu else 2 * jax.local_device_count()
    return batch or (1 if on_cpu else 16), workers


def what_fits(
    batch: int | None,
    workers: int | None,
    block_shape: Triple,
    architecture: Architecture,
    *,
    own_networks: bool = False,
) -> tuple[int, int]:
    """Batch and workers as asked for; where neither is, as many as there is memory for.

    Args:
      batch: blocks that run together on one device, if asked for.
      workers: threads that compute, if asked for.
      block_shape: of the blocks.
      architecture: of their network.
      own_networks: whether blocks may have networks of their own.
    """
    wanted = batch_and_workers(batch, workers)
    if batch is not None or workers is not None:
        return wanted
    return memory.blocks_at_once(
        available_host_bytes(),
        block_shape,
        architecture,
        *wanted,
        own_networks=own_networks,
        device_bytes=memory.available_device_bytes(jax.local_devices()[0]),
        devices=jax.local_device_count(),
    )
