"""Do all engines, batch sizes and numbers of devices make and read the same bytes?

    python experiments/matrix_engines.py
    python experiments/matrix_engines.py --smoke --output=/tmp/matrix_engines.csv

Small archives of three kinds are made once by the engine of this machine. Each engine then encodes
all of their blocks again, and decodes them, in batches of several sizes; with 8 devices, one batch
after the other runs on each. Pallas is interpreted on a CPU, which is what is tested here; it only
decodes blocks of 8 bits itself. The reference decodes whole archives.

Cost: 10 minutes on 2 cores, most of it to compile for XLA. Expected: every row says `yes` twice.

Columns: kind of archive; engine; devices; blocks in a batch; whether the encoded bytes are those of
the archive (empty where the engine only decodes); whether the decoded voxels are those of the
volume; blocks.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import common
import numpy as np
import provenance
from common import Row

import jaxslice
from jaxslice import reference
from jaxslice.archive.model import model_of
from jaxslice.archive.store import Archive, open_archive
from jaxslice.bench.synthetic import synthetic_volume
from jaxslice.codec.block import decode_blocks, encode_blocks
from jaxslice.codec.engines.interface import engine_named

COLUMNS = ("archive", "engine", "devices", "batch", "encodes_same", "decodes_same", "blocks")
SHAPE, BLOCK_SHAPE = (8, 48, 64), (4, 24, 16)
KINDS = {"networks": (0, 1), "linear predictors": ("fast", 1), "16 bits": (0, 257)}
"""Kind of archive -> effort, and what voxels are multiplied by; more than 1 makes them 16 bits."""

RUNS = {
    1: {"native": (1, 3, 16), "xla": (1, 3, 16), "pallas": (1, 4), "reference": (1,)},
    8: {"native": (2,), "xla": (2,)},
}
"""Number of devices -> engine -> sizes of batches."""

SMOKE_RUNS = {1: {"native": (3,), "reference": (1,)}}


def made(kind: str, folder: str) -> tuple[str, np.ndarray]:
    """Makes an archive of a kind; its path, and the voxels."""
    effort, factor = KINDS[kind]
    voxels = synthetic_volume(SHAPE, seed=1)
    if factor > 1:
        voxels = voxels.astype(np.uint16) * np.uint16(factor)
    place = f"{folder}/{effort}_{factor}.zarr"
    options = jaxslice.CompressOptions(effort=effort, block_shape=BLOCK_SHAPE)
    jaxslice.compress(voxels, place, options)
    return place, voxels


def coded(archive: Archive, voxels: np.ndarray, engine: str, batch: int) -> Row:
    """Codes all blocks of an archive by one engine."""
    found, configuration = engine_named(engine), archive.configuration
    devices = found.devices()
    model = model_of(configuration, engine)
    indices = list(archive.blocks())
    same_bytes, same_voxels = True, True
    for number, start in enumerate(range(0, len(indices), batch)):
        device = devices[number % len(devices)]
        group = indices[start : start + batch]
        blocks = [voxels[archive.box_of(index).slices] for index in group]
        payloads = [archive.read_payload(index) for index in group]
        places = [archive.place_of(index) for index in group]
        again = encode_blocks(blocks, model, device, places=places, engine=engine)
        same_bytes &= again == payloads
        decoded = decode_blocks(
            payloads, archive.block_shape, model, device, places=places, engine=engine
        )
        pairs = zip(decoded, blocks, strict=True)
        same_voxels &= all(np.array_equal(one, other) for one, other in pairs)
    return {"encodes_same": _word(same_bytes), "decodes_same": _word(same_voxels),
            "blocks": len(indices)}  # fmt: skip


def rows_of(runs: dict[str, tuple[int, ...]], devices: int) -> Iterator[Row]:
    """Rows of this process, which has a number of devices."""
    with tempfile.TemporaryDirectory() as folder:
        for kind in KINDS:
            place, voxels = made(kind, folder)
            archive = open_archive(place)
            for engine, batches in runs.items():
                for batch in batches:
                    row = {"archive": kind, "engine": engine, "devices": devices, "batch": batch}
                    if engine == "reference":
                        output = f"{folder}/decoded.npy"
                        reference.decode_array(f"{place}/0", output)
                        same = np.array_equal(np.load(output), voxels)
                        blocks = len(list(archive.blocks()))
                        yield row | {"decodes_same": _word(same), "blocks": blocks}
                    elif engine != "pallas" or voxels.dtype == np.uint8:
                        yield row | coded(archive, voxels, engine, batch)


def _word(same: bool) -> str:
    return "yes" if same else "no"


def rows_with(devices: int) -> list[Row]:
    """Rows of a process of its own, since JAX takes the number of devices when it starts."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    done = subprocess.run(
        [sys.executable, __file__, f"--devices={devices}"], stdout=subprocess.PIPE, check=True,
        text=True, env={**os.environ, "XLA_FLAGS": flags.strip()},
    )  # fmt: skip
    return json.loads(done.stdout)


def main(arguments: list[str] | None = None) -> None:
    """Measures into `matrix_engines.csv`."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, default=common.RESULTS / "matrix_engines.csv")
    parser.add_argument("--smoke", action="store_true", help="two engines, in this process")
    parser.add_argument("--devices", type=int, help="print the rows of this process as JSON")
    options = parser.parse_args(arguments)
    if options.devices:
        print(json.dumps(list(rows_of(RUNS[options.devices], options.devices))))
        return
    if options.smoke:
        rows = list(rows_of(SMOKE_RUNS[1], 1))
    else:
        rows = [row for devices in RUNS for row in rows_with(devices)]
    common.write_rows(options.output, COLUMNS, provenance.stamped(rows))


if __name__ == "__main__":
    main()
