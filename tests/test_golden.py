"""Golden archives: those that must decode for as long as their format version is read, and those
that must fail. The reference decoder reads the same ones."""

import hashlib
import json

import numpy as np
import pytest
from make_golden import GOLDEN, volumes

import jaxslice
from jaxslice import reference
from jaxslice.archive import open_archive

CHECKSUMS = json.loads((GOLDEN / "v1" / "voxels_sha256.json").read_text())
BLOCK_BYTES = json.loads((GOLDEN / "v1" / "block_bytes.json").read_text())


def _sha256(voxels: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(voxels).tobytes()).hexdigest()


@pytest.mark.parametrize("name", CHECKSUMS)
def test_golden_archives_decode(name):
    archive = GOLDEN / "v1" / f"{name}.zarr"
    assert _sha256(jaxslice.open(str(archive))[...]) == CHECKSUMS[name]


@pytest.mark.parametrize("name", CHECKSUMS)
def test_the_reference_decodes_them(name, tmp_path):
    archive = GOLDEN / "v1" / f"{name}.zarr"
    reference.decode_array(archive / "0", tmp_path / "out.npy")
    assert _sha256(np.load(tmp_path / "out.npy")) == CHECKSUMS[name]


@pytest.mark.parametrize("name", CHECKSUMS)
def test_encoding_gives_the_same_bytes(name):
    """Payloads, not only voxels: an encoder that changes without a reason shows up here."""
    from jaxslice import weights
    from jaxslice.block import Model, encode_block

    opened = open_archive(str(GOLDEN / "v1" / f"{name}.zarr"))
    configuration = opened.configuration
    network = weights.unpack(configuration.packed_network, configuration.architecture)
    model = Model(configuration.architecture, network)
    voxels = jaxslice.open(opened.location)[...]
    for index in opened.blocks():
        part = voxels[opened.box_of(index).slices]
        after = [(0, b - n) for b, n in zip(opened.block_shape, part.shape, strict=True)]
        assert encode_block(np.pad(part, after), model) == opened.read_payload(index)


def test_sizes_are_those_reviewed():
    sizes = {
        name: open_archive(str(GOLDEN / "v1" / f"{name}.zarr")).provenance["blocks_bytes"]
        for name in CHECKSUMS
    }
    assert sizes == BLOCK_BYTES


def test_they_hold_what_the_script_says():
    """The generator may drift from the goldens with NumPy; within one machine it is the same."""
    assert set(volumes()) == set(CHECKSUMS)


DAMAGED = sorted((GOLDEN / "damaged" / "v1").glob("*.zarr"))


@pytest.mark.parametrize("archive", DAMAGED, ids=lambda path: path.stem)
def test_damaged_archives_fail(archive):
    with pytest.raises(jaxslice.FormatError) as caught:
        jaxslice.verify(str(archive))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("archive", DAMAGED, ids=lambda path: path.stem)
def test_the_reference_refuses_them(archive, tmp_path):
    with pytest.raises(jaxslice.FormatError):
        reference.decode_array(archive / "0", tmp_path / "out.npy")
