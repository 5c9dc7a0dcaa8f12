"""The product and the reference decoder take the same payloads, damaged or not.

Checksums are set right, or not looked at, so that everything behind them is compared too.
"""

import base64
import functools
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models_for_tests import TINY, TINY_MODEL, noise_block, random_network, smooth_block

from jaxslice.codec import network_bytes, network_difference, payload
from jaxslice.codec.block import decode_blocks, encode_blocks
from jaxslice.codec.network import Model
from jaxslice.codec.place import NOWHERE
from jaxslice.core.checksum import crc32c
from jaxslice.core.errors import FormatError
from jaxslice.reference import payload as reference

SHAPE = (4, 8, 24)


@functools.cache
def model_and_configuration() -> tuple[Model, dict]:
    packed, network = network_bytes.pack_coded(TINY_MODEL.network, TINY)
    configuration = {
        "format_version": 4,
        "identity": NOWHERE.identity.hex(),
        "sealed": False,
        "own_networks": True,
        "architecture": {"kind": "network", **TINY.to_json()},
        "network": base64.b64encode(packed).decode(),
    }
    return Model(TINY, network), configuration


def blocks() -> dict[str, np.ndarray]:
    smooth, noise = smooth_block(SHAPE), noise_block(SHAPE)
    repeated, combs = smooth // 8 * 8, smooth // 16 * 4
    repeated[1], repeated[2] = repeated[0], 77
    combs[1::2] += 1
    stored = noise.copy()
    stored[3] = stored[1]
    return {
        "smooth": smooth,
        "noise": noise,
        "constant": np.full(SHAPE, 9, np.uint8),
        "repeated": repeated,
        "combs": combs,
        "stored repeats": stored,
        "bordered": np.pad(smooth[:3, :6, :20], [(0, 1), (0, 2), (0, 4)]),
    }


@functools.cache
def encoded(name: str, own: bool, version: int) -> bytes:
    model, _ = model_and_configuration()
    difference = None
    if own:
        other = random_network(TINY, 5, 2)
        difference = network_difference.encode(model.network, other, TINY)[0]
    (data,) = encode_blocks(
        [blocks()[name]], model, differences=[difference], format_version=version
    )
    return data


def decoded(data: bytes, version: int) -> tuple[np.ndarray | None, np.ndarray | None]:
    """By the product and by the reference; None if refused. Digests are not looked at."""
    model, configuration = model_and_configuration()
    with pytest.MonkeyPatch.context() as patch:
        digest = _Any()
        patch.setattr(payload, "block_digest", lambda block, place: digest)
        patch.setattr(reference, "_check_digest", lambda block, header: None)
        results = []
        for decode in (
            lambda: decode_blocks(
                [data],
                SHAPE,
                model,
                places=[NOWHERE],
                block_networks=True,
                format_version=version,
            )[0],
            lambda: reference.decode_block(
                data, SHAPE, {**configuration, "format_version": version}
            ),
        ):
            try:
                results.append(decode())
            except FormatError:
                results.append(None)
    return results[0], results[1]


class _Any:
    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = None


def check(data: bytes, version: int) -> None:
    ours, theirs = decoded(data, version)
    assert (ours is None) == (theirs is None)
    if ours is not None:
        np.testing.assert_array_equal(ours, theirs)


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(list(blocks())),
    own=st.booleans(),
    version=st.sampled_from([3, 4]),
    changes=st.lists(
        st.tuples(st.booleans(), st.integers(0, 2**16), st.integers(0, 255)), max_size=3
    ),
    cut=st.tuples(st.integers(0, 2**16), st.sampled_from([0, 0, 0, 1, 4, 8])),
    extra=st.sampled_from([b"", b"", b"\0", bytes(4), bytes(8)]),
)
def test_damaged_payloads(name, own, version, changes, cut, extra):
    data = bytearray(encoded(name, own, version)[:-4])
    for near_start, at, value in changes:
        data[at % (min(110, len(data)) if near_start else len(data))] = value
    at, size = cut[0] % len(data), cut[1]
    data = bytes(data[:at] + data[at + size :]) + extra
    check(data + struct.pack("<I", crc32c(data)), version)


@pytest.mark.slow
@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("name", list(blocks()))
def test_bytes_of_the_head(name, version):
    """Extremes in each byte, where fields, tables and states are."""
    data = encoded(name, False, version)[:-4]
    for at in range(0, min(len(data), 120), 7):
        for value in (255, data[at] ^ 1):
            damaged = data[:at] + bytes([value]) + data[at + 1 :]
            check(damaged + struct.pack("<I", crc32c(damaged)), version)


def test_the_comparison_can_fail():
    ours, theirs = decoded(encoded("smooth", True, 4), 4)
    assert ours is not None
    np.testing.assert_array_equal(ours, theirs)
    assert decoded(encoded("smooth", True, 4), 3) == (None, None)
