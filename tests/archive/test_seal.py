"""The seal: what is in it, what changes it, and who checks it."""

import dataclasses
import hashlib
import json
import shutil

import numpy as np
import pytest

import jaxslice
from jaxslice import reference
from jaxslice.archive import seal
from jaxslice.archive.seal import Leaves, Seal
from jaxslice.archive.store import open_archive
from jaxslice.core.errors import ChecksumError, FormatError


def sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def test_layers_by_hand():
    leaves = Leaves((2, 1, 2))
    payloads = {(z, 0, x): bytes([z, x]) for z in range(2) for x in range(2)}
    for index in [(1, 0, 1), (0, 0, 1), (1, 0, 0)]:
        leaves.add(index, seal.leaf_of(payloads[index]))
    assert leaves.complete() == {1: sha(sha(b"\1\0") + sha(b"\1\1"))}
    with pytest.raises(AssertionError, match="every block"):
        leaves.layers()
    leaves.add((0, 0, 0), seal.leaf_of(b"\0\0"))
    first, second = leaves.layers()
    assert first == sha(sha(b"\0\0") + sha(b"\0\1"))
    grown = Leaves((3, 1, 2), done=[first, second])
    grown.add_all([((2, 0, 1), sha(b"b")), ((2, 0, 0), sha(b"a"))])
    assert grown.layers() == [first, second, sha(sha(b"a") + sha(b"b"))]
    assert Seal(sha(b"m"), ((first, second),)).root == sha(sha(b"m") + first + second).hex()


def test_canonical_json_by_hand():
    value = {"b": [1, 2.5, 1e300], "a": '\u00e9\n\x01"\\/', "\U0001f600": None, "A": True}
    text = '{"A":true,"a":"\u00e9\\n\\u0001\\"\\\\/","b":[1,2.5,1e+300],"\U0001f600":null}'
    assert seal.canonical(value) == text.encode()
    for bad in (float("nan"), float("inf"), "\ud800"):
        with pytest.raises(FormatError):
            seal.canonical(bad)


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value.update(root="0" * 64),
        lambda value: value.update(metadata="0" * 63),
        lambda value: value.update(layers=[value["layers"][0][::-1]]),
        lambda value: value.update(layers={}),
        lambda value: value.update(layers=[5]),
        lambda value: value.pop("metadata"),
    ],
)
def test_bad_seals_are_refused(change):
    value = Seal(sha(b"m"), ((sha(b"a"), sha(b"b")),)).to_json()
    assert Seal.from_json(value).layers == ((sha(b"a"), sha(b"b")),)
    change(value)
    with pytest.raises(FormatError):
        Seal.from_json(value)
    for other in (None, 5, []):
        with pytest.raises(FormatError):
            Seal.from_json(other)


def test_the_same_run_has_the_same_root(small_archive, small_volume, tmp_path):
    from small_volume import OPTIONS

    root = jaxslice.info(small_archive).details["seal"]
    assert jaxslice.verify(small_archive).details["seal"] == root
    again = str(tmp_path / "small.zarr")
    jaxslice.compress(small_volume.path, again, OPTIONS)
    assert jaxslice.info(again).details["seal"] == root


def edit(path, change) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def refused_by_all(archive, error=FormatError) -> None:
    for read in (
        lambda: jaxslice.open(archive)[...],
        lambda: jaxslice.info(archive),
        lambda: jaxslice.verify(str(archive)),
        lambda: reference.read_archive_block(archive / "0", (0, 0, 0)),
    ):
        with pytest.raises(error):
            read()


@pytest.mark.parametrize(
    "change",
    [
        lambda group: group["attributes"]["jaxslice"].update(effort=3),
        lambda group: group["attributes"]["ome"]["multiscales"][0].update(name="x"),
        lambda group: group["attributes"]["jaxslice"].pop("seal"),
    ],
)
def test_changed_metadata_are_noticed(archive_copy, change):
    edit(archive_copy / "zarr.json", change)
    refused_by_all(archive_copy)


def test_a_smaller_shape_is_noticed(archive_copy):
    edit(archive_copy / "0" / "zarr.json", lambda array: array["shape"].__setitem__(2, 49))
    refused_by_all(archive_copy, ChecksumError)


def test_what_others_add_to_the_group_is_no_damage(archive_copy, small_volume):
    def add(group):
        group["attributes"]["ome"]["omero"] = {"channels": []}
        group["attributes"]["mine"] = 5

    edit(archive_copy / "zarr.json", add)
    np.testing.assert_array_equal(jaxslice.open(archive_copy)[...], small_volume.voxels)


def test_blocks_of_an_earlier_run_are_found_by_whole_layers(archive_copy, tmp_path):
    """Of the same identity, with other voxels: nothing in a block itself is wrong."""
    from jaxslice.archive.model import model_of
    from jaxslice.codec.block import encode_blocks

    opened = open_archive(archive_copy)
    block = np.full(opened.block_shape, 9, np.uint8)
    place = opened.place_of((1, 0, 0))
    (payload,) = encode_blocks([block], model_of(opened.configuration), places=[place])
    opened.write_payload((1, 0, 0), payload)
    assert jaxslice.open(archive_copy)[4, 0, 0] == 9
    for read in (
        lambda: jaxslice.verify(str(archive_copy)),
        lambda: jaxslice.decompress(str(archive_copy), str(tmp_path / "out.npy")),
        lambda: reference.decode_array(archive_copy / "0", tmp_path / "reference.npy"),
    ):
        with pytest.raises(ChecksumError, match="layer 1"):
            read()
    assert not (tmp_path / "out.npy").exists()


def unseal(archive) -> None:
    edit(archive / "zarr.json", lambda group: group["attributes"]["jaxslice"].pop("seal"))

    def change(array):
        array["codecs"][0]["configuration"]["sealed"] = False

    edit(archive / "0" / "zarr.json", change)


def test_an_archive_that_is_not_sealed_may_lack_black_blocks(archive_copy, small_volume, tmp_path):
    import zarr

    unseal(archive_copy)
    array = zarr.open_array(archive_copy / "0", mode="r+")
    array[4:8] = 0
    array[0, 0, 0] = 77
    assert not (archive_copy / "0" / "c" / "1" / "0" / "0").exists()
    report = jaxslice.verify(str(archive_copy))
    assert report.details["seal"] == "not sealed"
    expected = small_volume.voxels.copy()
    expected[4:8], expected[0, 0, 0] = 0, 77
    np.testing.assert_array_equal(jaxslice.open(archive_copy)[...], expected)
    reference.decode_array(archive_copy / "0", tmp_path / "out.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), expected)


def test_archives_before_version_4_are_not_sealed():
    from make_golden import GOLDEN

    archive = GOLDEN / "v3" / "bordered.zarr"
    assert jaxslice.info(archive).details["seal"] == "not sealed"


def test_archives_have_identities_of_their_own(small_archive, archive_copy, tmp_path):
    opened = open_archive(small_archive)
    assert opened.configuration.identity is not None
    other = dataclasses.replace(opened, provenance={**opened.provenance, "seed": 1})
    from jaxslice.archive.identity import identity_of

    identities = {identity_of(opened, "0"), identity_of(opened, "1"), identity_of(other, "0")}
    assert len(identities) == 3
    shutil.rmtree(archive_copy)
