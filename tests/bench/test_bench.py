"""`bench`: what it finds exact, what it measures, and what it makes of it."""

import csv
import importlib.metadata
import json
import threading

import jax
import numpy as np
import pytest

from jaxslice.bench import bench, compilations, provenance, report, speed
from jaxslice.bench.synthetic import synthetic_volume
from jaxslice.codec import block, probe
from jaxslice.core.box import Box
from jaxslice.core.errors import DeviceError, MissingExtraError, UsageError
from jaxslice.core.placement import Placement
from jaxslice.jobs.options import CompressOptions
from jaxslice.volumes.interface import Source

SHAPE = (8, 30, 40)
OPTIONS = CompressOptions(block_shape=(4, 16, 40), workers=2, training_steps=5, engine="xla")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A report of everything at its smallest."""
    folder = tmp_path_factory.mktemp("bench")
    return bench.bench(
        efforts=("0", 9),
        batches=[2],
        output=str(folder / "bench.csv"),
        plot=str(folder / "bench.png"),
        options=OPTIONS,
        synthetic_shape=SHAPE,
    )


def test_the_report(made):
    assert json.loads(json.dumps(made)) == made
    assert made["shape"] == list(SHAPE)
    assert made["exactness"]["coded_blocks"] > 0
    assert list(made["skipped"]) == ["9"]
    assert "effort 9, expected" in made["skipped"]["9"]
    ours = [row for row in made["rows"] if row["codec"] == "jaxslice effort 0"]
    assert [(row["batch"], row["threads"]) for row in ours] == [(2, 1), (2, 2)]
    for row in ours:
        assert row["lossless"] is True
        assert (row["programs"], row["programs_for_edges"]) == (2, 0)
        assert row["train_seconds"] == 0
        for field in ("encode_mb_per_s", "decode_mb_per_s", "compile_seconds", "bits_per_voxel",
                      "encode_share_of_peak", "decode_share_of_peak"):  # fmt: skip
            assert row[field] > 0
    theirs = {row["codec"]: row for row in made["rows"] if row not in ours}
    assert theirs["PNG"]["lossless"] is True
    assert len(theirs) >= 5


def test_the_csv_and_the_plot(made, capsys):
    with open(made["csv"], newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == report.COLUMNS
    for row in rows:
        assert all(row[column] for column in provenance.COLUMNS)
        assert row["commit"].startswith(importlib.metadata.version("jaxslice"))
    assert [row["codec"] for row in rows] == [row["codec"] for row in made["rows"]]
    with open(made["plot"], "rb") as file:
        assert file.read(8) == b"\x89PNG\r\n\x1a\n"
    report.print_bench(made)
    printed = capsys.readouterr().out
    for text in ("bits per voxel", "JPEG-LS", "share", "Exact: start-up probe passed", "Effort 9"):
        assert text in printed


def test_compilations_are_counted():
    from models_for_tests import TINY, random_network

    model = block.Model(TINY, random_network(TINY, seed=2, spread=2))
    jax.clear_caches()
    with compilations.counted_compilations() as first:
        block.compile_for((4, 8, 12), TINY, 1, engine="xla")
    assert first.number == 2
    with compilations.counted_compilations() as again:
        block.encode_block(np.zeros((4, 8, 12), np.uint8), model, engine="xla")
    assert again.number == 0
    with compilations.counted_compilations() as other_shape:
        block.encode_block(synthetic_volume((4, 8, 10)), model, engine="xla")
    assert other_shape.number > 0
    assert first.number == 2


def test_networks_of_blocks_own_are_taken_from_the_archive(tmp_path):
    path, archive = str(tmp_path / "v.npy"), str(tmp_path / "a.zarr")
    np.save(path, synthetic_volume((4, 20, 24)))
    from jaxslice.archive.store import open_archive
    from jaxslice.jobs.compress import compress

    compress(path, archive, CompressOptions(effort=0, block_shape=(4, 10, 24)))
    opened = open_archive(archive)
    stored = speed.StoredNetworks.of(opened)
    indices = [(0, 0, 0), (0, 1, 0)]
    assert stored.differences(opened, indices, [], threading.Event()) == [None] * 2


def test_repeats_until_every_worker_has_a_batch():
    voxels = synthetic_volume((5, 8, 9))
    placement = Placement((1, 1, 1), (0, 0, 0))
    volume = Source("here", Box.of_shape(voxels.shape), placement, lambda _box: voxels)
    many, times = speed.repeated(volume, voxels, (4, 8, 9), 2, needed=5)
    assert (times, many.shape) == (3, (24, 8, 9))
    second = many.read(Box((12, 2, 1), (16, 7, 9)))
    np.testing.assert_array_equal(second[0], voxels[4, 2:7, 1:9])
    assert not second[1:].any()


def test_16_bits_are_checked_and_repeated():
    voxels = synthetic_volume(SHAPE).astype(np.uint16) * 40
    assert bench.check_exact(voxels)["coded_blocks"] > 0
    box = Box.of_shape(SHAPE)
    volume = Source("here", box, Placement((1, 1, 1), box.start), lambda _box: voxels)
    many, _ = speed.repeated(volume, voxels, (4, 30, 40), 2, needed=4)
    assert many.dtype == np.uint16


def test_exactness_can_fail(monkeypatch):
    voxels = synthetic_volume(SHAPE)
    assert bench.check_exact(voxels)["probe"] == "passed"
    together = block.encode_blocks

    def changed(blocks, model, device=None, **options):
        made = together(blocks, model, device, **options)
        return made if len(made) == 1 else [data[:-1] + b"?" for data in made]

    monkeypatch.setattr(block, "encode_blocks", changed)
    with pytest.raises(DeviceError, match="other bytes from 3 blocks at once"):
        bench.check_exact(voxels)
    monkeypatch.undo()
    monkeypatch.setattr(probe, "_EXPECTED_CRC", 1)
    probe.check_device.cache_clear()
    with pytest.raises(DeviceError, match="start-up probe"):
        bench.check_exact(voxels)


def test_the_peak_counts_every_thread():
    assert speed.product_rate(1, repeats=1) > 1e8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batches": [0]}, "batches \\[0\\], expected"),
        ({"efforts": ["x"]}, "efforts \\['x'\\]"),
        ({"with_peers": "some"}, "peers 'some', expected"),
        ({"plot": "p.png"}, "a plot without an output"),
        ({"source": "nowhere.npy"}, "no such file"),
        ({"output": "/dev/null/b.csv"}, "expected a folder"),
        ({"output": "/"}, "which is a folder, expected a file"),
    ],
)
def test_usage_errors(arguments, message):
    with pytest.raises(UsageError, match=message):
        bench.bench(**{"with_peers": "none", **arguments})


def test_a_plot_needs_matplotlib(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"jaxslice\[bench\]"):
        bench.bench(output="b.csv", plot="b.png", with_peers="none")
