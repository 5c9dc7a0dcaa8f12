"""Damages small archives in every way and counts what each reader makes of it.

    python experiments/damage.py
    python experiments/damage.py --every=50 --output=/tmp/damage.csv

Small archives of every mode are written: constant, stored, coded, networks of blocks' own, repeated
slices, the linear predictor, 16 bits. Then, one at a time, a bit of an object is flipped, an object
is cut short, deleted or written twice, two blocks are exchanged, one is copied over another, or a
block is replaced by that of another archive, or of an earlier run of the same identity. Each
reader reads the archive: `jaxslice.open`, `jaxslice.decompress`, `jaxslice.verify`, the reference
decoder, and zarr.

An outcome is `refused` (an error of ours), `right` (the voxels of the source), `wrong` (other
voxels), `foreign` (any other exception; of zarr those of its own are counted as `zarr_refused`).
FORMAT.md says what a reader cannot know: zarr is not told the index of a chunk, nor anything of the
group, and `open` does not read whole layers. These trials are counted in the column `unknowable`.

Cost: an hour on one core, two minutes with --every=31. Expected: `wrong` and `foreign` are 0
everywhere.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import csv
import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import provenance
import zarr
from damage_archives import Sample, samples

import jaxslice
from jaxslice import reference

OUTPUT = Path(__file__).parent / "results" / "damage.csv"
OUTCOMES = ("right", "refused", "zarr_refused", "wrong", "foreign", "unknowable")
COLUMNS = ("archive", "damage", "reader", "trials", *OUTCOMES)

CANNOT_KNOW = {
    "zarr": {"swap", "copy", "stale", "flip of array", "flip of group"},
    "open": {"stale"},
}
"""Reader -> kinds of damage that it may not notice, as FORMAT.md, section 8, says."""

SLOW = 10
"""The reference decoder takes each tenth of the trials that the others take."""


class Damage(NamedTuple):
    """A change of some objects.

    Attributes:
      kind: for the CSV.
      objects: key -> new bytes, or None for an object that is deleted.
    """

    kind: str
    objects: dict[str, bytes | None]


def damages(sample: Sample, every: int) -> Iterator[Damage]:
    """All damages of an archive, each `every`-th of the many."""
    objects = sample.objects
    blocks = sorted(key for key in objects if "/c/" in key)
    what = {"zarr.json": "group", "0/zarr.json": "array"}
    flips = ((key, bit) for key in objects for bit in range(8 * len(objects[key])))
    for key, bit in itertools.islice(flips, 0, None, every):
        data = bytearray(objects[key])
        data[bit // 8] ^= 1 << bit % 8
        yield Damage(f"flip of {what.get(key, 'block')}", {key: bytes(data)})
    cuts = ((key, size) for key in objects for size in range(len(objects[key])))
    for key, size in itertools.islice(cuts, 0, None, every):
        yield Damage("cut", {key: objects[key][:size]})
    for key in objects:
        yield Damage("deletion", {key: None})
    for a, b in itertools.permutations(blocks, 2):
        yield Damage("copy", {a: objects[b]})
        if a < b:
            yield Damage("swap", {a: objects[b], b: objects[a]})
    for key in blocks:
        yield Damage("block of another archive", {key: sample.other[key]})
        yield Damage("stale", {key: sample.earlier[key]})
        yield Damage("duplicate", {key.rpartition("/")[0] + "/99": objects[key]})


def opened(sample: Sample) -> np.ndarray:
    """Through `jaxslice.open`."""
    return jaxslice.open(sample.folder)[...]


def decompressed(sample: Sample) -> np.ndarray:
    """Through `jaxslice.decompress`."""
    with tempfile.TemporaryDirectory() as scratch:
        target = f"{scratch}/out.npy"
        jaxslice.decompress(str(sample.folder), target, workers=1)
        return np.load(target)


def verified(sample: Sample) -> np.ndarray:
    """Through `jaxslice.verify`; if it finds nothing, what an archive that is right holds."""
    jaxslice.verify(str(sample.folder), workers=1)
    with contextlib.suppress(Exception):
        return opened(sample)
    return np.zeros(0, np.uint8)


def referred(sample: Sample) -> np.ndarray:
    """Through the reference decoder."""
    with tempfile.TemporaryDirectory() as scratch:
        target = f"{scratch}/out.npy"
        reference.decode_array(sample.folder / "0", target)
        return np.load(target)


def through_zarr(sample: Sample) -> np.ndarray:
    """Through zarr alone."""
    return zarr.open_array(sample.folder / "0", mode="r")[...]


READERS: dict[str, Callable[[Sample], np.ndarray]] = {
    "open": opened,
    "decompress": decompressed,
    "verify": verified,
    "reference": referred,
    "zarr": through_zarr,
}


def outcome_of(reader: str, damage: Damage, sample: Sample) -> str:
    """What a reader makes of the archive as it is."""
    in_blocks = any("/c/" in key for key in damage.objects)
    try:
        voxels = READERS[reader](sample)
    except (jaxslice.FormatError, jaxslice.UsageError):
        return "refused"
    except Exception:
        # zarr reads the metadata itself.
        return "zarr_refused" if reader == "zarr" and not in_blocks else "foreign"
    if voxels.dtype == sample.voxels.dtype and np.array_equal(voxels, sample.voxels):
        return "right"
    known = damage.kind not in CANNOT_KNOW.get(reader, set())
    return "wrong" if known else "unknowable"


def measure(sample: Sample, every: int) -> Iterator[dict[str, object]]:
    """The rows of an archive."""
    counts: dict[tuple[str, str], collections.Counter[str]] = collections.defaultdict(
        collections.Counter
    )
    for number, damage in enumerate(damages(sample, every)):
        with sample.changed(damage.objects):
            for reader in READERS:
                many = damage.kind.startswith(("flip", "cut"))
                if reader != "reference" or not many or number % SLOW == 0:
                    outcome = outcome_of(reader, damage, sample)
                    counts[damage.kind, reader][outcome] += 1
    for (kind, reader), found in sorted(counts.items()):
        numbers = {outcome: found[outcome] for outcome in OUTCOMES}
        names = {"archive": sample.name, "damage": kind, "reader": reader}
        yield names | {"trials": found.total()} | numbers


def main(arguments: list[str] | None = None) -> None:
    """Measures all samples into the CSV."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--every", type=int, default=1, help="of the flips and cuts")
    parser.add_argument("--only", nargs="*", help="names of archives")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch, options.output.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*COLUMNS, *provenance.COLUMNS])
        writer.writeheader()
        for sample in samples(Path(scratch), options.only):
            writer.writerows(provenance.stamped(list(measure(sample, options.every))))
            file.flush()
            print(sample.name, flush=True)


if __name__ == "__main__":
    main()
