"""Makes the corpora that fuzzing begins with; what was found later stays beside them.

    PYTHONPATH=tests python experiments/fuzz/seeds.py

Inputs are named `seed-*`; they are small, and differ in what they reach. It also writes
`configurations.json`, of the codecs that payloads are decoded with.
"""

from __future__ import annotations

import dataclasses
import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from linear_cases import TINY_LINEAR, numbers_of
from models_for_tests import IN_SLICE, TINY, coded_anyway, random_network

from fuzz import volume_seeds
from fuzz.target import CORPUS, SEPARATOR
from jaxslice.archive.configuration import CodecConfiguration
from jaxslice.archive.shards import sharding_codec
from jaxslice.codec import block, linear, network_bytes, network_difference
from jaxslice.codec.network import IntegerNetwork, Model
from jaxslice.codec.place import IDENTITY_BYTES
from jaxslice.core.checksum import crc32c

GOLDEN = Path(__file__).parents[2] / "tests" / "golden"
SHAPE = (2, 3, 4)
GROUPS = (("v4", ("deep", "shallow", "sharded", "scales", "four-phases")), ("v1", ("tissue",)),
          ("v3", ("own",)))  # fmt: skip
"""Golden archives whose metadata are seeds."""


def made_models() -> Iterator[tuple[Model, CodecConfiguration]]:
    """What payloads are decoded with: networks, of both widths, their own ones, old, linear."""
    identity = bytes(range(IDENTITY_BYTES))
    for architecture, own, version in (
        (TINY, False, 4), (TINY.of_voxels(np.uint16), False, 4), (IN_SLICE, True, 4),
        (IN_SLICE, False, 1),
    ):  # fmt: skip
        network = random_network(architecture, 1, 3)
        packed, network = network_bytes.pack_coded(network, architecture)
        if version == 1:
            packed = network_bytes.pack(network)
        configuration = CodecConfiguration(architecture, packed, own, version, identity)
        yield Model(architecture, network), configuration
    numbers = numbers_of(TINY_LINEAR, 1)
    configuration = CodecConfiguration(TINY_LINEAR, linear.pack(numbers), identity=identity)
    yield Model(TINY_LINEAR, numbers), configuration


def blocks_of(dtype: np.dtype) -> Iterator[np.ndarray]:
    """Blocks of each mode and kind of level table."""
    rng = np.random.default_rng(1)
    top = np.iinfo(dtype).max
    yield np.full(SHAPE, 7, dtype)
    yield rng.integers(100, 104, SHAPE).astype(dtype)
    yield (rng.integers(0, 8, SHAPE) * (top // 8)).astype(dtype)
    yield np.repeat(rng.integers(0, 9, (1, *SHAPE[1:])), SHAPE[0], 0).astype(dtype)
    yield np.pad(rng.integers(1, 9, (1, 2, 3)), ((0, 1), (0, 1), (0, 1))).astype(dtype)


def decoder_seeds() -> Iterator[bytes]:
    """Payloads without their CRC32C, stored and coded."""
    for number, (model, configuration) in enumerate(made_models()):
        own = _difference(model) if configuration.block_networks else None
        for voxels in blocks_of(model.architecture.dtype):
            kinds = {}
            for flags, shortest in ((1, block.shortest), (3, coded_anyway)):
                with mock.patch.object(block, "shortest", shortest):
                    (made,) = block.encode_blocks(
                        [voxels],
                        model,
                        places=[configuration.place_of(None)],
                        differences=own and [own],
                        format_version=configuration.format_version,
                    )
                kinds[made] = flags
            for made, flags in kinds.items():
                yield bytes((number, flags)) + made[:-4]


def _difference(model: Model) -> bytes:
    *first, last = model.network.biases
    other = IntegerNetwork(model.network.weights, (*first, last + np.array([64, -128, 64])))
    return network_difference.encode(model.network, other, model.architecture)[0]


def _golden() -> Iterator[Path]:
    for version, names in GROUPS:
        yield from (GOLDEN / version / f"{name}.zarr" for name in names)


def metadata_seeds() -> Iterator[bytes]:
    """Groups and arrays of golden archives, and arrays alone that are not sealed."""
    for archive in _golden():
        group = (archive / "zarr.json").read_bytes()
        datasets = json.loads(group)["attributes"]["ome"]["multiscales"][0]["datasets"]
        arrays = [(archive / d["path"] / "zarr.json").read_bytes() for d in datasets]
        yield SEPARATOR.join((group, *arrays))
        alone = json.loads(arrays[0])
        _codec_of(alone)["configuration"]["sealed"] = False
        yield _dumped(alone)
    yield from (document for document, _ in _small_arrays())


def _codec_of(array: Any) -> Any:
    (codec,) = array["codecs"]
    return codec["configuration"]["codecs"][0] if codec["name"] == "sharding_indexed" else codec


def _small_arrays() -> Iterator[tuple[bytes, bytes]]:
    """Arrays of one block, and the block without its CRC32C."""
    for model, configuration in made_models():
        made = dataclasses.replace(configuration, sealed=False)
        document = {
            "zarr_format": 3, "node_type": "array", "shape": SHAPE,
            "data_type": model.architecture.dtype.name, "fill_value": 0, "attributes": {},
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": SHAPE}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "codecs": [{"name": "jaxslice", "configuration": made.to_json()}],
        }  # fmt: skip
        (payload,) = block.encode_blocks(
            list(blocks_of(model.architecture.dtype))[1:2], model,
            places=[made.place_of(None)], format_version=made.format_version,
        )  # fmt: skip
        yield _dumped(document), payload[:-4]


def zarr_seeds() -> Iterator[bytes]:
    """Arrays with a block, which gets its CRC32C when it is read."""
    for document, payload in _small_arrays():
        yield document + SEPARATOR + payload + bytes(4)


def archive_seeds() -> Iterator[bytes]:
    """The same as objects of their own, and in shards of one block."""
    for document, payload in _small_arrays():
        yield document + SEPARATOR + b"b" + payload
        whole = payload + crc32c(payload).to_bytes(4, "little")
        array = json.loads(document)
        array["codecs"] = [sharding_codec(SHAPE, array["codecs"][0])]
        index = struct.pack("<2Q", 0, len(whole))
        yield _dumped(array) + SEPARATOR + b"s" + whole + index


def notes_seeds() -> Iterator[bytes]:
    """One note of each kind."""
    _, configuration = next(made_models())
    named = configuration.to_json()
    stats = {"blocks": 1, "voxels": 24}
    options = {"effort": 1, "block_shape": [4, 16, 32], "bbox": "0:4,0:16,0:32", "model": None}
    array = {
        "shape": SHAPE, "block_shape": SHAPE, "shard_shape": None, "configuration": named,
        "voxel_size_nm": [1, 1, 1], "offset_voxels": [0, 0, 0], "provenance": {},
        "data_type": "uint8", "path": "0",
    }  # fmt: skip
    job = {"options": {"a": 2}, "block_shape": [1, 2, 2], "shard_shape": [2, 4, 4]}
    documents: dict[str, Any] = {
        "l": {"token": "00", "pid": 1, "machine": "m", "renewed": 1},
        "b": {"host": "h", "pid": 1, "seen": 1.5, "part": "encode", "done": 1, "total": 2,
              "command": "jaxslice compress a b"},
        "s": {**job, "source": {"box": "0:4,0:4,0:4"}},
        "o": {"n5": "2", "type": "image", "scales": [{"key": "a"}],
              "attributes": {"ome": {"multiscales": [{"datasets": [{"path": "0"}]}]}}},
        "g": {"options": options, "num_sources": 1, "description": "a"},
        "a": array,
        "n": {"configuration": named, "provenance": {"a": 1}},
        "j": job,
        "p": {"stats": stats, "leaves": [[0, 0, 0, "00"]], "missing": [[0, 0, 0]],
              "any_found": True},
        "c": {"version": 1, "archives": {"a.zarr": {
            "root": None, "passes": 0, "checked": 1, "leaves": ["00", None], "problems": []}}},
    }  # fmt: skip
    for letter, document in documents.items():
        yield letter.encode() + SEPARATOR + _dumped(document)
    model, _ = next(made_models())
    yield b"m" + SEPARATOR + _dumped({
        "kind": "jaxslice model", "version": 1, "architecture": model.architecture.to_json(),
        "network": _base64(network_bytes.pack(model.network)), "adaptation": None,
        "provenance": {},
    })  # fmt: skip


def _base64(data: bytes) -> str:
    import base64

    return base64.b64encode(data).decode()


def places_seeds() -> Iterator[bytes]:
    """Texts of each kind."""
    yield from (
        b"a/b.zarr", b"zarr://gs://bucket/volume", b"https://u:p@host/a?b=c#d", b"file:///a/b",
        b"gs://bucket/a.zip|zip:b/|zarr3:c", b"s3://b/c/|precomputed:", b"http://[::1]:80/a",
        b"0:4,0:16,0:32", b"-1:2,3:4,5:6", b"4,16,32", b"n5://http://host/a", b"a|ocdbt:x|n5:y",
    )  # fmt: skip


def server_seeds() -> Iterator[bytes]:
    """Requests of each URL, header and method."""
    for path in (
        "/", "/stats", "/a/precomputed/info", "/a/precomputed/0/0-4_0-4_0-4", "/a/zarr/zarr.json",
        "/a/precomputed/1/0-24_0-16_0-4", "/a/zarr/0/zarr.json", "/a/zarr/0/c/0/0/0",
        "/a/zarr/9/c/0/0/0", "/../../etc/passwd", "/a/zarr/0/c/../../%2e%2e/zarr.json", "/%00",
    ):  # fmt: skip
        yield f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode()
    for header in (
        "Range: bytes=0-9", "Range: bytes=-5", "Range: bytes=9-", "If-None-Match: *",
        'If-Match: "a"', 'If-Range: "a"\r\nRange: bytes=1-2', "Accept-Encoding: gzip;q=1.0, *",
        "Connection: close", "Content-Length: 5", "Transfer-Encoding: chunked",
        "Expect: 100-continue", "Upgrade: websocket\r\nConnection: Upgrade",
    ):  # fmt: skip
        yield f"GET /a/zarr/0/c/0/0/0 HTTP/1.1\r\nHost: h\r\n{header}\r\n\r\n".encode()
    yield b"OPTIONS /a HTTP/1.1\r\nHost: h\r\nOrigin: http://o\r\n\r\n"
    yield b"HEAD /a/zarr/0/c/0/0/0 HTTP/1.1\r\nHost: h\r\n\r\n"
    yield b"POST / HTTP/1.0\r\nContent-Length: 1\r\n\r\nx" + b"GET / HTTP/1.0\r\n\r\n"


def _dumped(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def write(name: str, inputs: Iterator[bytes]) -> None:
    """Replaces the seeds of a target."""
    folder = CORPUS / name
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("seed-*"):
        path.unlink()
    for number, data in enumerate(dict.fromkeys(inputs)):
        (folder / f"seed-{number:02d}").write_bytes(data)


def main() -> None:
    """Writes all of them."""
    configurations = [made.to_json() for _, made in made_models()]
    text = json.dumps(configurations, indent=1) + "\n"
    (CORPUS.parent / "configurations.json").write_text(text)
    write("decoder", decoder_seeds())
    write("metadata", metadata_seeds())
    write("archive", archive_seeds())
    write("zarr_path", zarr_seeds())
    write("notes", notes_seeds())
    write("places", places_seeds())
    write("server", server_seeds())
    for name, inputs in volume_seeds.SEEDS.items():
        write(name, inputs())


if __name__ == "__main__":
    main()
