"""A process that reads Google Cloud Storage without credentials says nothing about them."""

import os
import subprocess
import sys

import numpy as np
import pytest
from fake_gcs import gcs_bucket

from jaxslice.cli.main import run

READ = "import sys; from jaxslice.cli.main import main; main(sys.argv)"


@pytest.fixture
def archive(monkeypatch, tmp_path):
    with gcs_bucket(monkeypatch):
        monkeypatch.delenv("GOOGLE_AUTH_TOKEN_FOR_TESTING", raising=False)
        # No credentials of whoever runs the tests, and no look for a machine in Google's cloud.
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
        monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
        np.save(tmp_path / "v.npy", np.zeros((2, 8, 8), np.uint8))
        words = ["compress", str(tmp_path / "v.npy"), "gs://volumes/a.zarr", "--effort=fast"]
        assert run(["jaxslice", *words]) == 0
        yield "gs://volumes/a.zarr"


def test_a_public_bucket_is_read_quietly(archive):
    words = [sys.executable, "-c", READ, "info", archive, "--json"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_others_write_meanwhile_is_kept(archive):
    code = (
        "import os; from jaxslice.storage import google_credentials as g\n"
        "with g._stderr_without(b'drop me'):\n"
        "    os.write(2, b'one\\ndrop me\\ntwo\\n')\n"
        "os.write(2, b'three\\n')\n"
        "g.look_for_google_credentials()\n"
        "print(os.environ['TENSORSTORE_GCS_HTTP_URL'])"
    )
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True)
    assert done.stderr == "one\ntwo\nthree\n"
    assert done.stdout.strip() == os.environ["TENSORSTORE_GCS_HTTP_URL"]


def test_without_stderr(archive):
    closed = ["sh", "-c", 'exec "$@" 2>&-', "sh"]
    words = [*closed, sys.executable, "-c", READ, "info", archive, "--json"]
    done = subprocess.run(words, stdout=subprocess.PIPE, timeout=120, check=False)
    assert done.returncode == 0
