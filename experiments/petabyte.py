"""What does a petabyte take, on 1 to 10,000 workers, and what breaks first?

    python experiments/petabyte.py

A calculation, not a measurement: it takes the speeds that `speed.py` and `scaling.py` measured, and
figures of networks and object stores that are stated below, as published or usual. `--smoke` takes
a terabyte. Cost: a second. Expected: half a day on a thousand cores with shards, and no less on ten
thousand, since the source's requests limit it. With an object for each block the requests cost six
times as much as the cores, one prefix does not take the writes, and sealing lists for hours.

Columns: `objects` stored; `hours` of the whole job, `seal_hours` of them in one process at its end;
`puts`, `gets` of all requests, and the rates that they come at; `limit`: what the time depends on;
`notes_mb`: what job shards leave for the seal; `list_memory_gb`: of a process that held the index
of each object; costs in dollars; `breaks_first`: what would be past its limit, by how much.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import math
from pathlib import Path

import provenance

RESULTS = Path(__file__).parent / "results"
BLOCK_VOXELS = 64 * 256 * 256
CHUNK_BYTES = 64**3
"""Of the source: a chunk is a request."""

WORKERS = (1, 10, 100, 1000, 10_000)
WORKERS_PER_HOST = 16
LAYOUTS = {"a block": 1, "a shard of 128 blocks": 128}
"""What an object holds, and how many blocks that is."""

LATENCY_SECONDS = 0.05
HOST_BYTES_PER_SECOND = 1.25e9
PUTS_PER_SECOND, GETS_PER_SECOND = 3500, 5500
"""Of a prefix, as Amazon states them for S3; a store splits busy prefixes by and by."""

SOURCE_PREFIXES = 16
"""Over which a large source has been split."""

KEYS_PER_LISTING, LISTING_SECONDS = 1000, 0.1
PRICE_PER_1000_PUTS, PRICE_PER_1000_GETS = 0.005, 0.0004
PRICE_PER_CORE_HOUR, PRICE_PER_GB_MONTH = 0.04, 0.023
INDEX_MEMORY_BYTES = 200
"""Of an index of three integers in a Python list."""

NOTE_BYTES_PER_BLOCK, NOTE_BYTES_PER_SECOND = 92, 30e6
"""Of the leaf of a block in the note of a job shard, as JSON; and how fast that is read."""

POLL_SECONDS, POLL_REQUESTS = 15, 3
"""Mean of a process that waits for the network, once it has waited for a while."""

MEMORY_GB = 16
"""Of the process that seals."""


@dataclasses.dataclass(frozen=True)
class Speeds:
    """What was measured: megabytes per CPU second, bits per voxel, seconds of fitting."""

    encode: float
    decode: float
    bits_per_voxel: float
    fit_seconds: float


def measured() -> Speeds:
    """Means over the volumes of `speed.csv`; fitting from `scaling.csv`."""
    with open(RESULTS / "speed.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if "native" in row["codec"]]

    def mean(column: str) -> float:
        return sum(float(row[column]) for row in rows) / len(rows)

    with open(RESULTS / "scaling.csv", newline="") as file:
        small, large = [row for row in csv.DictReader(file) if row["direction"] == "compress"][:2]
    seconds, size = (
        [float(row[name]) for row in (small, large)] for name in ("seconds", "megabytes")
    )
    # What remains of a run of size 0.
    fit = seconds[0] - size[0] * (seconds[1] - seconds[0]) / (size[1] - size[0])
    return Speeds(
        mean("encode_mb_per_cpu_s"), mean("decode_mb_per_cpu_s"), mean("bits_per_voxel"), fit
    )


def simulate(voxels: float, workers: int, layout: str, speeds: Speeds) -> dict[str, object]:
    """One row: a volume of 8-bit voxels by so many workers of one core."""
    blocks = math.ceil(voxels / BLOCK_VOXELS)
    per_object = LAYOUTS[layout]
    objects = math.ceil(blocks / per_object)
    stored = voxels * speeds.bits_per_voxel / 8
    # Every block is decoded again before it is stored.
    block_seconds = BLOCK_VOXELS / 1e6 * (1 / speeds.encode + 1 / speeds.decode)
    gets, puts = voxels / CHUNK_BYTES, objects + 4 * workers
    hosts = math.ceil(workers / WORKERS_PER_HOST)
    # Two readers wait for each worker.
    waiting = gets / (2 * 16 * workers) * LATENCY_SECONDS
    times = {
        "cores": math.ceil(objects / workers) * per_object * block_seconds,
        "network": (voxels + stored) / (hosts * HOST_BYTES_PER_SECOND),
        "reads of the source": max(waiting, gets / (SOURCE_PREFIXES * GETS_PER_SECOND)),
        "writes of a prefix": puts / PUTS_PER_SECOND,
    }
    limit = max(times, key=times.__getitem__)
    listing = objects / KEYS_PER_LISTING * LISTING_SECONDS
    notes = blocks * NOTE_BYTES_PER_BLOCK if workers > 1 else 0
    seal = listing + notes / NOTE_BYTES_PER_SECOND if workers > 1 else 0.0
    seconds = times[limit] + speeds.fit_seconds + seal
    memory_gb = objects * INDEX_MEMORY_BYTES / 1e9
    strains = {
        "writes to one prefix": puts / times[limit] / PUTS_PER_SECOND,
        "reads of the source": gets / times[limit] / (SOURCE_PREFIXES * GETS_PER_SECOND),
        "memory for the index of objects": memory_gb / MEMORY_GB,
        "listing when sealed, beside the job": listing / times[limit] if workers > 1 else 0.0,
        "polling for the network": workers * POLL_REQUESTS / POLL_SECONDS / GETS_PER_SECOND,
    }
    worst = max(strains, key=strains.__getitem__)
    requests = puts / 1000 * PRICE_PER_1000_PUTS + gets / 1000 * PRICE_PER_1000_GETS
    cores = (times[limit] + speeds.fit_seconds) * workers / 3600 * PRICE_PER_CORE_HOUR
    return {
        "terabytes": round(voxels / 1e12, 3), "workers": workers, "object": layout,
        "blocks": blocks, "objects": objects, "hours": round(seconds / 3600, 2),
        "seal_hours": round(seal / 3600, 3), "limit": limit, "puts": round(puts),
        "gets": round(gets), "puts_per_s": round(puts / times[limit], 1),
        "gets_per_s": round(gets / times[limit], 1), "notes_mb": round(notes / 1e6),
        "list_memory_gb": round(memory_gb, 2), "stored_tb": round(stored / 1e12, 2),
        "cores_dollars": round(cores), "requests_dollars": round(requests),
        "storage_dollars_month": round(stored / 1e9 * PRICE_PER_GB_MONTH),
        "breaks_first": f"{worst}: {strains[worst]:.2g} of the limit",
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=RESULTS / "petabyte.csv")
    parser.add_argument("--smoke", action="store_true", help="a terabyte")
    options = parser.parse_args()
    voxels, speeds = (1e12 if options.smoke else 1e15), measured()
    rows = provenance.stamped(
        [simulate(voxels, workers, layout, speeds) for layout in LAYOUTS for workers in WORKERS]
    )
    options.output.parent.mkdir(parents=True, exist_ok=True)
    with open(options.output, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
