"""Archives in object storage, and metadata that must be refused."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from conftest import OPTIONS
from models_for_tests import TINY
from servers import s3_bucket

import jaxslice
from jaxslice.archive import metadata
from jaxslice.archive.metadata import CodecConfiguration
from jaxslice.archive.store import create_archive, open_archive
from jaxslice.core.errors import FormatError, UsageError, VersionError

V1 = Path(__file__).parents[1] / "golden" / "v1" / "comb.zarr"


@pytest.fixture
def bucket(monkeypatch):
    with s3_bucket(monkeypatch):
        yield


@pytest.mark.usefixtures("bucket")
def test_an_archive_in_s3(small_volume, small_archive):
    jaxslice.compress(small_volume.path, "s3://volumes/archive", OPTIONS)
    np.testing.assert_array_equal(
        jaxslice.open("s3://volumes/archive")[2:5], small_volume.voxels[2:5]
    )
    jaxslice.verify("s3://volumes/archive", source=small_volume.path)
    # The name differs, and with it the length of the metadata.
    local, remote = jaxslice.info(small_archive), jaxslice.info("s3://volumes/archive")
    assert abs(local.compressed_bytes - remote.compressed_bytes) < 100
    with pytest.raises(UsageError, match="exists"):
        jaxslice.compress(small_volume.path, "s3://volumes/archive", OPTIONS)


@pytest.mark.usefixtures("bucket")
def test_a_part_of_an_archive_in_s3_never_opens(small_archive):
    opened = open_archive(small_archive)
    made = create_archive(
        "s3://volumes/part", opened.box, opened.block_shape, opened.configuration,
        opened.placement, {},
    )  # fmt: skip

    def write_a_part():
        with made as archive:
            archive.write_payload((0, 0, 0), b"block")
            raise OSError("cable cut")

    with pytest.raises(OSError, match="cable"):
        write_a_part()
    with pytest.raises(UsageError, match=r"no zarr\.json"):
        open_archive("s3://volumes/part")


def test_http_is_read_only(small_volume):
    with pytest.raises(UsageError, match="read only"):
        jaxslice.compress(small_volume.path, "http://127.0.0.1:9/archive", OPTIONS)


@pytest.fixture
def documents(small_archive):
    folder = open_archive(small_archive).folder
    return json.loads(folder.read("zarr.json")), json.loads(folder.read("0/zarr.json"))


def _parse(documents):
    return metadata.parse(*(json.dumps(document).encode() for document in documents))


def test_metadata_round_trip(small_archive, documents):
    described = _parse(documents)
    assert described.shape == (10, 40, 50)
    again = metadata.parse(described.group_json("x"), described.array_json())
    assert again == described


HOSTILE = {
    "no codecs": lambda group, array: array.update(codecs=[]),
    "two codecs": lambda group, array: array.update(codecs=array["codecs"] * 2),
    "another codec": lambda group, array: array["codecs"][0].update(name="bytes"),
    "no configuration": lambda group, array: array["codecs"][0].pop("configuration"),
    "no architecture": lambda group, array: array["codecs"][0]["configuration"].pop("architecture"),
    "negative shape": lambda group, array: array.update(shape=[-1, 4, 4]),
    "float shape": lambda group, array: array.update(shape=[1.5, 4, 4]),
    "flat shape": lambda group, array: array.update(shape=[4, 4]),
    "vast blocks": lambda group, array: array["chunk_grid"].update(
        configuration={"chunk_shape": [2048, 2048, 512]}
    ),
    "no blocks": lambda group, array: array["chunk_grid"]["configuration"].clear(),
    "no ome": lambda group, array: group["attributes"].pop("ome"),
    "no provenance": lambda group, array: group["attributes"].pop("jaxslice"),
    "words": lambda group, array: group["attributes"].update(ome="words"),
}


@pytest.mark.parametrize("change", HOSTILE)
def test_hostile_metadata_are_refused(documents, change):
    HOSTILE[change](*documents)
    with pytest.raises(FormatError):
        _parse(documents)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"[" * 100_000, b"\xff"])
def test_what_is_no_json_is_refused(data, documents):
    good = json.dumps(documents[0]).encode()
    for pair in ((data, data), (good, data)):
        with pytest.raises(FormatError):
            metadata.parse(*pair)


def test_versions_are_told_apart(documents):
    configuration = documents[1]["codecs"][0]["configuration"]
    assert (configuration["format_version"], configuration["own_networks"]) == (3, False)
    configuration["own_networks"] = True
    described = _parse(documents).configuration
    assert described.own_networks
    assert described.to_json() == configuration
    for version in (0, 4, True, 3.0, "3", None):
        configuration["format_version"] = version
        with pytest.raises(VersionError, match=f"format version {version!r}, expected 1 to 3"):
            _parse(documents)


def test_before_version_3_fields_are_not_read_that_came_with_it():
    configuration = json.loads((V1 / "0" / "zarr.json").read_bytes())["codecs"][0]["configuration"]
    for version, own in ((1, False), (2, True)):
        old = {**configuration, "format_version": version}
        described = CodecConfiguration.from_json(old)
        assert described.to_json() == old
        assert (described.own_networks, described.architecture.shear) == (own, 2)
        newer = {**old["architecture"], "shear": 3, "activity_offset": 64}
        ignored = CodecConfiguration.from_json(
            {**old, "own_networks": not own, "architecture": newer}
        )
        assert ignored == described


@pytest.mark.parametrize("own", [None, 1, "true", [], "absent"])
def test_version_3_says_whether_blocks_have_networks(own, documents):
    configuration = documents[1]["codecs"][0]["configuration"]
    configuration["own_networks"] = own
    if own == "absent":
        del configuration["own_networks"]
    with pytest.raises(FormatError, match="without the fields own_networks or"):
        _parse(documents)


def test_versions_cannot_say_what_came_later():
    sheared = dataclasses.replace(TINY, shear=3)
    for arguments in ((TINY, b"", True, 1), (TINY, b"", False, 2), (sheared, b"", False, 1)):
        with pytest.raises(FormatError, match="expected 2, 16 and"):
            CodecConfiguration(*arguments)
