"""`log_blocks`: one record for each block, also of a run that goes on with another's work."""

import json
from dataclasses import replace

import pytest
from small_volume import OPTIONS
from test_resume import interrupt

import jaxslice
from jaxslice.archive.store import open_archive
from jaxslice.core.errors import UsageError

FAST = replace(OPTIONS, workers=1, effort="fast", training_steps=None)


@pytest.mark.parametrize("shard_shape", [None, (4, 32, 32)])
def test_every_block_has_a_record(small_volume, tmp_path, shard_shape):
    place, log = str(tmp_path / "a.zarr"), tmp_path / "blocks.jsonl"
    options = replace(FAST, shard_shape=shard_shape, log_blocks=str(log))
    report = jaxslice.compress(small_volume.path, place, options)
    records = [json.loads(line) for line in log.read_text().splitlines()]
    archive = open_archive(place)
    assert sorted(tuple(r["index"]) for r in records) == list(archive.blocks())
    for record in records:
        index = tuple(record["index"])
        assert record["box"] == str(archive.box_of(index))
        assert record["bytes"] == len(archive.read_payload(index))
        assert record["bits_per_voxel"] == round(8 * record["bytes"] / record["voxels"], 5)
        assert record["network"] == "base"
    parts = ["read", "encode", "verify"] + ([] if shard_shape else ["write"])
    for part in parts:
        taken = sum(record["seconds"][part] for record in records)
        assert 0 < taken <= report.seconds[part] + 0.01
        # Fitting reads as well.
        assert part == "read" or taken == pytest.approx(report.seconds[part], abs=0.01)


def test_the_log_goes_on_where_a_run_was_killed(small_volume, tmp_path, monkeypatch):
    place, log = str(tmp_path / "a.zarr"), tmp_path / "blocks.jsonl"
    options = replace(FAST, log_blocks=str(log))
    interrupt(small_volume.path, place, monkeypatch, options=options)
    assert len(log.read_text().splitlines()) == 5
    with log.open("a") as file:
        file.write('{"index": [0, 0')
    other = replace(options, log_blocks=str(tmp_path / "blocks.jsonl"), workers=2)
    jaxslice.compress(small_volume.path, place, other)
    lines = log.read_text().splitlines()
    assert len(lines) == 19
    records = [json.loads(line) for line in lines if line.endswith("}")]
    assert len({tuple(record["index"]) for record in records}) == 18


def test_a_log_that_cannot_be_written(small_volume, tmp_path):
    options = replace(FAST, log_blocks=str(tmp_path / "none" / "log"))
    with pytest.raises(UsageError, match="log of blocks"):
        jaxslice.compress(small_volume.path, str(tmp_path / "a.zarr"), options)
