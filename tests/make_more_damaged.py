"""Adds damaged golden archives: python tests/make_more_damaged.py

All checksums but the one in question are right, and seals are made anew, so that each archive is
refused for the reason that it is there for. Those that are there are left as they are.
"""

import base64
import itertools
import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from make_golden import GOLDEN, _with_crc

from jaxslice.archive import seal
from jaxslice.codec.block import encode_blocks
from jaxslice.codec.place import Place

DAMAGED = GOLDEN / "damaged"
BLOCK = "0/c/0/0/0"
HEAD = 46
"""Where the body of a payload begins in version 4."""

NO_INDEX = b"\xff" * 12

Change = Callable[[Path], None]


def cases() -> dict[str, tuple[str, Change, str]]:
    """By place: the archive that is copied, what is changed, and what the error says."""
    return {
        "v1/payload-of-version-9": (
            "v1/bordered", _payload(lambda d: b"\t" + d[1:]), "version 9",
        ),
        "v1/network-of-another": ("v1/bordered", _other_network, "coded with another network"),
        "v1/other-voxels": (
            "v1/bordered", _payload(lambda d: d[:16] + bytes([d[16] ^ 1]) + d[17:]),
            "do not match their digest",
        ),
        "v3/coded-network-in-version-2": (
            "v3/slices", _configured(format_version=2), "network",
        ),
        "v3/version-5": ("v3/noise", _configured(format_version=5), "format version 5"),
        "v4/unsealed-second-scale": ("v4/scales", _unsealed("1"), "some are sealed"),
        "v4/unsealed-with-seal": ("v4/one-bitmap", _unsealed("0"), "seal of an array that is not"),
        "v4/older-block": ("v4/one-bitmap", _older_block, "layer 0"),
        "v4/other-root": ("v4/one-bitmap", _in_seal(root="0" * 64), "root"),
        "v4/layer-more": (
            "v4/one-bitmap", lambda place: _seal(place, lambda found: found[0].append(bytes(32))),
            "layers",
        ),
        "v4/no-index": (
            "v4/one-bitmap", _payload(lambda d: d[:12] + NO_INDEX + d[24:]),
            "does not know its index",
        ),
        "v4/shard-of-other-index": (
            "v4/sharded", _shard_index(lambda d: b"\1" + d[1:], False), "does not match its CRC32C",
        ),
        "v4/shard-without-block": (
            "v4/sharded", _shard_index(lambda d: b"\xff" * 16 + d[16:], True), "block",
        ),
        "v4/shard-beyond-its-end": (
            "v4/sharded", _shard_index(lambda d: struct.pack("<Q", 1 << 40) + d[8:], True),
            "beyond its shard",
        ),
        "v4/levels-of-kind-3": ("v4/one-bitmap", _body(lambda b: b"\3" + b[1:]), "kind"),
        "v4/message-of-odd-length": ("v4/one-bitmap", _body(lambda b: b + b"\0"), "message"),
        "v4/wide-levels-of-kind-2": ("v4/wide", _body(lambda b: b"\2" + b[1:]), "kind 2"),
        "v4/wide-level-of-65536": ("v4/wide", _body(lambda b: b[:1] + b"\1\0" + b[3:]), "run 0"),
        "v4/wide-step-of-0": ("v4/wide", _body(lambda b: b[:3] + b"\0\0" + b[5:]), "step of 0"),
        "v4/wide-number-of-four-bytes": (
            "v4/wide", _body(lambda b: b[:8] + bytes([b[8] | 128]) + b"\0" + b[9:]), "three bytes",
        ),
        "v4/slice-before-the-first": (
            "v4/gaps", _body(lambda b: b[:3] + b"\4" + b[4:]), "before the first",
        ),
        "v4/no-coded-slice": (
            "v4/own-repeats", _slices_constant, "coded",
        ),
        "v4/third-predictor": (
            "v4/four-phases", _body(lambda b: b[:1] + b"\2" + b[2:]), "predictor",
        ),
    }  # fmt: skip


def main() -> None:
    """Writes the archives that are not there yet."""
    for name, (archive, change, _) in cases().items():
        place = DAMAGED / f"{name}.zarr"
        if not place.exists():
            shutil.copytree(GOLDEN / f"{archive}.zarr", place)
            change(place)


def _edit(path: Path, change: Callable[[Any], Any]) -> None:
    """Changes a JSON document in place."""
    document = json.loads(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document, separators=(",", ":")))


def _seal(place: Path, change: Callable[[list[list[bytes]]], Any] | None = None) -> None:
    """Seals an archive anew as it is, with other layers if there is a change."""
    group = json.loads((place / "zarr.json").read_bytes())
    paths = [each["path"] for each in group["attributes"]["ome"]["multiscales"][0]["datasets"]]
    arrays = [json.loads((place / path / "zarr.json").read_bytes()) for path in paths]
    layers = [_layers(place / path, array) for path, array in zip(paths, arrays, strict=True)]
    if change:
        change(layers)
    found = seal.Seal(seal.metadata_digest(group, arrays), tuple(map(tuple, layers)))
    group["attributes"]["jaxslice"]["seal"] = found.to_json()
    (place / "zarr.json").write_text(json.dumps(group, separators=(",", ":")))


def _layers(folder: Path, array: dict) -> list[bytes]:
    """The layers of an array whose blocks are an object each."""
    chunk_shape = array["chunk_grid"]["configuration"]["chunk_shape"]
    z, y, x = (range(-(-n // c)) for n, c in zip(array["shape"], chunk_shape, strict=True))
    return [
        seal.layer_of(
            seal.leaf_of((folder / "c" / str(i) / str(j) / str(k)).read_bytes())
            for j, k in itertools.product(y, x)
        )
        for i in z
    ]


def _payload(change: Callable[[bytes], bytes]) -> Change:
    """Changes the first payload under a right CRC32C and seal."""

    def changed(place: Path) -> None:
        path = place / BLOCK
        path.write_bytes(_with_crc(change(path.read_bytes()[:-4])))
        if place.parent.name == "v4":
            _seal(place)

    return changed


def _body(change: Callable[[bytes], bytes]) -> Change:
    return _payload(lambda data: data[:HEAD] + change(data[HEAD:]))


def _slices_constant(place: Path) -> None:
    """No slice is coded: all that are become constant."""
    own = (place / BLOCK).read_bytes()[HEAD:]
    begin = 4 + struct.unpack_from("<I", own)[0]

    def change(body: bytes) -> bytes:
        kinds = bytes(255 if kind == 0 else kind for kind in body[begin : begin + 6])
        return body[:begin] + kinds + bytes(3) + body[begin + 6 :]

    _body(change)(place)


def _configuration(array: dict) -> dict:
    return array["codecs"][0]["configuration"]


def _configured(**fields: Any) -> Change:
    """Changes fields of the codec's configuration."""
    return lambda place: _edit(
        place / "0" / "zarr.json", lambda array: _configuration(array).update(fields)
    )


def _other_network(place: Path) -> None:
    """Turns the signs of the first weights, under a right CRC32C."""

    def change(array: dict) -> None:
        configuration = _configuration(array)
        packed = bytearray(base64.b64decode(configuration["network"])[:-4])
        packed[:64] = (-np.frombuffer(packed[:64], np.int8)).tobytes()
        configuration["network"] = base64.b64encode(_with_crc(bytes(packed))).decode()

    _edit(place / "0" / "zarr.json", change)


def _unsealed(path: str) -> Change:
    """An array says that it is not sealed; the seal agrees with what it says."""

    def changed(place: Path) -> None:
        _edit(place / path / "zarr.json", lambda array: _configuration(array).update(sealed=False))
        _seal(place)

    return changed


def _in_seal(**fields: str) -> Change:
    return lambda place: _edit(
        place / "zarr.json", lambda group: group["attributes"]["jaxslice"]["seal"].update(fields)
    )


def _older_block(place: Path) -> None:
    """A block of other voxels, which is whole in itself, under the old seal."""
    from jaxslice.archive.model import model_of
    from jaxslice.archive.store import open_archive

    archive = open_archive(place)
    voxels = np.full(archive.block_shape, 95, archive.dtype)
    assert archive.configuration.identity is not None
    known = Place(archive.configuration.identity, (0, 0, 0))
    (data,) = encode_blocks([voxels], model_of(archive.configuration), places=[known])
    (place / BLOCK).write_bytes(data)


def _shard_index(change: Callable[[bytes], bytes], with_crc: bool) -> Change:
    """Changes the index of the first shard, of four blocks along z, y and x."""
    size = 2 * 2 * 1 * 16

    def changed(place: Path) -> None:
        path = place / BLOCK
        data = path.read_bytes()
        index = change(data[-size - 4 : -4])
        path.write_bytes(data[: -size - 4] + (_with_crc(index) if with_crc else index + data[-4:]))

    return changed


if __name__ == "__main__":
    main()
