"""Precomputed volumes that are unusual and right: links, odd names, thin and huge ones, servers."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from servers import self_signed, serve_folder
from volumes_for_tests import BOX, KINDS, chunk_files, edit_info, make_volume

from jaxslice.core.box import Box
from jaxslice.core.errors import SourceDataError
from jaxslice.volumes.destination import create_destination
from jaxslice.volumes.source import open_source

PACKINGS = {"gzip": gzip.compress, "br": imagecodecs.brotli_encode}


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("encoding", ["raw", "png"])
def test_a_server_that_packs_what_it_sends(tmp_path: Path, packing: str, encoding: str):
    voxels = make_volume(tmp_path / "v", encoding=encoding)
    for path in (tmp_path / "v" / "info", *chunk_files(tmp_path / "v")):
        path.write_bytes(PACKINGS[packing](path.read_bytes()))
    with serve_folder(tmp_path, content_encoding=packing) as url:
        np.testing.assert_array_equal(open_source(f"{url}/v").read(BOX), voxels)


def test_a_server_without_ranges_cannot_serve_shards(tmp_path: Path):
    make_volume(tmp_path / "v", **KINDS["sharded"])
    with serve_folder(tmp_path, ranges=False) as url, pytest.raises(SourceDataError) as caught:
        open_source(f"{url}/v").read(BOX)
    assert "range" in str(caught.value).lower()


def test_git_annex_trees(tmp_path: Path):
    """Every file is a link into a store, whose files may only be read."""
    voxels = make_volume(tmp_path / "v")
    (tmp_path / "objects").mkdir()
    files = [path for path in (tmp_path / "v").rglob("*") if path.is_file()]
    for number, path in enumerate(files):
        target = tmp_path / "objects" / f"SHA256E--{number}"
        shutil.move(path, target)
        target.chmod(0o444)
        path.symlink_to(Path("../" * len(path.relative_to(tmp_path).parent.parts)) / target)
    np.testing.assert_array_equal(open_source(tmp_path / "v").read(BOX), voxels)
    np.testing.assert_array_equal(open_source(f"file://{tmp_path}/v/").read(BOX), voxels)


@pytest.mark.parametrize("key", ["a/b/4_4_40", "../outside", "4.0 x (ü) #1?%2F&+"])
def test_keys_of_scales(tmp_path: Path, key: str):
    voxels = make_volume(tmp_path / "v" / "w")
    info = json.loads((tmp_path / "v" / "w" / "info").read_text())
    (scale,) = info["scales"]
    (tmp_path / "v" / "w" / key).parent.mkdir(parents=True, exist_ok=True)
    shutil.move(tmp_path / "v" / "w" / scale["key"], tmp_path / "v" / "w" / key)
    edit_info(tmp_path / "v" / "w", scales=[scale | {"key": key}])
    np.testing.assert_array_equal(open_source(tmp_path / "v" / "w").read(BOX), voxels)
    np.testing.assert_array_equal(open_source(tmp_path / "v" / "w", scale=key).read(BOX), voxels)


@pytest.mark.parametrize("shape", [(1, 40, 50), (30, 1, 50), (30, 40, 1), (1, 1, 1)])
def test_axes_of_one_voxel(tmp_path: Path, shape):
    voxels = np.random.default_rng(0).integers(1, 256, shape, np.uint8)
    box = Box.of_shape(shape, (-1, 2**31 - 90, 5))
    with create_destination(tmp_path / "v", box, (1, 1, 1), chunk_shape=(16, 16, 16)) as made:
        made.write(box, voxels)
    np.testing.assert_array_equal(open_source(tmp_path / "v").read(box), voxels)


@pytest.mark.parametrize("missing", ["error", "zero"])
def test_bounds_of_a_whole_brain(tmp_path: Path, missing: str):
    """Opening costs what is read, not what the volume spans."""
    voxels = make_volume(tmp_path / "v", chunk_size=[10, 10, 10])
    (scale,) = json.loads((tmp_path / "v" / "info").read_text())["scales"]
    edit_info(tmp_path / "v", scales=[scale | {"size": [200_000] * 3}])
    source = open_source(tmp_path / "v", missing=missing)
    assert source.shape == (200_000,) * 3
    np.testing.assert_array_equal(source.read(BOX), voxels)
    far = Box.of_shape((3, 4, 5), (150_000, 150_000, 150_000))
    if missing == "zero":
        assert not source.read(far).any()
    else:
        with pytest.raises(SourceDataError, match="--missing=zero"):
            source.read(far)


@pytest.mark.parametrize("kind", ["raw", "png"])
@pytest.mark.parametrize("missing", ["error", "zero"])
def test_chunks_of_no_bytes_are_damage(tmp_path: Path, kind: str, missing: str):
    make_volume(tmp_path / "v", **KINDS[kind])
    chunk_files(tmp_path / "v")[0].write_bytes(b"")
    with pytest.raises(SourceDataError, match="Cannot read the box"):
        open_source(tmp_path / "v", missing=missing).read(BOX)


def test_an_authority_of_ones_own(tmp_path: Path):
    """Its certificates are read when a process sends its first request."""
    voxels = make_volume(tmp_path / "v")
    certificate, key = self_signed(tmp_path)
    program = (
        "import sys, numpy, jaxslice\n"
        "source = jaxslice.open_source(sys.argv[1])\n"
        "numpy.save(sys.argv[2], source.read(source.box))\n"
    )
    with serve_folder(tmp_path, certificate=(certificate, key)) as url:
        words = [sys.executable, "-c", program, f"{url}/v", tmp_path / "read.npy"]
        subprocess.run(words, check=True, env={**os.environ, "SSL_CERT_FILE": str(certificate)})
    np.testing.assert_array_equal(np.load(tmp_path / "read.npy"), voxels)
