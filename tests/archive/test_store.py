"""Archives in folders and buckets: created, replaced, and what is recorded in them."""

import struct
from pathlib import Path

import numpy as np
import pytest
from servers import s3_bucket, serve_folder
from small_volume import OPTIONS

import jaxslice
from jaxslice import reference
from jaxslice.archive.create import check_creatable, create_archive
from jaxslice.archive.shards import index_bytes
from jaxslice.archive.store import open_archive
from jaxslice.core.checksum import crc32c
from jaxslice.core.errors import FormatError, UsageError


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


def _create(place, like, provenance=None, **options):
    """An archive with one short block, of the shape of another."""
    opened = open_archive(like)
    with create_archive(
        place, opened.box, opened.block_shape, opened.configuration, opened.placement,
        {} if provenance is None else provenance, **options,
    ) as archive:  # fmt: skip
        archive.write_payload((0, 0, 0), b"block")


FOREIGN = {"labels/0/zarr.json": b"{}", "0/notes": b"mine", "README.md": b"mine"}


def test_replacing_keeps_what_is_not_the_archives_own(archive_copy, small_archive):
    before = jaxslice.info(archive_copy).compressed_bytes
    for key, data in FOREIGN.items():
        (archive_copy / key).parent.mkdir(parents=True, exist_ok=True)
        (archive_copy / key).write_bytes(data)
    assert jaxslice.info(archive_copy).compressed_bytes == before
    _create(archive_copy, small_archive, overwrite=True)
    files = {
        str(path.relative_to(archive_copy)): path.read_bytes()
        for path in archive_copy.rglob("*")
        if path.is_file()
    }
    assert {key: files[key] for key in FOREIGN} == FOREIGN
    assert set(files) == {"zarr.json", "0/zarr.json", "0/c/0/0/0", *FOREIGN}


@pytest.mark.usefixtures("bucket")
def test_replacing_in_s3(small_volume, small_archive):
    place = "s3://volumes/archive"
    jaxslice.compress(small_volume.path, place, OPTIONS)
    folder = open_archive(place).folder
    for key, data in FOREIGN.items():
        folder.write(key, data)
    opened = open_archive(small_archive)
    with create_archive(
        place, opened.box, opened.block_shape, opened.configuration, opened.placement, {},
        overwrite=True,
    ) as archive:  # fmt: skip
        archive.write_payload((0, 0, 0), b"block")
        jaxslice.verify(place, source=small_volume.path)
    assert {key: folder.read(key) for key in FOREIGN} == FOREIGN
    path = open_archive(place).path
    assert set(folder.list_keys()) == {
        "zarr.json", f"{path}/zarr.json", f"{path}/c/0/0/0", *FOREIGN,
    }  # fmt: skip


@pytest.mark.parametrize("group", [b"", b"{}", b'{"attributes": {"ome": {}}}', b"[" * 100_000])
def test_what_is_no_archive_is_not_replaced(tmp_path, group):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "zarr.json").write_bytes(group)
    with pytest.raises(UsageError, match="not a jaxslice archive"):
        check_creatable(tmp_path / "a", overwrite=True)
    assert (tmp_path / "a" / "zarr.json").read_bytes() == group


@pytest.mark.parametrize(
    ("field", "place", "recorded"),
    [
        ("source", "https://me:pw@host/a/v?X-Amz-Signature=SECRET", "https://host/a/v"),
        ("source", "/home/me/SECRET/v.npy", "v.npy"),
        ("model", "/home/me/SECRET/m.json", "m.json"),
        ("model", "default", "default"),
    ],
)
def test_places_lose_their_secrets(small_archive, tmp_path, field, place, recorded):
    _create(tmp_path / "a", small_archive, {field: place})
    assert open_archive(tmp_path / "a").provenance[field] == recorded


def test_a_signed_url_is_not_recorded(small_volume, tmp_path):
    folder = Path(small_volume.path).parent
    with serve_folder(folder) as url:
        signed = f"{url}/{Path(small_volume.path).name}?X-Amz-Signature=SECRET"
        jaxslice.compress(signed, str(tmp_path / "a"), OPTIONS)
    recorded = (tmp_path / "a" / "zarr.json").read_bytes()
    assert b"SECRET" not in recorded
    assert url.encode() in recorded


def test_paths_are_locations(small_archive, small_volume):
    path = Path(small_archive)
    assert open_archive(path) == open_archive(small_archive)
    assert jaxslice.info(path) == jaxslice.info(small_archive)
    np.testing.assert_array_equal(jaxslice.open(path)[3], small_volume.voxels[3])
    with pytest.raises(UsageError, match="exists"):
        check_creatable(path, overwrite=False)


def test_blocks_that_no_reader_takes_are_not_written(small_archive, tmp_path):
    opened = open_archive(small_archive)
    with (
        pytest.raises(UsageError, match="Got blocks of"),
        create_archive(
            tmp_path / "a", opened.box, (1, 1, 2**20), opened.configuration, opened.placement, {}
        ),
    ):
        pass


@pytest.mark.usefixtures("bucket")
def test_sizes_that_an_archive_in_s3_does_not_say(small_archive):
    _create("s3://volumes/a", small_archive)
    with pytest.raises(FormatError, match="Got None for blocks_bytes"):
        jaxslice.info("s3://volumes/a")


@pytest.fixture(params=["local", "http", "http without ranges"])
def reached(request, archive_copy):
    if request.param == "local":
        yield str(archive_copy)
    else:
        with serve_folder(archive_copy, ranges=request.param == "http") as url:
            yield url


@pytest.mark.parametrize("key", ["zarr.json", "0/zarr.json"])
def test_metadata_too_long_to_be_any(reached, archive_copy, key: str):
    """Where the store can be asked for it, it is not read."""
    assert jaxslice.open(reached)[0, 0, 0] > 0
    with (archive_copy / key).open("r+b") as file:
        file.truncate(2**24 + 1)
    with pytest.raises(
        FormatError, match=r"Cannot read the metadata of .*(16777216|16777217) bytes"
    ):
        jaxslice.open(reached)


@pytest.mark.parametrize("shard", [None, (8, 32, 64)])
def test_a_block_too_long_to_be_any(small_volume, tmp_path, shard):
    archive = tmp_path / "a.zarr"
    options = jaxslice.CompressOptions(effort="fast", block_shape=(4, 16, 32), shard_shape=shard)
    jaxslice.compress(small_volume.path, archive, options)
    opened = open_archive(archive)
    most = 2 * 4 * 16 * 32 + 2**24
    path = archive / opened.key_of((0, 0, 0))
    data = path.read_bytes()
    if shard is None:
        with path.open("r+b") as file:
            file.truncate(most + 1)
    else:
        entries = bytearray(data[-index_bytes(opened.blocks_per_shard) : -4])
        entries[8:16] = struct.pack("<Q", most + 1)
        index = bytes(entries) + struct.pack("<I", crc32c(bytes(entries)))
        body = data[: -len(index)]
        path.write_bytes(body + bytes(most + 1) + index)
    expected = r"Got more than \d+ bytes in"
    with pytest.raises(FormatError, match=expected):
        opened.read_payload((0, 0, 0))
    with pytest.raises(FormatError, match=expected):
        jaxslice.open(archive)[0, 0, 0]
    with pytest.raises(jaxslice.FormatError):
        reference.decode_array(archive / "0", tmp_path / "out.npy")
