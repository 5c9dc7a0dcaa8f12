"""`jaxslice compress --dry_run`."""

import json

import numpy as np
import pytest

from jaxslice.bench.synthetic import synthetic_volume


@pytest.fixture
def volume(tmp_path):
    path = tmp_path / "volume.npy"
    np.save(path, synthetic_volume((4, 24, 32)))
    return path


def test_a_dry_run_for_people_and_for_programs(jaxslice, volume, tmp_path):
    words = ["compress", volume, tmp_path / "a.zarr", "--effort=fast", "--dry_run"]
    code, out, err = jaxslice(*words, "--worker_counts=1,3", "--price_per_core_hour=0.5")
    assert code == 0, err
    assert "Nothing was written" in out
    assert [line.split()[0] for line in out.splitlines() if line[:1].isdigit()] == ["1", "3"]
    code, out, _ = jaxslice(*words, "--json")
    assert code == 0
    assert json.loads(out)["num_blocks"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["volume.npy"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--price_per_core_hour=1"], "Got --price_per_core_hour without --dry_run"),
        (["--dry_run", "--follow"], "Got --dry_run with --follow"),
        (["--dry_run", "--worker_counts=0"], "integers from 1"),
    ],
)
def test_flags_that_do_not_go_together(jaxslice, volume, tmp_path, flags, message):
    code, _, err = jaxslice("compress", volume, tmp_path / "a.zarr", *flags)
    assert code == 2
    assert message in err
