"""The two JSON documents of an archive: what they say, and what must be refused."""

import dataclasses
import json
from pathlib import Path

import pytest
from models_for_tests import TINY

from jaxslice import reference
from jaxslice.archive import group, metadata
from jaxslice.archive.configuration import CodecConfiguration
from jaxslice.archive.store import open_archive
from jaxslice.core.errors import FormatError, VersionError

FIELDS = dataclasses.fields(metadata.Metadata)
V1 = Path(__file__).parents[1] / "golden" / "v1" / "comb.zarr"


@pytest.fixture
def documents(small_archive):
    """Those of an archive that is not sealed, so that a change is no damage."""
    folder = open_archive(small_archive).folder
    group, array = json.loads(folder.read("zarr.json")), json.loads(folder.read("0/zarr.json"))
    del group["attributes"]["jaxslice"]["seal"]
    array["codecs"][0]["configuration"]["sealed"] = False
    return group, array


def _parse(documents):
    (described,) = metadata.parse(*(json.dumps(document).encode() for document in documents))
    return described


def test_metadata_round_trip(small_archive):
    described = open_archive(small_archive)
    assert described.shape == (10, 40, 50)
    layers = described.seal.layers
    written = group.group_json("small.zarr", [described], layers)
    (again,) = metadata.parse(written, described.array_json())
    assert again == metadata.Metadata(**{f.name: getattr(described, f.name) for f in FIELDS})


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


def _nested(depth: int) -> list:
    return [_nested(depth - 1)] if depth else []


SCALE = ("attributes", "ome", "multiscales", 0, "datasets", 0, "coordinateTransformations", 0)
CONFIGURATION = ("codecs", 0, "configuration")
REFUSED = [
    ("group", ("zarr_format",), 2, "Got 2 for zarr_format of the group, expected 3"),
    ("group", ("zarr_format",), True, "Got True for zarr_format"),
    ("group", ("node_type",), "array", "Got 'array' for node_type of the group, expected 'group'"),
    ("group", (*SCALE, "scale"), [1.0, 1.0, 1e19], "Got the voxel size .*, expected 0 to 1e"),
    ("group", (*SCALE, "scale"), [1.0, 1.0, float("nan")], "number 'NaN' in JSON, exp.* finite"),
    ("group", ("attributes", "other"), -float("inf"), "number '-Infinity' in JSON"),
    ("group", ("attributes", "other"), "\ud800", "half a surrogate pair"),
    ("group", ("attributes", "ome", "multiscales", 0, "axes", 0, "name"), "t", "expected z, y, x"),
    ("group", ("attributes", "ome", "multiscales", 0, "datasets"), [{"path": "0"}] * 2, "differ"),
    ("group", (*SCALE, "scale"), [1.0, 1.0, -1.0], "Got the voxel size"),
    ("group", (*SCALE, "scale"), [1.0, 1.0, 10**400], "expected the zarr.json files of an archive"),
    ("group", ("attributes", "jaxslice", "offset_voxels"), [0, 0, 2**60], "Got the offset .*, exp"),
    ("group", ("attributes", "jaxslice", "offset_voxels"), [0, 0], "expected three integers"),
    ("group", ("attributes", "jaxslice", "note"), _nested(300), "nested more than 64 deep"),
    ("array", ("zarr_format",), 2, "Got 2 for zarr_format of the array, expected 3"),
    ("array", ("node_type",), "group", "Got 'group' for node_type of the array"),
    (
        "array",
        ("data_type",),
        "uint16",
        "Got voxels of uint16 and a network for uint8",
    ),
    ("array", ("fill_value",), 1, "Got 1 for fill_value of the array, expected 0"),
    (
        "array",
        ("chunk_grid", "name"),
        "rectilinear",
        "Got 'rectilinear' for name of the chunk grid",
    ),
    ("array", ("chunk_key_encoding", "name"), "v2", "Got 'v2' for name of the chunk key encoding"),
    ("array", ("chunk_key_encoding", "configuration", "separator"), ".", "Got '.' for separator"),
    ("array", ("storage_transformers",), [{"name": "x"}], "storage_transformers, expected none"),
    ("array", ("storage_transformers",), None, "storage_transformers, expected none"),
    ("array", (*CONFIGURATION, "network"), "AB==", "network: .*unused bits"),
    ("array", ("codecs",), [], "Got the codecs .*, expected 'jaxslice' alone"),
    ("array", ("codecs", 0, "name"), "zstd", "Got 'zstd' for name of the codec"),
    ("array", ("shape",), [2**31, 4, 4], "Got the shape .*, expected 1 to 2147483647 voxels"),
    ("array", ("shape",), [2**30, 2**30, 2**30], "and at most 4611686018427387904 in all"),
    ("array", ("shape",), [0, 4, 4], "Got the shape .*, expected 1 to"),
    ("array", ("shape",), [True, 4, 4], "expected three integers"),
    ("array", ("chunk_grid", "configuration", "chunk_shape"), [2**24, 1, 1], "Got blocks of .*655"),
    ("array", ("chunk_grid", "configuration", "chunk_shape"), [2**11] * 3, "at most 268435456 in"),
]


@pytest.mark.parametrize(("which", "path", "value", "message"), REFUSED)
def test_what_is_refused_is_named(documents, which, path, value, message):
    place = documents[0 if which == "group" else 1]
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(FormatError, match=message):
        _parse(documents)


def test_the_separator_may_be_left_out(documents):
    del documents[1]["chunk_key_encoding"]["configuration"]
    assert _parse(documents).shape == (10, 40, 50)


def _places(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, part in items:
        if isinstance(part, dict | list):
            yield from _places(part, (*path, key))
        else:
            yield (*path, key)


@pytest.mark.parametrize(
    "value",
    [None, [], {}, "x" * 100_000, -1, 2**63, 10**400, 1e308, float("inf"), [[]], [2**31] * 3, True],
    ids=lambda value: repr(value)[:10],
)
def test_any_value_anywhere_is_taken_or_refused_briefly(documents, value):
    messages = []
    for which in (0, 1):
        for path in list(_places(documents[which])):
            changed = [json.loads(json.dumps(document)) for document in documents]
            place = changed
            for step in (which, *path)[:-1]:
                place = place[step]
            place[(which, *path)[-1]] = value
            try:
                _parse(changed)
            except FormatError as error:
                messages.append(str(error))
    assert messages
    assert all(len(message) < 500 and message.startswith("Got ") for message in messages)


@pytest.mark.parametrize("junk", [b"\xff" * 1_000_000, b'"' + b"x" * 1_000_000 + b'"'])
def test_messages_do_not_repeat_the_file(archive_copy, junk):
    for name in ("zarr.json", "0/zarr.json"):
        (archive_copy / name).write_bytes(junk)
        with pytest.raises(FormatError) as caught:
            open_archive(archive_copy)
        assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (b"{", b'{"node_type": "group", ', "twice in an object"),
        (b"{", b'{"other": 1e999, ', "a finite one"),
        (b"{", b"\xef\xbb\xbf{", "zarr.json"),
        (b'"zarr_format": 3', b'"zarr_format": 3.0', "Got 3.0 for zarr_format"),
        (b'"zarr_format": 3', b'"zarr_format": 3e0', "Got 3.0 for zarr_format"),
    ],
)
def test_json_that_readers_could_take_in_two_ways_is_refused(
    documents, which, before, after, message, tmp_path
):
    data = [json.dumps(document).encode() for document in documents]
    data[which] = data[which].replace(before, after, 1)
    with pytest.raises(FormatError, match=message):
        metadata.parse(*data)
    (tmp_path / "0").mkdir()
    (tmp_path / "zarr.json").write_bytes(data[0])
    (tmp_path / "0" / "zarr.json").write_bytes(data[1])
    if which == 1:
        with pytest.raises(FormatError, match=r"JSON|metadata|array"):
            reference.read_archive_block(tmp_path / "0", (0, 0, 0))


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"[" * 100_000, b"\xff"])
def test_what_is_no_json_is_refused(data, documents):
    good = json.dumps(documents[0]).encode()
    for pair in ((data, data), (good, data)):
        with pytest.raises(FormatError):
            metadata.parse(*pair)


def test_versions_are_told_apart(documents):
    configuration = documents[1]["codecs"][0]["configuration"]
    assert (configuration["format_version"], configuration["own_networks"]) == (4, False)
    configuration["own_networks"] = True
    described = _parse(documents).configuration
    assert described.block_networks
    assert described.to_json() == configuration
    for version in (0, 5, True, 3.0, "3", None):
        configuration["format_version"] = version
        with pytest.raises(VersionError, match=f"format version {version!r}, expected 1 to 4"):
            _parse(documents)


def test_before_version_3_fields_are_not_read_that_came_with_it():
    configuration = json.loads((V1 / "0" / "zarr.json").read_bytes())["codecs"][0]["configuration"]
    for version, own in ((1, False), (2, True)):
        old = {**configuration, "format_version": version}
        described = CodecConfiguration.from_json(old)
        assert described.to_json() == old
        assert (described.block_networks, described.architecture.shear) == (own, 2)
        newer = {**old["architecture"], "shear": 3, "activity_offset": 64}
        ignored = CodecConfiguration.from_json(
            {**old, "own_networks": not own, "architecture": newer}
        )
        assert ignored == described


@pytest.mark.parametrize(
    "identity", [None, 5, "", "0" * 15, "0" * 17, "0123456789ABCDEF", "g" * 16]
)
def test_the_identity_is_16_digits(identity, documents):
    documents[1]["codecs"][0]["configuration"]["identity"] = identity
    with pytest.raises(FormatError, match="Got the identity"):
        _parse(documents)


def test_an_unknown_kind_of_architecture_is_refused(documents):
    documents[1]["codecs"][0]["configuration"]["architecture"]["kind"] = "tree"
    with pytest.raises(FormatError, match="kind 'tree'"):
        _parse(documents)


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
