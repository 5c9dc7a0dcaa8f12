"""Predicted speeds on accelerators, by a model and by counts from the compiled programs.

    python experiments/roofline.py
    python experiments/roofline.py --smoke --output=/tmp/roofline.csv

Compiles the encoder and the decoder of the default network for batches of blocks (nothing runs),
reads XLA's optimised HLO for the CPU, and counts for each time step of the march how many kernels
there are, which bytes they read and write, and how many operations they do. Fusions, dots and all
other instructions that move data count as one kernel each, times the trips of the loops around
them; that is a proxy for an accelerator's kernels, whose compilers fuse a little differently.

Writes the counts and the predictions as a CSV, and the tables of ROOFLINE.md from that CSV.

Cost: 2 minutes of compilation on one core. Expected: decoding bound by launches until some hundreds
of blocks run together, encoding much earlier by arithmetic or memory.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import math
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import common
import jax
import numpy as np
import provenance
from common import Row
from hlo import Counts, count, parse

from jaxslice.bench.synthetic import synthetic_volume
from jaxslice.codec import payload
from jaxslice.codec.architecture import Architecture
from jaxslice.codec.engines import xla
from jaxslice.codec.geometry import Geometry
from jaxslice.core.box import Triple
from jaxslice.jobs.effort import BATCH_VOXELS as EFFORT_BATCH
from jaxslice.models import model_file
from jaxslice.training.parameters import to_params

DOCUMENT = Path(__file__).parent / "ROOFLINE.md"
BLOCK: Triple = (64, 256, 256)
BATCHES = (1, 64, 512)
TRAINED = (1, 16, 128)
"""Blocks whose networks are trained side by side."""
COLUMNS = (
    "volume", "direction", "blocks", "kernels_per_step", "bytes_per_voxel", "dot_flops_per_voxel",
    "other_ops_per_voxel", "padding", "accelerator", "launch_us", "arithmetic_us", "memory_us",
    "step_us", "mb_per_s", "bound", "fused_mb_per_s", "fused_bound",
    "flops_per_step", "steps_per_s",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Machine:
    """An accelerator, by its maker's figures and by what a launch is assumed to cost.

    Attributes:
      name: as in tables.
      dot_flops: per second of float32 products at HIGHEST precision.
      vector_ops: per second of other 32-bit operations.
      bytes_per_s: of its memory.
      launch_us: of one kernel after the other.
      fused_step_us: assumed least time of a step of the Pallas decoder, where one kernel holds the
        whole loop: dependent layers, 8 halvings and the coder's update, in registers.
      multiprocessors: each runs that kernel for a block at a time, alone; 0 where there is none.
    """

    name: str
    dot_flops: float
    vector_ops: float
    bytes_per_s: float
    launch_us: float
    fused_step_us: float
    multiprocessors: int


MACHINES = (
    Machine("H100, launches", 67e12, 33e12, 3.35e12, 3.0, 2.0, 132),
    Machine("H100, CUDA graphs", 67e12, 33e12, 3.35e12, 1.0, 2.0, 132),
    Machine("TPU v5e", 197e12 / 6, 3e12, 0.819e12, 1.0, 0.0, 0),
)


def step_counts(direction: str, geometry: Geometry, architecture: Architecture) -> Counts:
    """Counts of one time step of a march, all of its blocks together."""
    array, platform = jax.ShapeDtypeStruct, "cpu"
    network = xla.IntegerNetwork(
        tuple(array(layer, np.int8) for layer in architecture.layer_shapes),
        tuple(array((layer[0],), np.int32) for layer in architecture.layer_shapes),
    )
    lanes = geometry.blocks, geometry.lanes
    symbols = array((geometry.num_rows, geometry.blocks, geometry.lane_pitch), np.int16)
    limits = array((geometry.num_rows, *lanes), np.int16)
    words = array((geometry.blocks, payload.most_words(geometry.block_shape)), np.uint32)
    heads, steps = array(lanes, np.uint64), array((), np.int32)
    with jax.enable_x64(True):
        if direction == "encode":
            program = xla.encoder_program(geometry, architecture, False, platform)
            lowered = program.lower(network, symbols, limits, steps)
        else:
            program = xla.decoder_program(geometry, architecture, False, platform)
            lowered = program.lower(network, heads, words, limits, steps)
    computations = parse(lowered.compile().as_text())
    outer = [
        re.search(r"body=%([\w.-]+)", rest)
        for lines in computations.values()
        for _, _, operation, rest in lines
        if operation == "while" and "known_trip_count" not in rest
    ]
    # The one loop whose trips depend on the blocks' extent is that over chunks of time steps.
    if len(outer) != 1 or outer[0] is None:
        raise RuntimeError(f"Got {len(outer)} loops of unknown length, expected one.")
    whole = min(geometry.num_rows * geometry.step_width, math.prod(words.shape))
    chunk = count(computations, outer[0].group(1), whole)
    step = Counts()
    together = geometry.steps_predicted if direction == "encode" else geometry.steps_together
    step.add(chunk, 1 / together)
    return step


def measure(path: str, arguments: argparse.Namespace) -> Iterator[Row]:
    """Yields a row for each direction, batch and machine; the volume is no more than a name."""
    architecture = model_file.load("default").architecture
    block: Triple = (4, 32, 40) if arguments.smoke else BLOCK
    for direction in ("encode", "decode"):
        for blocks in (1, 2) if arguments.smoke else BATCHES:
            geometry_of = Geometry.of_encoder if direction == "encode" else Geometry.of
            geometry = geometry_of(block, architecture, blocks)
            step = step_counts(direction, geometry, architecture)
            voxels = blocks * math.prod(block) / geometry.num_rows
            known = {
                "volume": "model",
                "direction": direction,
                "blocks": blocks,
                "kernels_per_step": step.kernels,
                "bytes_per_voxel": step.bytes / voxels,
                "dot_flops_per_voxel": step.dots / voxels,
                "other_ops_per_voxel": step.others / voxels,
                "padding": geometry.step_width / voxels - 1,
            }
            for machine in MACHINES:
                yield known | predicted(machine, direction, step, voxels, blocks)
            print({k: v if isinstance(v, str) else round(v, 2) for k, v in known.items()})

    for blocks in TRAINED:
        one = training_counts(256 if arguments.smoke else EFFORT_BATCH)
        step = Counts(one.kernels, blocks * one.bytes, blocks * one.dots, blocks * one.others)
        for machine in MACHINES:
            row = predicted(machine, "train", step, blocks, blocks)
            row |= {"steps_per_s": 1e6 * blocks / float(row["step_us"]), "mb_per_s": ""}
            yield {
                "volume": "model", "direction": "train", "blocks": blocks,
                "kernels_per_step": step.kernels, "flops_per_step": one.dots, **row,
            }  # fmt: skip


@functools.cache
def training_counts(voxels: int) -> Counts:
    """Counts of one training step of one network of a block's own."""
    from jaxslice.training import train, training_set

    start = model_file.load("default")
    config = train.TrainingConfig(batch_voxels=voxels)
    data = training_set.prepare([synthetic_volume(common.SMOKE_SHAPE)], start.architecture)
    state = train.initial_state(to_params(start.network), config)
    step = jax.jit(train.train_step, static_argnums=(3, 4))
    lowered = step.lower(state, jax.random.key(0), data, start.architecture, config)
    text = lowered.compile().as_text()
    (entry,) = re.findall(r"^ENTRY %(\S+) ", text, flags=re.MULTILINE)
    return count(parse(text), entry, 1 << 62)


def predicted(machine: Machine, direction: str, step: Counts, voxels: float, blocks: int) -> Row:
    """The model: a step takes the longest of launching, computing and moving bytes.

    The fused kernel is launched once for all steps and keeps what is between in registers; its step
    takes no less than the chain of dependent operations, and each block has one multiprocessor.
    """
    parts = {
        "launches": step.kernels * machine.launch_us,
        "arithmetic": 1e6 * (step.dots / machine.dot_flops + step.others / machine.vector_ops),
        "memory": 1e6 * step.bytes / machine.bytes_per_s,
    }
    bound = max(parts, key=lambda part: parts[part])
    rounds = math.ceil(blocks / machine.multiprocessors) if machine.multiprocessors else 0
    alone = parts["arithmetic"] / blocks * machine.multiprocessors
    fused = {"arithmetic": rounds * alone, "dependencies": rounds * machine.fused_step_us}
    fused_bound = max(fused, key=lambda part: fused[part])
    is_fused = direction == "decode" and rounds > 0
    return {
        "accelerator": machine.name,
        "launch_us": parts["launches"],
        "arithmetic_us": parts["arithmetic"],
        "memory_us": parts["memory"],
        "step_us": parts[bound],
        "mb_per_s": voxels / parts[bound],
        "bound": bound,
        "fused_mb_per_s": voxels / fused[fused_bound] if is_fused else "",
        "fused_bound": fused_bound if is_fused else "",
    }


def table(rows: Sequence[Row], columns: Sequence[tuple[str, str, int]]) -> str:
    """A Markdown table of some columns: (heading, name, digits after the point)."""
    cells = lambda row: (
        f"{float(row[n]):,.{digits}f}" if digits >= 0 and row[n] else row[n]
        for _, n, digits in columns
    )
    lines = [[heading for heading, _, _ in columns], ["---"] * len(columns), *map(cells, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def document(rows: Sequence[Row], text: str) -> str:
    """ROOFLINE.md with its tables replaced."""
    first = MACHINES[0].name
    counts = table(
        [row for row in rows if row["accelerator"] == first and row["direction"] != "train"],
        (("direction", "direction", -1), ("blocks", "blocks", 0),
         ("kernels a step", "kernels_per_step", 1), ("bytes a voxel", "bytes_per_voxel", 0),
         ("dot FLOP a voxel", "dot_flops_per_voxel", 0),
         ("other operations a voxel", "other_ops_per_voxel", 0)),
    )  # fmt: skip
    predictions = table(
        [row for row in rows if row["direction"] != "train"],
        (("machine", "accelerator", -1), ("direction", "direction", -1), ("blocks", "blocks", 0),
         ("launches µs", "launch_us", 1), ("arithmetic µs", "arithmetic_us", 2),
         ("memory µs", "memory_us", 2), ("MB/s", "mb_per_s", 1), ("bound by", "bound", -1),
         ("fused kernel MB/s", "fused_mb_per_s", 1), ("then bound by", "fused_bound", -1)),
    )  # fmt: skip
    training = table(
        [row for row in rows if row["direction"] == "train"],
        (("machine", "accelerator", -1), ("networks at once", "blocks", 0),
         ("kernels a step", "kernels_per_step", 0), ("dot FLOP of each", "flops_per_step", 0),
         ("launches µs", "launch_us", 0), ("arithmetic µs", "arithmetic_us", 1),
         ("memory µs", "memory_us", 1), ("steps a second, of all", "steps_per_s", 0),
         ("bound by", "bound", -1)),
    )  # fmt: skip
    contents = {"counts": counts, "predictions": predictions, "training": training}
    for name, content in contents.items():
        text = replaced(text, name, content)
    return text


def replaced(text: str, name: str, content: str) -> str:
    """A document with the content between the comment `name` and its end replaced."""
    pattern = rf"(<!-- {re.escape(name)} -->\n).*?(<!-- end -->)"
    assert re.search(pattern, text, flags=re.DOTALL), name
    return re.sub(pattern, lambda m: f"{m[1]}\n{content}\n\n{m[2]}", text, flags=re.DOTALL)


def write_document(
    output: Path, committed: Path, document: Callable[[Sequence[Row], str], str]
) -> None:
    """Writes tables: into ROOFLINE.md for the committed CSV, else beside the CSV.

    Args:
      output: the CSV.
      committed: the CSV that the document shows.
      document: the document with its tables replaced, of the rows and the document.
    """
    text = document(common.read_rows(output), DOCUMENT.read_text())
    (DOCUMENT if output == committed else output.with_suffix(".md")).write_text(text)


def main(arguments: Sequence[str] | None = None) -> None:
    """Reads the command line, counts and predicts."""
    parser = common.parser_of("roofline", __doc__, None)
    given = parser.parse_args(arguments)
    output = given.output or common.RESULTS / "roofline.csv"
    if given.smoke and not given.output:
        parser.error("got no --output, expected one with --smoke: its numbers are no results")
    if not given.plot_only:
        measured = list(measure("model", given))
        rows = [common.as_text(row) for row in provenance.stamped(measured)]
        common.write_rows(output, COLUMNS, rows)
    write_document(output, common.RESULTS / "roofline.csv", document)


if __name__ == "__main__":
    main()
