"""The product and the reference decoder take the same payloads, damaged or not.

Checksums are set right, or not looked at, so that everything behind them is compared too.
"""

import base64
import contextlib
import copy
import functools
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from linear_cases import TINY_LINEAR, configuration_of, numbers_of
from models_for_tests import TINY, TINY_MODEL, noise_block, random_network, smooth_block

from jaxslice.archive.configuration import CodecConfiguration
from jaxslice.archive.model import model_of
from jaxslice.codec import network_bytes, network_difference, payload, wide_levels
from jaxslice.codec.block import decode_blocks, encode_blocks
from jaxslice.codec.network import Model
from jaxslice.codec.place import NOWHERE
from jaxslice.core.checksum import crc32c
from jaxslice.core.errors import FormatError
from jaxslice.reference import payload as reference
from jaxslice.reference.configuration import read_configuration
from jaxslice.reference.sixteen import read_wide_levels

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


@settings(max_examples=80, deadline=None)
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
    for at in range(0, min(len(data), 120), 13):
        for value in (255, data[at] ^ 1):
            damaged = data[:at] + bytes([value]) + data[at + 1 :]
            check(damaged + struct.pack("<I", crc32c(damaged)), version)


def _network() -> dict:
    return copy.deepcopy(model_and_configuration()[1])


def _linear() -> dict:
    return configuration_of(Model(TINY_LINEAR, numbers_of(TINY_LINEAR, 1)))


def _unused_bits(text: str) -> str:
    """Base64 of the same bytes, one of whose bits that say nothing is 1."""
    assert text.endswith("==")
    changed = text[:-3] + chr(ord(text[-3]) + 1) + "=="
    assert base64.b64decode(changed) == base64.b64decode(text)
    return changed


CONFIGURATIONS = {
    "as it is": (_network, lambda c: None, True),
    "other fields": (_network, lambda c: c.update(other=float("inf")), True),
    "fields of other versions": (_network, lambda c: c.update(format_version=3, sealed=7), True),
    "16 bits before version 4": (
        _network, lambda c: (c.update(format_version=3), c["architecture"].update(voxel_bits=16)),
        True,
    ),
    "unused bits": (_linear, lambda c: c.update(network=_unused_bits(c["network"])), False),
    "a line break": (_linear, lambda c: c.update(network=c["network"] + "\n"), False),
    "no padding": (_linear, lambda c: c.update(network=c["network"].rstrip("=")), False),
    "no kind": (_network, lambda c: c["architecture"].pop("kind"), False),
    "no sealed": (_network, lambda c: c.pop("sealed"), False),
    "another order": (_network, lambda c: c["architecture"]["context"].reverse(), False),
    "a number of the float type": (_network, lambda c: c.update(format_version=4.0), False),
    "linear": (_linear, lambda c: None, True),
    "linear of 8 bits": (_linear, lambda c: c["architecture"].update(voxel_bits=8), True),
    "linear of 16 bits": (_linear, lambda c: c["architecture"].update(voxel_bits=16), False),
    "linear of 9 bits": (_linear, lambda c: c["architecture"].update(voxel_bits=9), False),
    "linear with networks": (_linear, lambda c: c.update(own_networks=True), False),
}  # fmt: skip


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_configurations(name):
    """The product and the reference take or refuse the same."""
    make, change, good = CONFIGURATIONS[name]
    configuration = make()
    change(configuration)
    for read in (
        lambda: model_of(CodecConfiguration.from_json(configuration)),
        lambda: read_configuration(configuration),
    ):
        with contextlib.nullcontext() if good else pytest.raises(FormatError):
            read()


def _unchecked(data: bytes) -> bytes:
    return data[:-4] + struct.pack("<I", crc32c(data[:-4]))


def test_stored_payloads_without_coded_slices():
    data = encoded("stored repeats", False, 4)
    kinds = bytes([255, 1, 2, 255]) + bytes([9, 8])
    ours, theirs = decoded(_unchecked(data[:46] + kinds + bytes(4)), 4)
    assert ours is not None
    np.testing.assert_array_equal(ours, theirs)
    assert [plane[0, 0] for plane in ours] == [9, 9, 9, 8]


@pytest.mark.parametrize(
    ("table", "levels"),
    [
        ("0500 0200 02 03 01 02", [5, 7, 9, 13, 15]),
        ("0500 0200 8200 838000 01 02", [5, 7, 9, 13, 15]),
        ("0000 0100 01 808004", list(range(2**16))),
        ("0500 0200 02 03 00 02", None),
        ("0500 0200 02 03 01 00", None),
        ("0500 0000 01 03", None),
        ("0500 0200 00", None),
        ("0500 0200 01 83808000", None),
        ("0500 0200 01 ff", None),
        ("0100 0100 01 808004", None),
    ],
)
def test_wide_level_tables(table, levels):
    data = b"\0" + bytes.fromhex(table)
    for read in (
        lambda: wide_levels.unpack(data, 1)[0],
        lambda: read_wide_levels(data, 1)[0],
    ):
        if levels is None:
            with pytest.raises(FormatError):
                read()
        else:
            np.testing.assert_array_equal(read()[0], levels)


def test_the_comparison_can_fail():
    ours, theirs = decoded(encoded("smooth", True, 4), 4)
    assert ours is not None
    np.testing.assert_array_equal(ours, theirs)
    assert decoded(encoded("smooth", True, 4), 3) == (None, None)
