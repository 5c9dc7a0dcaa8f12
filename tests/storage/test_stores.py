"""Archives and sources in every kind of store, from the command line's view."""

import numpy as np
import pytest
from fake_gcs import gcs_bucket
from servers import s3_bucket

import jaxslice
from jaxslice.archive.keys import KIND
from jaxslice.cli.main import run
from jaxslice.core.errors import UsageError
from jaxslice.storage.draft import open_draft

VOXELS = np.random.default_rng(2).integers(0, 255, (8, 24, 24), np.uint8)
FAST = ["--effort=fast", "--block_shape=4,16,16"]


@pytest.fixture(params=["s3", "gs"])
def bucket(request, monkeypatch):
    server = s3_bucket if request.param == "s3" else gcs_bucket
    with server(monkeypatch):
        yield f"{request.param}://volumes"


def test_there_and_back(bucket, tmp_path, capfd):
    np.save(tmp_path / "v.npy", VOXELS)
    assert run(["jaxslice", "compress", str(tmp_path / "v.npy"), f"{bucket}/a.zarr", *FAST]) == 0
    assert run(["jaxslice", "decompress", f"{bucket}/a.zarr", f"{bucket}/v"]) == 0
    words = ["verify", f"{bucket}/a.zarr", f"--source={bucket}/v", "--json"]
    assert run(["jaxslice", *words]) == 0
    assert "secret-token" not in "".join(capfd.readouterr())
    np.testing.assert_array_equal(jaxslice.open(f"{bucket}/a.zarr")[...], VOXELS)


def test_one_of_two_writers_is_refused(bucket):
    with open_draft(f"{bucket}/a", KIND, False) as first:
        first.begin(b"one job")
        with open_draft(f"{bucket}/a", KIND, False) as second:
            assert second.job == b"one job"
            with pytest.raises(UsageError, match="expected one writer"):
                second.begin(b"another job")
