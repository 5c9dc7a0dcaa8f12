"""Measures whether this machine is exact and how fast it is, at several efforts and batch sizes.

Speeds are of coding alone on the wall clock, after compilation and training, with all workers busy:
the volume is repeated in memory until each worker has enough batches. Peers on one thread are timed
in CPU seconds. Archives are written to a temporary folder. Rates count every byte of every object
of the archive.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxslice.bench import peers, report, speed
from jaxslice.bench.figures import load_matplotlib
from jaxslice.bench.synthetic import synthetic_volume
from jaxslice.bench.writable import check_file
from jaxslice.codec import block, payload, probe
from jaxslice.codec.engines.interface import AUTO, engine_named
from jaxslice.core.box import Triple
from jaxslice.core.errors import DeviceError, UsageError
from jaxslice.core.machine import num_cores
from jaxslice.core.progress import Progress
from jaxslice.core.types import Volume
from jaxslice.jobs.effort import FAST
from jaxslice.jobs.options import CompressOptions
from jaxslice.models import model_file
from jaxslice.volumes.source import Source, open_source

PEER_CHOICES = ("quick", "all", "none")
SYNTHETIC_SHAPE: Triple = (64, 512, 512)
EXACTNESS_SHAPE: Triple = (8, 48, 64)
"""The largest patches of the volume that are encoded in several ways to compare the bytes."""


def bench(
    source: str | Source | None = None,
    *,
    efforts: Sequence[int | str] = (FAST, 0, 1),
    batches: Sequence[int | str] | None = None,
    with_peers: str = "quick",
    output: str | None = None,
    plot: str | None = None,
    options: CompressOptions = CompressOptions(),  # noqa: B008 - frozen
    progress: Progress | None = None,
    synthetic_shape: Triple = SYNTHETIC_SHAPE,
) -> dict[str, Any]:
    """Checks that this machine computes exactly, and measures rates and speeds on a volume.

    Args:
      source: a volume that fits into memory; a synthetic one if None.
      efforts: to measure; efforts that cannot run are skipped, with the reason.
      batches: numbers of blocks that run together; None for numbers that suit the machine.
      with_peers: "quick" for the codecs of `peers.peers`, "all" or "none".
      output: CSV to write.
      plot: PNG to draw from that CSV.
      options: all but `effort`, `verify`, `overwrite` and `batch_blocks` are used.
      progress: called with the part, the steps done and their total.
      synthetic_shape: of the synthetic volume.

    Returns:
      A JSON object: the machine, the results of the checks, `rows` and `skipped` efforts.

    Raises:
      DeviceError: the bytes differ between batch sizes, from the CPU's, or from the format's.
      UsageError: an argument that cannot be used, or an output that cannot be written.
      MissingExtraError: a package for peers or plots is not installed.
    """
    numbers, together, chosen = _checked(efforts, batches, with_peers, output, plot)
    notify = progress or (lambda part, done, total: None)
    described = source.description if isinstance(source, Source) else source or "synthetic"
    with tempfile.TemporaryDirectory(prefix="jaxslice-bench-") as folder:
        scratch = Path(folder)
        if source is None:
            source = str(scratch / "synthetic.npy")
            np.save(source, synthetic_volume(synthetic_shape, options.seed))
        volume = open_source(
            source, bbox=options.bbox, scale=options.scale, missing=options.missing
        )
        voxels = volume.read(volume.box)
        exactness = check_exact(voxels, options.engine)
        rows, skipped = _our_rows(volume, voxels, numbers, together, options, scratch, notify)
    chosen = [peer for peer in chosen if peer.sixteen_bits or voxels.dtype == np.uint8]
    for done, peer in enumerate(chosen):
        notify("peers", done, len(chosen))
        rows += _peer_rows(peer, voxels)
    if output:
        report.write_csv(output, rows)
    if output and plot:
        report.draw(output, plot)
    return {
        **_machine(options.engine),
        "source": described,
        "shape": list(voxels.shape),
        "exactness": exactness,
        "skipped": skipped,
        "rows": rows,
        "csv": output,
        "plot": plot,
    }


def _machine(engine: str) -> dict[str, Any]:
    devices = jax.local_devices()
    return {
        "device": f"{len(devices)} x {devices[0].device_kind} ({devices[0].platform})",
        "cores": os.cpu_count(),
        "jax": jax.__version__,
        "engine": engine_named(engine).name,
    }


def _our_rows(
    volume: Source,
    voxels: Volume,
    efforts: Sequence[int | str],
    batches: Sequence[int],
    options: CompressOptions,
    scratch: Path,
    notify: Progress,
) -> tuple[list[speed.Row], dict[str, str]]:
    """The rows of the efforts, and for each effort that cannot run the reason."""
    rows: list[speed.Row] = []
    skipped: dict[str, str] = {}
    for effort in efforts:
        try:
            chosen = dataclasses.replace(
                options, effort=effort, verify="none", overwrite=True, batch_blocks=None
            )
            rows += speed.effort_rows(volume, voxels, chosen, batches, scratch, notify)
        except UsageError as error:
            skipped[str(effort)] = str(error)
    return rows, skipped


def check_exact(voxels: Volume, engine: str = AUTO) -> dict[str, Any]:
    """Encodes patches of a volume in every available way, and compares the bytes.

    Raises:
      DeviceError: bytes differ, or do not decode to the voxels.
    """
    probe.check_devices(engine)
    model = model_file.load("default").model.of_voxels(voxels.dtype)
    shape = tuple(min(n, most) for n, most in zip(voxels.shape, EXACTNESS_SHAPE, strict=True))
    starts = [tuple(part * (n - s) // 2 for n, s in zip(voxels.shape, shape, strict=True))
              for part in range(3)]  # fmt: skip
    patches = [voxels[tuple(slice(a, a + s) for a, s in zip(start, shape, strict=True))].copy()
              for start in starts]  # fmt: skip
    patches[-1] = speed.edge_of(patches[-1])
    expected = [block.encode_block(patch, model, engine=engine) for patch in patches]
    ways: list[tuple[str, Any]] = [(f"{len(patches)} blocks at once", None)]
    if jax.default_backend() != "cpu":
        ways.append(("the CPU", jax.devices("cpu")[0]))
    decode = lambda data, device: block.decode_blocks(
        data, patches[0].shape, model, device, engine=engine
    )
    for name, device in ways:
        if block.encode_blocks(patches, model, device, engine=engine) != expected:
            raise DeviceError(f"Got other bytes from {name}, expected those of single blocks.")
        if not all(map(np.array_equal, decode(expected, device), patches)):
            raise DeviceError(f"Got other voxels from {name}, expected those encoded.")
    if not all(
        np.array_equal(decode([d], None)[0], p) for d, p in zip(expected, patches, strict=True)
    ):
        raise DeviceError("Got other voxels from single blocks, expected those encoded.")
    modes = [payload.unpack(data, patches[0].shape, voxels.dtype).mode for data in expected]
    return {
        "probe": "passed",
        "same_bytes": ["single blocks", *(name for name, _ in ways)],
        "coded_blocks": sum(mode == payload.CODED for mode in modes),
    }


def _checked(
    efforts: Sequence[int | str],
    batches: Sequence[int | str] | None,
    with_peers: str,
    output: str | None,
    plot: str | None,
) -> tuple[list[int | str], list[int], list[peers.Peer]]:
    """Efforts, batches and peers; refuses what cannot be done before any work starts."""
    if with_peers not in PEER_CHOICES:
        raise UsageError(f"Got peers {with_peers!r}, expected one of {PEER_CHOICES}.")
    if batches is None:
        batches = (1, 4) if jax.default_backend() == "cpu" else (1, 16, 64)
    try:
        numbers = [part if part == FAST else int(part) for part in efforts]
        together = [int(part) for part in batches]
    except ValueError:
        raise UsageError(
            f"Got efforts {list(efforts)} and batches {list(batches)}, expected whole numbers, or "
            f"the effort {FAST!r}."
        ) from None
    if not together or min(together) < 1:
        raise UsageError(f"Got batches {together}, expected numbers of at least 1.")
    if plot and not output:
        raise UsageError("Got a plot without an output, expected the CSV that it is drawn from.")
    if plot:
        load_matplotlib()
    for path in filter(None, (output, plot)):
        check_file(path)
    makers = {"quick": peers.peers, "all": peers.all_peers, "none": list}
    return numbers, together, makers[with_peers]()


def _peer_rows(peer: peers.Peer, voxels: Volume) -> Iterator[speed.Row]:
    """Measures a peer with one thread and, slice by slice, with one for each core."""
    result = peers.measure_peer(peer, voxels)
    row = {"codec": peer.name, "note": result.note}
    if result.note:
        yield row
        return
    megabytes = voxels.nbytes / 1e6
    row |= {"bits_per_voxel": result.bits_per_voxel, "lossless": result.lossless}
    yield row | {
        "threads": 1,
        "encode_mb_per_s": megabytes / result.encode_seconds,
        "decode_mb_per_s": megabytes / result.decode_seconds,
    }
    cores = num_cores()
    if peer.whole_volume or cores == 1:
        return
    encode_seconds, decode_seconds = peers.seconds_together(peer, voxels, cores, speed.PASSES)
    yield row | {
        "threads": cores,
        "encode_mb_per_s": megabytes / encode_seconds,
        "decode_mb_per_s": megabytes / decode_seconds,
    }
