"""The decoder that was written from FORMAT.md reads what the JAX encoder writes."""

from __future__ import annotations

import base64
import copy
import functools
import json
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models_for_tests import coded_anyway

from jaxslice.codec import network_bytes
from jaxslice.codec.architecture import Architecture
from jaxslice.codec.block import encode_blocks
from jaxslice.codec.network import IntegerNetwork, Model
from jaxslice.codec.place import NOWHERE
from jaxslice.core.errors import ChecksumError, FormatError, VersionError
from jaxslice.models.presets import FULL, SLICES
from jaxslice.reference import crc32c, decode_array, decode_block, read_archive_block

SMALL = Architecture(
    context=((0, 0, -1), (0, -1, 0), (0, -1, 1), (-1, 0, 0), (-1, 2, 3), (-2, -1, 0)),
    activity_count=5,
    fallback=3,
    hidden=(5,),
    components=1,
)
DEEP = Architecture(
    context=((-1, 16, 16), (-3, -16, 1), (-2, 0, 0), (-1, 0, -16), (-16, 0, 0)),
    activity_count=1,
    fallback=4,
    hidden=(1, 7, 256, 3),
    components=8,
)
ARCHITECTURES = {"full": FULL, "slices": SLICES, "small": SMALL, "deep": DEEP}
SHAPE = (4, 20, 33)
MODES = {"constant": 0, "stored": 1, "coded": 2}


def random_network(architecture: Architecture, seed: int, *, extreme: bool) -> IntegerNetwork:
    """Sensible weights, or the largest that the format allows (odd seeds: in the first layer)."""
    rng = np.random.default_rng(seed)
    kernels, biases = [], []
    for layer, (outputs, inputs) in enumerate(architecture.layer_shapes):
        last = layer == len(architecture.hidden)
        if extreme and (layer == 0 or seed % 2 == 0):
            kernel = rng.choice([-127, 127], (outputs, inputs))
            bias = rng.choice([-1, 1], outputs) * (2 ** rng.uniform(9, 22, outputs) - 1)
            bias[:1] = 2**22 - 1
        elif last:
            # Close to the reference, with a deviation of the order of the activity.
            kernel = rng.integers(-2, 3, (outputs, inputs))
            bias = rng.normal(0, 500, outputs)
        else:
            kernel = np.clip(rng.normal(0, 200 / np.sqrt(inputs), (outputs, inputs)), -127, 127)
            bias = rng.normal(0, 3000, outputs)
        kernels.append(kernel.astype(np.int8))
        biases.append(bias.astype(np.int32))
    return IntegerNetwork(tuple(kernels), tuple(biases))


@functools.cache
def model_of(
    name: str, seed: int = 1, extreme: bool = False, version: int | None = None
) -> tuple[Model, dict]:
    """A model, and the codec configuration that says the same.

    The version is 1 where the architecture allows it: only that holds every network.
    """
    architecture = ARCHITECTURES[name]
    network = random_network(architecture, seed, extreme=extreme)
    configuration = {
        "format_version": 1,
        "architecture": json.loads(json.dumps(architecture.to_json())),
        "network": base64.b64encode(network_bytes.pack(network)).decode(),
    }
    if version == 4 or architecture.shear != 2:
        packed, network = network_bytes.pack_coded(network, architecture)
        coded = base64.b64encode(packed).decode()
        configuration |= {"format_version": 4, "own_networks": False, "network": coded}
        configuration["sealed"] = False
        configuration["identity"] = NOWHERE.identity.hex()
        configuration["architecture"]["kind"] = "network"
    return Model(architecture, network), configuration


def smooth(shape, low=40, high=200) -> np.ndarray:
    z, y, x = np.indices(shape)
    wave = np.sin(z / 2 + x / 5) + np.cos(y / 4 - x / 9)
    noise = np.random.default_rng(5).normal(0, 0.05, shape)
    return np.clip((low + high) / 2 + (high - low) / 4 * (wave + noise), 0, 255).astype(np.uint8)


def noise(shape, levels=256) -> np.ndarray:
    return np.random.default_rng(7).integers(0, levels, shape, np.uint8)


def bordered(shape, fill=0) -> np.ndarray:
    block = np.full(shape, fill, np.uint8)
    inner = tuple(slice(0, (3 * n + 3) // 4) for n in shape)
    block[inner] = smooth(shape)[inner]
    return block


def combs(shape) -> np.ndarray:
    """Each slice has its own few levels."""
    block = smooth(shape)
    steps = np.array([3, 7, 11, 40])[np.arange(shape[0]) % 4, None, None]
    return (block // steps * steps + np.arange(shape[0])[:, None, None]).astype(np.uint8)


def ramp(shape) -> np.ndarray:
    """All 256 levels, smoothly."""
    return (np.indices(shape).sum(0) * 5 % 256).astype(np.uint8)


BLOCKS = {
    "noise": noise(SHAPE),
    "smooth": smooth(SHAPE),
    "constant": np.full(SHAPE, 77, np.uint8),
    "black border": bordered(SHAPE),
    "white border": bordered(SHAPE, 255),
    "two levels": np.where(smooth(SHAPE) > 120, 255, 0).astype(np.uint8),
    "one voxel": np.pad(np.full((1, 1, 1), 9, np.uint8), ((0, 3), (0, 19), (0, 32))),
    "comb": smooth(SHAPE) // 5 * 5,
    "combs by slice": combs(SHAPE),
    "one constant slice": np.concatenate([smooth(SHAPE)[:3], np.full((1, 20, 33), 3, np.uint8)]),
    "all levels": ramp(SHAPE),
    "extremes": noise(SHAPE, 2) * 255,
}


def mode_of(payload: bytes) -> int:
    return payload[1]


def body_start(payload: bytes) -> int:
    return 46 if payload[0] == 4 else 20


def encoded(block: np.ndarray, model: Model, configuration: dict) -> bytes:
    """The payload of an archive with this configuration."""
    version = configuration["format_version"]
    return encode_blocks([block], model, format_version=version)[0]


def check(block: np.ndarray, model: Model, configuration: dict) -> bytes:
    """Encodes the block with JAX, and decodes it with the reference."""
    payload = encoded(block, model, configuration)
    decoded = decode_block(payload, block.shape, configuration)
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, block)
    return payload


def sealed(payload: bytes) -> bytes:
    """The payload with the CRC32C at its end set right."""
    return payload[:-4] + struct.pack("<I", crc32c(payload[:-4]))


def header_changed(payload: bytes, at: int, value: bytes) -> bytes:
    return sealed(payload[:at] + value + payload[at + len(value) :])


def test_crc32c():
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(b"") == 0
    assert crc32c(bytes(32)) == 0x8A9136AA


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_blocks(name: str):
    model, configuration = model_of(name)
    for block in BLOCKS.values():
        check(block, model, configuration)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_saturation(name: str, monkeypatch):
    """Such predictions are so poor that the encoder would store the block; here it may not."""
    monkeypatch.setattr("jaxslice.codec.block.shortest", coded_anyway)
    monkeypatch.setattr("jaxslice.reference.limits.most_words", lambda size: 8 * size)
    for seed in range(3):
        model, configuration = model_of(name, seed, extreme=True)
        for kind in ("noise", "extremes", "all levels", "combs by slice"):
            assert mode_of(check(BLOCKS[kind], model, configuration)) == MODES["coded"]


def test_blocks_use_every_mode_and_kind():
    """The test above would prove little if the encoder stored everything."""
    model, configuration = model_of("full")
    payloads = {name: check(block, model, configuration) for name, block in BLOCKS.items()}
    assert mode_of(payloads["constant"]) == MODES["constant"]
    assert mode_of(payloads["noise"]) == MODES["stored"]
    coded = {name for name, payload in payloads.items() if mode_of(payload) == MODES["coded"]}
    assert len(coded) >= 6
    assert {payloads[name][body_start(payloads[name])] for name in coded} == {0, 1, 2}
    assert struct.unpack_from("<3I", payloads["black border"], 24) == (3, 15, 25)
    assert struct.unpack_from("<H", payloads["white border"], 36) == (255,)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("full", (1, 1, 1)),
        ("full", (1, 1, 7)),
        ("small", (3, 5, 1)),
        ("full", (2, 9, 1)),
        ("deep", (18, 2, 3)),
    ],
)
def test_thin_blocks(name: str, shape, monkeypatch):
    monkeypatch.setattr("jaxslice.codec.block.shortest", coded_anyway)
    monkeypatch.setattr("jaxslice.reference.limits.most_words", lambda size: 8 * size)
    model, configuration = model_of(name)
    for block in (noise(shape), smooth(shape), noise(shape, 2), noise(shape, 3) * 100):
        check(block, model, configuration)


@settings(max_examples=60, deadline=None)
@given(
    data=st.binary(min_size=72, max_size=72),
    levels=st.lists(st.integers(0, 255), min_size=1, max_size=8),
    seed=st.integers(1, 5),
    extreme=st.booleans(),
)
def test_any_content(data: bytes, levels: list[int], seed: int, extreme: bool):
    indices = np.frombuffer(data, np.uint8).reshape(2, 6, 6)
    block = np.resize(np.array(levels, np.uint8), 256)[indices]
    model, configuration = model_of("small", seed, extreme)
    check(np.tile(block, (2, 2, 4)), model, configuration)


@functools.cache
def payload_of(kind: str) -> bytes:
    return encoded(BLOCKS[kind], *model_of("small"))


@functools.cache
def coded_payload() -> bytes:
    payload = payload_of("combs by slice")
    assert mode_of(payload) == MODES["coded"]
    assert payload[body_start(payload)] == 2
    return payload


def damage_is_found(payload: bytes, block: np.ndarray, configuration: dict) -> None:
    try:
        decoded = decode_block(payload, block.shape, configuration)
    except FormatError:
        return
    np.testing.assert_array_equal(decoded, block)


@settings(max_examples=80, deadline=None)
@given(
    flips=st.lists(st.tuples(st.integers(0, 4000), st.integers(1, 255)), max_size=3),
    near_start=st.booleans(),
    cut=st.integers(0, 80),
    extra=st.binary(max_size=9),
    seal=st.booleans(),
    name=st.sampled_from(["combs by slice", "noise", "constant", "comb"]),
)
def test_damaged_payloads(flips, near_start, cut, extra, seal, name):
    """With and without a CRC32C that hides the damage from the first check."""
    payload = bytearray(payload_of(name))
    for at, change in flips:
        payload[at % min(len(payload), 70 if near_start else 10**9)] ^= change
    damaged = bytes(payload[: len(payload) - cut]) + extra
    damaged = sealed(damaged) if seal else damaged
    damage_is_found(damaged, BLOCKS[name], model_of("small")[1])


@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, 27, 28, 29, 60, 61, 500])
def test_truncated_payloads(size: int):
    for payload in (coded_payload()[:size], sealed(coded_payload()[:size])):
        with pytest.raises(FormatError):
            decode_block(payload, SHAPE, model_of("small")[1])


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        (0, b"\2", "version 2"),
        (1, b"\3", "mode 3"),
        (1, b"\0", "mode 0"),
        (1, b"\1", "bytes of voxels for"),
        (3, b"\1", "flags 1"),
        (4, b"\5", "extent"),
        (8, b"\0", "extent"),
        (12, b"\xff\xff\xff\xff", "extent"),
        (16, b"\0\0\0\0", "digest"),
        (20, b"\3", "kind"),
        (21, bytes(32), "without levels"),
        (21, b"\xff" * 32, "message|without levels|state"),
    ],
)
def test_damaged_fields(at: int, value: bytes, message: str):
    error = VersionError if at == 0 else FormatError
    with pytest.raises(error, match=message):
        decode_block(header_changed(coded_payload(), at, value), SHAPE, model_of("small")[1])


def test_damaged_messages():
    """Tails with a word too many or too few, states out of range, bytes that are no word."""
    _, configuration = model_of("small")
    payload, states = coded_payload(), len(coded_payload()) - 4
    tables = 20 + 33 + -(-4 * len(np.unique(BLOCKS["combs by slice"])) // 8)
    for damaged, message in (
        (payload[:-4] + bytes(4) + payload[-4:], "does not end"),
        (payload[:-8] + payload[-4:], "too short"),
        (payload[:-4] + b"x" + payload[-4:], "message of"),
        (payload[: tables + 156] + payload[states:], "message of"),
        (payload[:tables] + b"\xff" * 4 + payload[tables + 4 :], "state"),
        (payload[:tables] + bytes(4) + payload[tables + 4 :], "state"),
    ):
        with pytest.raises(FormatError, match=message):
            decode_block(sealed(damaged), SHAPE, configuration)


BAD_ARCHITECTURES = {
    "context": [
        None, "abc", {}, [], 3, SMALL.to_json()["context"][:3], [[0, 0, -1]] * 4,
        [*SMALL.to_json()["context"], [0, 0, 0]], [*SMALL.to_json()["context"], [0, 0]],
        [*SMALL.to_json()["context"], [0, -1, 2]], [*SMALL.to_json()["context"], [-17, 0, 0]],
        [*SMALL.to_json()["context"], [0, 0, -2]], [*SMALL.to_json()["context"], [-1, 0, True]],
        [*SMALL.to_json()["context"], [-1, 0, 1.0]], [*SMALL.to_json()["context"], 5],
        [[1, 0, 0], *SMALL.to_json()["context"]],
    ],
    "activity_count": [None, 0, 7, 2.0, True, "2", [2]],
    "fallback": [None, -1, 6, False, 1.5],
    "hidden": [None, [], [5] * 5, [0], [257], [5.0], [True], 5, "5"],
    "components": [None, 0, 9, 1.0, True],
}  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value"),
    [(key, value) for key in BAD_ARCHITECTURES for value in BAD_ARCHITECTURES[key]],
)
def test_damaged_architectures(field: str, value):
    configuration = copy.deepcopy(model_of("small")[1])
    configuration["architecture"][field] = value
    with pytest.raises(FormatError):
        decode_block(coded_payload(), SHAPE, configuration)
    del configuration["architecture"][field]
    with pytest.raises(FormatError, match=field):
        decode_block(coded_payload(), SHAPE, configuration)


@pytest.mark.parametrize("field", ["format_version", "architecture", "network"])
@pytest.mark.parametrize("value", [None, True, 3, 4, 5, 1.0, "", "é===", "AAAA", "a b=", [], {}])
def test_damaged_configurations(field: str, value):
    configuration = {**model_of("small")[1], field: value}
    error = VersionError if (field, value) == ("format_version", 5) else FormatError
    with pytest.raises(error):
        decode_block(coded_payload(), SHAPE, configuration)
    with pytest.raises(FormatError):
        decode_block(coded_payload(), SHAPE, value)


def test_damaged_networks():
    model, configuration = model_of("small")
    packed = network_bytes.pack(model.network)
    weight, bias = b"\x80", struct.pack("<i", 2**22)
    for damaged, error in (
        (packed[:-1], FormatError),
        (bytes([packed[0] ^ 1]) + packed[1:], ChecksumError),
        (sealed(packed[:50]), FormatError),
        (sealed(packed + bytes(4)), FormatError),
        (sealed(weight + packed[1:]), FormatError),
        (sealed(packed[:40] + bias + packed[44:]), FormatError),
    ):
        network = base64.b64encode(damaged).decode()
        with pytest.raises(error):
            decode_block(coded_payload(), SHAPE, {**configuration, "network": network})


def array_metadata(shape, chunk_shape, configuration) -> dict:
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": "uint8",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(chunk_shape)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": [{"name": "jaxslice", "configuration": configuration}],
        "attributes": {},
    }


@pytest.fixture
def archive(tmp_path: Path) -> tuple[Path, np.ndarray, dict]:
    """A hand-made array of 2 x 1 x 2 blocks, those at the far edge being cropped."""
    model, configuration = model_of("small")
    padded = smooth((2 * SHAPE[0], SHAPE[1], 2 * SHAPE[2]))
    for z in range(2):
        for x in range(2):
            block = padded[z * 4 : z * 4 + 4, :, x * 33 : x * 33 + 33]
            path = tmp_path / "array" / "c" / str(z) / "0" / str(x)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded(np.ascontiguousarray(block), model, configuration))
    voxels = padded[:7, :18, :50]
    metadata = array_metadata(voxels.shape, SHAPE, configuration)
    (tmp_path / "array" / "zarr.json").write_text(json.dumps(metadata))
    return tmp_path / "array", voxels, metadata


def test_archive(archive, tmp_path: Path):
    folder, voxels, _ = archive
    block = read_archive_block(folder, (1, 0, 1))
    assert block.shape == SHAPE
    np.testing.assert_array_equal(block[:3, :18, :17], voxels[4:, :, 33:])
    decode_array(folder, tmp_path / "voxels.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "voxels.npy"), voxels)


def test_main(archive, tmp_path: Path):
    folder, voxels, _ = archive
    command = [sys.executable, "-m", "jaxslice.reference", str(folder)]
    output = str(tmp_path / "voxels.npy")
    subprocess.run([*command, output], check=True, capture_output=True)
    np.testing.assert_array_equal(np.load(output), voxels)
    (folder / "c" / "0" / "0" / "1").unlink()
    failed = subprocess.run([*command, output], capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert failed.stderr.startswith("error: Got no block (0, 0, 1)")
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1


def test_damaged_archives(archive, tmp_path: Path):
    folder, _, metadata = archive
    (folder / "c" / "0" / "0" / "1").unlink()
    with pytest.raises(FormatError, match="no block"):
        decode_array(folder, tmp_path / "voxels.npy")
    with pytest.raises(FormatError, match="no block"):
        read_archive_block(folder, (5, 0, 0))
    with pytest.raises(FormatError, match="no array metadata"):
        read_archive_block(tmp_path / "nowhere", (0, 0, 0))
    for text in (b"", b"{", b"\xff", b"[]", b"7", b"null", b"[" * 100_000):
        (folder / "zarr.json").write_bytes(text)
        with pytest.raises(FormatError, match="no array metadata"):
            read_archive_block(folder, (0, 0, 0))
    for field in metadata:
        if field in ("fill_value", "attributes"):
            continue
        for value in (None, 5, "x", [], {}, [5], [{}], {"name": "x"}, [1, 2, 0], [1, 2, 1.5]):
            (folder / "zarr.json").write_text(json.dumps({**metadata, field: value}))
            with pytest.raises(FormatError):
                read_archive_block(folder, (0, 0, 0))
    for chunk_shape in ([4, 20, 0], [4, 20], [4, 20, 33, 1], [4, 20, 2**31], [4, 20, 34], [1] * 3):
        grid = {"name": "regular", "configuration": {"chunk_shape": chunk_shape}}
        (folder / "zarr.json").write_text(json.dumps({**metadata, "chunk_grid": grid}))
        with pytest.raises(FormatError):
            read_archive_block(folder, (0, 0, 0))
    (folder / "zarr.json").write_text(json.dumps({**metadata, "shape": [2**31 - 1] * 3}))
    with pytest.raises(FormatError, match="larger than any disk"):
        decode_array(folder, tmp_path / "voxels.npy")
