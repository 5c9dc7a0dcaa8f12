"""`--metrics_file`: what Prometheus reads of a job."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from jaxslice.cli import metrics
from jaxslice.cli.metrics import Metrics


def read(path) -> dict:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(path.read_text())
        for sample in family.samples
    }


def test_the_file_follows_the_progress(tmp_path):
    path, now, passed = tmp_path / "job.prom", [100.0], []
    job = Metrics(str(path), "compress", lambda *done: passed.append(done), lambda: now[0])
    assert read(path)["jaxslice_state", "compress"] == 0
    job("train (4.9 bits per voxel)", 1, 8)
    assert ("jaxslice_done", "compress", "train") not in read(path), "not yet due"
    now[0] = 111.0
    job("train (4.9 bits per voxel)", 2, 8)
    found = read(path)
    assert found["jaxslice_done", "compress", "train"] == 2
    assert found["jaxslice_total", "compress", "train"] == 8
    assert found["jaxslice_begun_timestamp_seconds", "compress"] == 100
    assert found["jaxslice_updated_timestamp_seconds", "compress"] == 111
    assert found["jaxslice_peak_memory_bytes", "compress"] > 1e6
    assert len(passed) == 2


def test_the_end_of_a_command(jaxslice, small_archive, tmp_path, monkeypatch):
    path = tmp_path / "job.prom"
    code, _, err = jaxslice("verify", small_archive, f"--metrics_file={path}")
    assert code == 0, err
    found = read(path)
    assert found["jaxslice_state", "verify"] == 1
    assert found["jaxslice_done", "verify", "decode"] == 18
    monkeypatch.setattr(metrics.Metrics, "__call__", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        jaxslice("verify", small_archive, f"--metrics_file={path}")
    assert read(path)["jaxslice_state", "verify"] == -1
    assert [found.name for found in tmp_path.iterdir()] == ["job.prom"]


def test_a_file_that_cannot_be_written(jaxslice, small_archive, tmp_path):
    for place in (tmp_path / "none" / "job.prom", "s3://bucket/job.prom"):
        code, _, err = jaxslice("verify", small_archive, f"--metrics_file={place}")
        assert code == 2
        assert "metrics" in err
