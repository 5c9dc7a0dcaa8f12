"""A decoder in C that was written from FORMAT.md alone reads what the package writes."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import shutil
import struct
import subprocess
from pathlib import Path

import google_crc32c
import numpy as np
import pytest

import jaxslice
from jaxslice import reference
from jaxslice.archive.block_reader import read_block
from jaxslice.archive.shards import pack_shard, sharding_codec
from jaxslice.archive.store import open_archive
from jaxslice.bench.synthetic import synthetic_volume
from jaxslice.codec.limits import most_payload_bytes
from jaxslice.core.errors import FormatError
from jaxslice.native import build

FOLDER = Path(__file__).parent / "independent_decoder"
GOLDEN = Path(__file__).parent / "golden"
ARCHIVES = sorted(GOLDEN.glob("v?/*.zarr"))
DAMAGED = sorted(path for path in (GOLDEN / "damaged").glob("v?/*") if path.is_dir())
OPTIONS = jaxslice.CompressOptions(effort="fast", block_shape=(4, 32, 40))


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> str:
    command = build.compiler()
    assert command is not None
    place = str(tmp_path_factory.mktemp("decoder") / "decode")
    sources = map(str, sorted(FOLDER.glob("*.c")))
    subprocess.run([*command, "-O2", "-std=c11", *sources, "-o", place], check=True)
    return place


def decode(program: str, archive: Path, out: Path) -> subprocess.CompletedProcess[str]:
    command = [program, str(archive), str(out)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def voxels_digest(golden: Path) -> str:
    return json.loads((golden.parent / "voxels_sha256.json").read_text())[golden.stem]


@pytest.mark.parametrize("archive", ARCHIVES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_golden_archives(program, tmp_path, archive: Path):
    done = decode(program, archive, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    found = hashlib.sha256((tmp_path / "out").read_bytes()).hexdigest()
    assert found == voxels_digest(archive)


@pytest.mark.parametrize("archive", DAMAGED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_damaged_archives(program, tmp_path, archive: Path):
    done = decode(program, archive, tmp_path / "out")
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 1


def deep(bits: int, gap: int, seed: int = 1) -> np.ndarray:
    """Voxels of up to 16 bits, all multiples of a gap, darker in some slices."""
    voxels = synthetic_volume((6, 50, 60), seed=seed).astype(np.uint16)
    noise = np.random.default_rng(seed).integers(0, 1 << max(bits - 8, 0), voxels.shape)
    wide = ((voxels << max(bits - 8, 0)) + noise) // gap * gap
    wide[2::3] //= 2 * gap
    wide[2::3] *= gap
    return wide.astype(np.uint16)


FRESH = {
    "fast": (synthetic_volume((6, 50, 60), seed=1), {}),
    "effort 0": (synthetic_volume((6, 50, 60), seed=2), {"effort": 0}),
    "sharded": (synthetic_volume((9, 70, 60), seed=3), {"shard_shape": (8, 64, 80)}),
    "several scales": (synthetic_volume((6, 50, 60), seed=4), {"downsample": 2}),
    "12 bits": (deep(12, 1), {"effort": 0}),
    "14 bits with gaps": (deep(14, 4), {"effort": 0}),
    "16 bits": (deep(16, 1), {"effort": 0}),
    "16 bits of few levels": (deep(16, 257), {"effort": 0}),
}


@pytest.mark.parametrize("name", FRESH)
def test_new_archives(program, tmp_path, name):
    voxels, change = FRESH[name]
    options = dataclasses.replace(OPTIONS, **change)
    jaxslice.compress(voxels, tmp_path / "a.zarr", options)
    done = decode(program, tmp_path / "a.zarr", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    found = np.fromfile(tmp_path / "out", voxels.dtype.newbyteorder("<"))
    np.testing.assert_array_equal(found.reshape(voxels.shape), voxels)


def text_of(path: Path) -> str:
    """A zarr.json in one line, without a seal."""
    metadata = json.loads(path.read_text())
    metadata["attributes"].get("jaxslice", {}).pop("seal", None)
    text = json.dumps(metadata, separators=(",", ":"), ensure_ascii=False)
    return text.replace('"sealed":true', '"sealed":false')


def edit(path: Path, old: str, new: str) -> None:
    """Replaces a part of a zarr.json; half of a surrogate pair in `new` is a byte of no UTF-8."""
    text = path.read_text()
    assert old in text
    path.write_bytes(text.replace(old, new, 1).encode("utf-8", "surrogateescape"))


def unsealed(golden: str, folder: Path) -> Path:
    archive = folder / "a.zarr"
    shutil.copytree(GOLDEN / f"{golden}.zarr", archive)
    for path in archive.glob("**/zarr.json"):
        path.write_text(text_of(path))
    return archive


def decoded(program: str, archive: Path, out: Path) -> bytes:
    done = decode(program, archive, out)
    assert done.returncode == 0, done.stderr
    return out.read_bytes()


PLACE = '"offset_voxels":[0,0,0]'
KEYS = '{"separator":"/"}'
KEYS_OBJECT = f'{{"name":"default","configuration":{KEYS}}}'
OLD_FIELDS = '"attributes":{},"dimension_names":["z",'
NEW_FIELDS = '"must_understand":true,"attributes":5,"dimension_names":[7,'
# The golden, the changed zarr.json, what is replaced by what, and a part of the decoder's reason.
REFUSED = {
    "two scales of one path": ("v4/scales", "", '"path":"1"', '"path":"0"', "one path"),
    "path beyond ASCII": ("v3/noise", "", '"path":"0"', '"path":"\u00e4"', "not allowed"),
    "path with a slash": ("v3/noise", "", '"path":"0"', '"path":"0/"', "not allowed"),
    "path with a zero": ("v3/noise", "", '"path":"0"', r'"path":"0\u0000"', "not allowed"),
    "hidden path": ("v3/noise", "", '"path":"0"', '"path":"./0"', "a dot"),
    "no path": ("v3/noise", "", '"path":"0"', '"path":""', "empty"),
    "axis": ("v3/noise", "", '"name":"z"', '"name":"t"', "z, y, x"),
    "no voxel size": ("v3/noise", "", '"scale":[', '"other":[', "scale"),
    "voxel size of words": ("v3/noise", "", '"scale":[1.0', '"scale":["1"', "voxel size"),
    "voxel size below 0": ("v3/noise", "", '"scale":[', '"scale":[-1,5,5],"a":[', "its limits"),
    "vast voxel size": ("v3/noise", "", '"scale":[', '"scale":[2e18,5,5],"a":[', "its limits"),
    "no version of zarr": ("v3/noise", "0", '"zarr_format":3,', "", "zarr_format"),
    "kind of node": ("v3/noise", "0", '"array"', '"group"', "no array"),
    "seal of null": ("v4/zarr", "", PLACE, PLACE + ',"seal":null', "has a seal"),
    "chunk keys as a name": ("v3/noise", "0", KEYS_OBJECT, '"default"', "chunk_key_encoding"),
    "data type as an object": ("v3/noise", "0", '"uint8"', '{"name":"uint8"}', "data_type"),
    "crc32c as a name": ("v4/sharded", "0", '{"name":"crc32c"}', '"crc32c"', "index of shards"),
    "seal of version 4": ("v4/zarr", "", PLACE, PLACE + ',"seal":{}', "has a seal"),
    "name twice": ("v3/noise", "", PLACE, f"{PLACE},{PLACE}", "a name is repeated"),
    "name twice, escaped": ("v3/noise", "", PLACE, PLACE + r',"\u006fffset_voxels":1', "repeated"),
    "name twice, ignored": ("v3/noise", "0", "{},", '{"b":1,"b":1},', "repeated"),
    "mark of byte order": ("v3/noise", "0", "{", "\ufeff{", "JSON"),
    "not UTF-8": ("v3/noise", "", PLACE, PLACE + ',"\udcff":0', "not UTF-8"),
    "NaN": ("v3/noise", "", PLACE, PLACE + ',"a":NaN', "JSON"),
    "infinity": ("v3/noise", "", PLACE, PLACE + ',"a":-Infinity', "JSON"),
    "first half": ("v3/noise", "", PLACE, PLACE + r',"a":"\ud83d\u0041"', "surrogate"),
    "second half": ("v3/noise", "", PLACE, PLACE + r',"a":"\udd2c"', "surrogate"),
    "beyond binary64": ("v3/noise", "", PLACE, PLACE + ',"a":1e309', "too large"),
    "4301 digits": ("v3/noise", "", PLACE, f'{PLACE},"a":{"9" * 4301}', "too many digits"),
    "nested": ("v3/noise", "", PLACE, f'{PLACE},"a":{"[" * 62}{"]" * 62}', "too deeply"),
    "shape of 5.0": ("v3/noise", "0", "[5,16", "[5.0,16", "no integer"),
    "shape of 5e0": ("v3/noise", "0", "[5,16", "[5e0,16", "no integer"),
    "fill value of 0.0": ("v3/noise", "0", '"fill_value":0', '"fill_value":0.0', "no integer"),
    "base64 not padded": ("v3/noise", "0", 'A=="', 'A"', "filled up"),
    "base64 padded thrice": ("v3/noise", "0", 'A=="', 'A==="', "filled up"),
    "base64 of unused bits": ("v3/noise", "0", 'A=="', 'B=="', "bits that are not 0"),
    "base64 padded within": ("v3/noise", "0", '"network":"', '"network":"AA==', "character"),
    "base64 with lines": ("v3/noise", "0", '"network":"', r'"network":"\n\n\n\n', "character"),
    "transformers": ("v3/noise", "0", '"shape"', '"storage_transformers":null,"shape"', "transf"),
    "separator": ("v3/noise", "0", KEYS, '{"separator":"."}', "chunk keys"),
    "keys without object": ("v3/noise", "0", KEYS, "null", "chunk keys"),
    "codec as a name": ("v3/noise", "0", '"codecs":[', '"codecs":["jaxslice"],"a":[', '"name"'),
    "index of other order": ("v4/sharded", "0", '"little"', '"big"', "index of shards"),
    "index at the start": ("v4/sharded", "0", '"end"', '"start"', "at their end"),
    "part of a block": ("v4/sharded", "0", "[4,24,16]", "[4,24,24]", "no multiple"),
    "blocks of a shard": ("v4/sharded", "0", "[4,24,16]", "[4,24,1048576]", "too many blocks"),
}


def agree(archive: Path, *, good: bool) -> None:
    """The product and the reference take the first block, or refuse it."""
    folder = next(archive.glob("*/zarr.json")).parent
    for read in (
        lambda: read_block(open_archive(archive), (0, 0, 0)),
        lambda: reference.read_archive_block(folder, (0, 0, 0)),
    ):
        with contextlib.nullcontext() if good else pytest.raises(FormatError):
            read()


@pytest.mark.parametrize("name", REFUSED)
def test_refused_metadata(program, tmp_path, name):
    golden, scale, old, new, reason = REFUSED[name]
    archive = unsealed(golden, tmp_path)
    edit(archive / scale / "zarr.json", old, new)
    done = decode(program, archive, tmp_path / "out")
    assert done.returncode == 3
    assert reason in done.stderr
    agree(archive, good=False)


# Two readers might take these in two ways; they change nothing.
ACCEPTED = {
    "nothing": ("v3/noise", "", "", ""),
    "seal before version 4": ("v3/noise", "", PLACE, PLACE + ',"seal":5'),
    "fields of version 4": ("v3/noise", "0", '"own_', '"sealed":1,"identity":0,"own_'),
    "pair": ("v3/noise", "", PLACE, PLACE + r',"a":"\ud83d\udd2c"'),
    "4300 digits": ("v3/noise", "", PLACE, f'{PLACE},"a":-{"9" * 4300}'),
    "nested": ("v3/noise", "", PLACE, f'{PLACE},"a":{"[" * 61}{"]" * 61}'),
    "-0": ("v3/noise", "0", '"fill_value":0', '"fill_value":-0'),
    "no separator": ("v3/noise", "0", KEYS, "{}"),
    "no configuration of keys": ("v3/noise", "0", f',"configuration":{KEYS}', ""),
    "voxel size of integers": ("v3/noise", "", '"scale":[', '"scale":[0,1e-400,5],"a":['),
    "rounded to 0": ("v3/noise", "", PLACE, PLACE + ',"a":1e-400'),
    "fields of one scale": ("v3/noise", "", PLACE, PLACE + ',"pooled_by":5,"coarser_scales":0'),
    "pooled by 0": ("v4/scales", "", '"pooled_by":[2', '"pooled_by":[0'),
    "version of ome": ("v3/noise", "", '"version":"0.5"', '"version":7'),
    "type of an axis": ("v3/noise", "", '"type":"space"', '"type":"time"'),
    "translation": ("v3/noise", "", '"translation":[', '"translation":[7,7,7],"a":['),
    "fields that are ignored": ("v3/noise", "0", OLD_FIELDS, NEW_FIELDS),
    "configuration of crc32c": ("v4/sharded", "0", '"crc32c"', '"crc32c","configuration":7'),
    "further multiscales": ("v3/noise", "", '}]},"jaxslice"', '},{"axes":0}]},"jaxslice"'),
    "no place of the index": ("v4/sharded", "0", ',"index_location":"end"', ""),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted_metadata(program, tmp_path, name):
    golden, scale, old, new = ACCEPTED[name]
    archive = unsealed(golden, tmp_path)
    edit(archive / scale / "zarr.json", old, new)
    found = hashlib.sha256(decoded(program, archive, tmp_path / "out")).hexdigest()
    assert found == voxels_digest(GOLDEN / golden)
    agree(archive, good=True)


def test_all_characters_of_a_path(program, tmp_path):
    archive = unsealed("v3/noise", tmp_path)
    edit(archive / "zarr.json", '"path":"0"', '"path":"aZ_-.9"')
    (archive / "0").rename(archive / "aZ_-.9")
    decoded(program, archive, tmp_path / "out")


def canonical(value) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def test_forms_of_numbers_under_the_seal(program, tmp_path):
    """The seal covers the canonical form; the text may have another one."""
    archive = tmp_path / "a.zarr"
    shutil.copytree(GOLDEN / "v4" / "constant.zarr", archive)
    path = archive / "zarr.json"
    text = path.read_text()
    numbers = f"[1E2, -0, -0.0, 5e-324, 1e-400, 1e16, 0.00010, 1e-5, -{'7' * 4300}]"
    text = text.replace('"jaxslice": {', '"jaxslice": {"\\u00e9": ' + numbers + ",", 1)
    attributes = json.loads(text)["attributes"]
    old = attributes["jaxslice"].pop("seal")
    digest = hashlib.sha256(
        canonical(
            {
                "arrays": [json.loads((archive / "0" / "zarr.json").read_text())],
                "jaxslice": attributes["jaxslice"],
                "multiscales": attributes["ome"]["multiscales"],
            }
        )
    )
    layers = b"".join(bytes.fromhex(layer) for array in old["layers"] for layer in array)
    root = hashlib.sha256(digest.digest() + layers).hexdigest()
    text = text.replace(old["metadata"], digest.hexdigest())
    path.write_text(text.replace(old["root"], root))
    decoded(program, archive, tmp_path / "out")
    path.write_text(text.replace(old["root"], root).replace("1E2", "1E3"))
    assert "metadata" in decode(program, archive, tmp_path / "out").stderr


MISSING = 2**64 - 1


def change_shard(shard: Path, block: int, offset: int, length: int) -> None:
    """Changes an entry of the index of a shard of 4 blocks."""
    stored = bytearray(shard.read_bytes())
    index = stored[-16 * 4 - 4 : -4]
    struct.pack_into("<QQ", index, 16 * block, offset, length)
    stored[-16 * 4 - 4 :] = index + struct.pack("<I", google_crc32c.value(bytes(index)))
    shard.write_bytes(stored)


def sharded_voxels(program: str, archive: Path, out: Path) -> np.ndarray:
    return np.frombuffer(decoded(program, archive, out), np.uint8).reshape(5, 24, 30)


def test_missing_blocks_of_a_shard(program, tmp_path):
    """The offset alone says that a block is missing; a shard may be no object."""
    archive = unsealed("v4/sharded", tmp_path)
    expected = sharded_voxels(program, archive, tmp_path / "out").copy()
    change_shard(archive / "0/c/0/0/0", 3, MISSING, 5)
    (archive / "0/c/1/0/1").unlink()
    expected[2:4, 12:, :16] = 0
    expected[4:, :, 16:] = 0
    found = sharded_voxels(program, archive, tmp_path / "out")
    np.testing.assert_array_equal(found, expected)


def test_entries_outside_the_grid(program, tmp_path):
    archive = unsealed("v4/sharded", tmp_path)
    expected = sharded_voxels(program, archive, tmp_path / "out")
    change_shard(archive / "0/c/1/0/0", 2, 2**63, 2**63)
    found = sharded_voxels(program, archive, tmp_path / "out")
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("offset", "length"), [(2**64 - 2, 1), (0, 2**40), (8, 2**64 - 8), (0, 9999)]
)
def test_payload_beyond_its_shard(program, tmp_path, offset, length):
    archive = unsealed("v4/sharded", tmp_path)
    change_shard(archive / "0/c/0/0/0", 0, offset, length)
    refused(program, archive, tmp_path / "out")


def refused(program: str, archive: Path, out: Path) -> None:
    assert decode(program, archive, out).returncode == 3
    agree(archive, good=False)


def test_a_payload_that_ends_with_its_shard(program, tmp_path):
    """The index is a part of the object, and a payload may reach into it."""
    archive = unsealed("v4/sharded", tmp_path)
    shard = archive / "0/c/0/0/0"
    change_shard(shard, 0, 0, shard.stat().st_size)
    for reason in (
        decode(program, archive, tmp_path / "out").stderr,
        *(str(error) for error in errors_of(archive)),
    ):
        assert "CRC32C" in reason


def errors_of(archive: Path) -> list[FormatError]:
    """Of the product and of the reference, for the first block."""
    found = []
    for read in (
        lambda: read_block(open_archive(archive), (0, 0, 0)),
        lambda: reference.read_archive_block(archive / "0", (0, 0, 0)),
    ):
        with pytest.raises(FormatError) as caught:
            read()
        found.append(caught.value)
    return found


def test_a_shard_of_one_block(program, tmp_path):
    """It has an index too."""
    archive = unsealed("v3/noise", tmp_path)
    path = archive / "0" / "zarr.json"
    metadata = json.loads(path.read_text())
    metadata["codecs"] = [
        sharding_codec(
            tuple(metadata["chunk_grid"]["configuration"]["chunk_shape"]), metadata["codecs"][0]
        )
    ]
    path.write_text(json.dumps(metadata))
    for chunk in archive.glob("0/c/*/*/*"):
        chunk.write_bytes(pack_shard({(0, 0, 0): chunk.read_bytes()}, (1, 1, 1)))
    found = hashlib.sha256(decoded(program, archive, tmp_path / "out")).hexdigest()
    assert found == voxels_digest(GOLDEN / "v3/noise")
    agree(archive, good=True)


def test_a_folder_in_place_of_a_chunk(program, tmp_path):
    archive = unsealed("v4/noise", tmp_path)
    expected = decoded(program, archive, tmp_path / "out")
    chunk = archive / "0/c/0/0/0"
    chunk.unlink()
    zeros = decoded(program, archive, tmp_path / "out")
    assert zeros != expected
    chunk.mkdir()
    assert decoded(program, archive, tmp_path / "out") == zeros
    agree(archive, good=True)


def test_the_largest_payload(program, tmp_path):
    """Files that are larger, with holes, are not read."""
    archive = unsealed("v4/noise", tmp_path)
    most = most_payload_bytes(open_archive(archive).block_shape, 1)
    for size, reason in ((most, "CRC32C"), (most + 1, "large|long|most")):
        os.truncate(archive / "0/c/0/0/0", size)
        done = decode(program, archive, tmp_path / "out")
        assert done.returncode == 3
        for text in (done.stderr, *map(str, errors_of(archive))):
            assert re.search(reason, text)


@pytest.mark.parametrize("finest", [3, 4])
def test_a_seal_of_mixed_versions(program, tmp_path, finest):
    """One array of version 4 is enough for a seal to have a meaning."""
    archive = unsealed("v4/scales", tmp_path)
    old = archive / str(int(finest == 4)) / "zarr.json"
    edit(old, '"format_version":4', '"format_version":3')
    for chunk in old.parent.glob("c/*/*/*"):
        chunk.unlink()
    open_archive(archive)
    edit(archive / "zarr.json", PLACE, PLACE + ',"seal":{}')
    refused(program, archive, tmp_path / "out")
    for scale in ("0", "1"):
        with pytest.raises(FormatError, match="seal"):
            reference.read_archive_block(archive / scale, (0, 0, 0))


def test_largest_shard(program, tmp_path):
    """A shard of 2**16 blocks of 2**16 voxels along an axis, and one of a block more."""
    archive = unsealed("v4/sharded", tmp_path)
    shutil.rmtree(archive / "0" / "c")
    path = archive / "0" / "zarr.json"
    edit(path, "[5,24,30]", "[1,1,7]")
    edit(path, "[2,12,16]", "[1,1,65536]")
    edit(path, "[4,24,16]", "[1,1,4294967296]")
    assert decoded(program, archive, tmp_path / "out") == bytes(7)
    edit(path, "4294967296", "4295032832")
    assert decode(program, archive, tmp_path / "out").returncode == 3
