"""How many bytes encoding and decoding take, as a formula, and how many blocks memory has room for.

With V the voxels of a block, B blocks in a batch, w = `step_width` lanes of all of them, L =
`num_rows` w voxels and P = `num_rows * row_width` places of the march (B is in both; a few percent
more than B V), p = `steps_predicted` w and n = `steps_together` w voxels of a chunk and c context
voxels, the program that encodes a batch holds

    arguments   2 P + 2 L       sheared symbols and limits, int16 each
    outputs     5 L             words uint32 and a mask bool [t, lane]
    temporary   2 (P + lead)    the history, int16, with `lead` rows in front of it
                p (8 c + 4 h)   a chunk's contexts int16, twice, differences float32, and h
                                numbers of 4 bytes: the widest layer's outputs and the coder's

and the one that decodes it

    arguments   2 L + B V       limits int16; a tail uint32, with room for V bytes
    outputs     2 L             sheared symbols int16
    temporary   2 * 2 (lead + n) the history int16, which moves: an old one and a new one
                3 * 2 n e       contexts in e voxels of earlier slices, int16, twice, and transposed
                w (8 c + 4 h)   as for encoding, of one time step

and in both a network is an argument as it is stored, and takes 4 bytes for each parameter while it
is at work: once or, with networks of their own, for each block. `tests/test_memory.py` holds these
against what XLA says of the compiled programs.

Around a program the host has, for every voxel of its batch, the bytes of `_HOST_BYTES`. Queues in
`stages.run_stages` hold at most IN_FLIGHT items for each worker, of which each is a batch of V
bytes. The interpreter, JAX, TensorStore and compiling take PROCESS_BYTES more.
"""

from __future__ import annotations

import dataclasses
import math

from jaxslice.codec.architecture import Architecture
from jaxslice.codec.geometry import Geometry
from jaxslice.core.box import Triple
from jaxslice.core.types import Device

IN_FLIGHT = 4
"""Items that `stages.run_stages` lets each worker have in memory, one of them at work."""

PROCESS_BYTES = 768 << 20
"""What a process takes without any block: the interpreter and its libraries, compiling, and fitting
the network to samples. Measured on x86-64 Linux with JAX 0.10: `ru_maxrss` of `compress` at effort
0 was at most 927 MiB with 2 workers on blocks of 64x256x256, 219 MiB of which the rest of the
formula accounts for; rounded up, as what XLA's compiler takes differs by tens of MiB between runs.
"""

_CODER_NUMBERS = 8
"""Numbers of 4 bytes for each place of a chunk beside a layer's outputs: symbol, limit, interval,
word, flag, reference, activity and the gain."""

_POINTER_BYTES = 32
"""XLA counts a pointer for each of a program's results, and for all of them."""

_HOST_BYTES = 7
"""For each voxel of a batch at work: voxels 1, symbols 2, the same side by side 2, and 2 for a
boolean index or for level tables' intermediate arrays."""


@dataclasses.dataclass(frozen=True)
class ProgramBytes:
    """What a compiled program holds, in bytes.

    Attributes:
      arguments: its inputs.
      outputs: its results.
      temporary: what it needs in between, an upper bound.
    """

    arguments: int
    outputs: int
    temporary: int

    @property
    def total(self) -> int:
        """All of it: everything is alive at once."""
        return self.arguments + self.outputs + self.temporary


def encoder_bytes(
    block_shape: Triple, batch: int, architecture: Architecture, *, own_networks: bool = False
) -> ProgramBytes:
    """Bytes of the program that encodes `batch` blocks together."""
    geometry = Geometry.of_encoder(block_shape, architecture, batch)
    lanes, places = _march_sizes(geometry)
    chunk = geometry.steps_predicted * geometry.step_width
    networks = batch if own_networks else 1
    for_each = 8 * len(architecture.context) + 4 * _numbers(architecture)
    if own_networks and batch > 1:
        for_each += 2 * len(architecture.context)
    return ProgramBytes(
        arguments=2 * places + 2 * lanes + _stored_bytes(architecture, networks) + 4,
        outputs=5 * lanes + 8 * geometry.step_width + _POINTER_BYTES,
        temporary=2 * (places + geometry.lead * geometry.row_width) + chunk * for_each
        + _carried_bytes(architecture, networks),
    )  # fmt: skip


def decoder_bytes(
    block_shape: Triple, batch: int, architecture: Architecture, *, own_networks: bool = False
) -> ProgramBytes:
    """Bytes of the program that decodes `batch` blocks together."""
    geometry = Geometry.of(block_shape, architecture, batch)
    lanes, _ = _march_sizes(geometry)
    width, chunk = geometry.step_width, geometry.steps_together * geometry.step_width
    networks = batch if own_networks else 1
    earlier = sum(dz < 0 for dz, _, _ in architecture.context)
    for_each = 8 * len(architecture.context) + 4 * _numbers(architecture)
    return ProgramBytes(
        arguments=2 * lanes + batch * (math.prod(block_shape) + 4) + 8 * width
        + _stored_bytes(architecture, networks) + 4,
        outputs=2 * lanes + 8 * width + 4 * batch + _POINTER_BYTES,
        temporary=4 * (geometry.lead * geometry.row_width + chunk) + 6 * chunk * earlier
        + width * for_each + _carried_bytes(architecture, networks),
    )  # fmt: skip


def host_bytes(block_shape: Triple, batch: int, workers: int) -> int:
    """Bytes around the programs: batches at work, and those that wait in queues."""
    voxels = math.prod(block_shape) * batch
    return workers * voxels * (_HOST_BYTES + IN_FLIGHT - 1)


def peak_bytes(
    block_shape: Triple,
    batch: int,
    workers: int,
    architecture: Architecture,
    *,
    own_networks: bool = False,
) -> int:
    """Most resident memory of coding on a CPU, where programs share the host's memory.

    Blocks are decoded again by the thread that encoded them, so that a worker holds one program's
    arrays at a time. Training is not counted.

    Args:
      block_shape: of the blocks.
      batch: blocks that run together.
      workers: threads that compute.
      architecture: of the network.
      own_networks: whether blocks may have networks of their own.
    """
    program = _larger_program(block_shape, batch, architecture, own_networks)
    return PROCESS_BYTES + host_bytes(block_shape, batch, workers) + workers * program


def blocks_at_once(
    available_bytes: int | None,
    block_shape: Triple,
    architecture: Architecture,
    batch: int,
    workers: int,
    *,
    own_networks: bool = False,
    device_bytes: int | None = None,
    devices: int = 1,
) -> tuple[int, int]:
    """The batch and the workers that memory has room for: those wanted, or fewer.

    The batch is halved before workers are taken away, since any batch keeps all workers busy. What
    one worker with one block needs is always allowed.

    Args:
      available_bytes: of the host; no limit if None.
      block_shape: of the blocks.
      architecture: of the network.
      batch: blocks that should run together.
      workers: threads that should compute.
      own_networks: whether blocks may have networks of their own.
      device_bytes: of each accelerator, which then holds the programs; None on a CPU.
      devices: over which the workers are spread.
    """

    def fits(batch: int, workers: int) -> bool:
        if device_bytes is not None:
            program = _larger_program(block_shape, batch, architecture, own_networks)
            if program * -(-workers // devices) > device_bytes:
                return False
            host = PROCESS_BYTES + host_bytes(block_shape, batch, workers)
        else:
            host = peak_bytes(block_shape, batch, workers, architecture, own_networks=own_networks)
        return available_bytes is None or host <= available_bytes

    while batch > 1 and not fits(batch, workers):
        batch = -(-batch // 2)
    while workers > 1 and not fits(batch, workers):
        workers -= 1
    return batch, workers


def available_device_bytes(device: Device) -> int | None:
    """Memory of an accelerator that JAX can still take; None on a CPU or where JAX cannot say."""
    stats = None if device.platform == "cpu" else device.memory_stats()
    if not stats or "bytes_limit" not in stats:
        return None
    return stats["bytes_limit"] - stats.get("bytes_in_use", 0)


def _larger_program(block_shape, batch, architecture, own_networks) -> int:
    return max(
        part(block_shape, batch, architecture, own_networks=own_networks).total
        for part in (encoder_bytes, decoder_bytes)
    )


def _march_sizes(geometry: Geometry) -> tuple[int, int]:
    """Voxels and places of all time steps: L and P."""
    return geometry.num_rows * geometry.step_width, geometry.num_rows * geometry.row_width


def _carried_bytes(architecture: Architecture, networks: int) -> int:
    return 4 * architecture.num_params * networks


def _numbers(architecture: Architecture) -> int:
    return max(outputs for outputs, _ in architecture.layer_shapes) + _CODER_NUMBERS


def _stored_bytes(architecture: Architecture, count: int) -> int:
    return count * sum(outputs * (inputs + 4) for outputs, inputs in architecture.layer_shapes)
