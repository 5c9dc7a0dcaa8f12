"""Payloads: what is packed comes back, and nothing else is accepted."""

import dataclasses
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jaxslice.codec import payload
from jaxslice.codec.payload import CODED, CONSTANT, STORED, Payload
from jaxslice.core.checksum import crc32c
from jaxslice.core.errors import ChecksumError, FormatError, VersionError

SHAPE = (4, 5, 6)
SAMPLE = Payload(CODED, 7, (2, 3, 4), 0x01020304, b"body")
OWN = dataclasses.replace(SAMPLE, block_network=True)
payloads = st.builds(
    lambda kind, **fields: Payload(mode=kind[0], block_network=kind[1], **fields),
    kind=st.sampled_from([(STORED, False), (CODED, False), (CODED, True)]),
    fill=st.integers(0, 255),
    extent=st.tuples(*[st.integers(1, n) for n in SHAPE]),
    voxels_crc=st.integers(0, 2**32 - 1),
    body=st.binary(max_size=40),
)


def sealed(data: bytes) -> bytes:
    """The bytes with the checksum that belongs to them."""
    return data + struct.pack("<I", crc32c(data))


def test_crc32c_by_the_standard():
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(np.array([[49, 50], [51, 52]], np.uint8).T) == crc32c(b"1324")


@given(payloads)
def test_a_payload_comes_back(item):
    data = payload.pack(item)
    assert len(data) == len(item.body) + payload.OVERHEAD_BYTES
    assert payload.unpack(data, SHAPE) == item


def test_the_overhead_leaves_room_within_64_bytes():
    assert payload.OVERHEAD_BYTES == 24


def test_bytes_by_hand():
    expected = struct.pack("<4B3I", 1, 2, 7, 0, 2, 3, 4) + b"\x04\x03\x02\x01" + b"body"
    assert payload.pack(SAMPLE) == sealed(expected)
    # With a network of its own: version 2 and flags 1.
    assert payload.pack(OWN) == sealed(b"\2\2\7\1" + expected[4:])


@given(payloads, st.data())
def test_a_flipped_bit_is_found(item, data):
    packed = bytearray(payload.pack(item))
    at = data.draw(st.integers(0, len(packed) - 1))
    packed[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises((ChecksumError, VersionError)):
        payload.unpack(bytes(packed), SHAPE)


@pytest.mark.parametrize("size", [0, 1, payload.OVERHEAD_BYTES - 1])
def test_a_truncated_payload_is_refused(size):
    message = f"Got a block of {size} bytes, expected at least 24: truncated"
    with pytest.raises(FormatError, match=message):
        payload.unpack(payload.pack(SAMPLE)[:size], SHAPE)


@pytest.mark.parametrize("change", [lambda d: d[:-1], lambda d: d + b"\0", lambda d: d[:24]])
def test_bytes_missing_or_added_are_found(change):
    with pytest.raises(ChecksumError):
        payload.unpack(change(payload.pack(SAMPLE)), SHAPE)


@pytest.mark.parametrize("version", [0, 3, 255])
def test_other_versions_are_refused(version):
    data = bytes([version]) + payload.pack(SAMPLE)[1:-4]
    with pytest.raises(VersionError, match=f"version {version}, expected 1 or 2"):
        payload.unpack(sealed(data), SHAPE)


@pytest.mark.parametrize(("at", "value"), [(1, 3), (1, 255), (3, 1), (3, 128)])
def test_unknown_modes_and_flags_are_refused(at, value):
    data = bytearray(payload.pack(SAMPLE)[:-4])
    data[at] = value
    with pytest.raises(FormatError, match=r"of version 1 .* expected 0-2 and 0"):
        payload.unpack(sealed(bytes(data)), SHAPE)


@pytest.mark.parametrize(
    ("at", "value"), [(1, CONSTANT), (1, STORED), (1, 3), (3, 0), (3, 2), (3, 3), (3, 129)]
)
def test_a_network_of_its_own_is_said_in_one_way(at, value):
    data = bytearray(payload.pack(OWN)[:-4])
    data[at] = value
    with pytest.raises(FormatError, match=r"of version 2 .* expected 2-2 and 1"):
        payload.unpack(sealed(bytes(data)), SHAPE)


@pytest.mark.parametrize(
    ("mode", "extent"),
    [
        (CODED, (5, 5, 6)),
        (CODED, (4, 6, 6)),
        (STORED, (4, 5, 2**32 - 1)),
        (CODED, (0, 5, 6)),
        (STORED, (0, 0, 0)),
        (CONSTANT, (1, 1, 1)),
        (CONSTANT, (0, 1, 1)),
        (CONSTANT, (0, 0, 6)),
    ],
)
def test_extents_that_do_not_fit_are_refused(mode, extent):
    item = dataclasses.replace(SAMPLE, mode=mode, extent=extent, body=b"")
    with pytest.raises(FormatError, match="Got an extent of"):
        payload.unpack(payload.pack(item), SHAPE)


def test_a_constant_with_a_body_is_refused():
    item = dataclasses.replace(SAMPLE, mode=CONSTANT, extent=(0, 0, 0), body=b"?")
    with pytest.raises(FormatError):
        payload.unpack(payload.pack(item), SHAPE)


@given(hnp.arrays(np.uint8, SHAPE, elements=st.sampled_from([3, 9]), fill=st.just(3)))
def test_the_extent_holds_all_that_differs(block):
    extent = payload.extent_of(block, 3)
    outside = block.copy()
    outside[payload.within(extent)] = 3
    assert np.all(outside == 3)
    if 0 in extent:
        assert extent == (0, 0, 0)
    for axis, size in enumerate(extent):
        if size:
            assert np.any(np.take(block, size - 1, axis=axis) != 3)


def test_an_extent_by_hand():
    block = np.full(SHAPE, 3, np.uint8)
    block[1, 0, 4], block[0, 2, 0] = 9, 9
    assert payload.extent_of(block, 3) == (2, 3, 5)
    assert payload.extent_of(block, 9) == SHAPE
    assert payload.within((2, 3, 5)) == np.s_[:2, :3, :5]


def test_place_fills_around_the_extent():
    block = np.full(SHAPE, 7, np.uint8)
    block[:2, :3, :4] = 1
    item = dataclasses.replace(SAMPLE, voxels_crc=crc32c(block))
    voxels = np.ones((2, 3, 4), np.uint8)
    np.testing.assert_array_equal(payload.place(voxels, item, SHAPE), block)
    for wrong in (voxels * 2, None):
        with pytest.raises(ChecksumError, match="voxels do not match their CRC32C"):
            payload.place(wrong, item, SHAPE)


def test_a_coded_body_comes_back():
    tables = np.zeros((2, 256), bool)
    tables[0, [1, 5]], tables[1, [5, 9]] = True, True
    for message in (np.array([1, 2**32 - 1], np.uint32), np.zeros(0, np.uint32)):
        for own in (None, b"", b"difference"):
            body = payload.coded_body(tables, message, own)
            again = payload.split_coded_body(with_body(body, own is not None))
            assert again[0] == own
            np.testing.assert_array_equal(again[1], tables)
            assert again[2].tolist() == message.tolist()
            assert again[2].dtype == np.uint32
    # Little-endian, after the byte of the table's kind.
    everything, word = np.ones((2, 256), bool), np.array([0x01020304], np.uint32)
    assert payload.coded_body(everything, word) == b"\0\x04\x03\x02\x01"
    own = payload.coded_body(everything, word, b"own")
    assert own == b"\3\0\0\0own" + b"\0\x04\x03\x02\x01"


def with_body(body: bytes, block_network: bool = False) -> Payload:
    return dataclasses.replace(SAMPLE, body=body, block_network=block_network)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_a_body_of_no_whole_words_is_refused(size):
    message = f"Got a message of {size} bytes, expected whole words"
    for before in (b"", struct.pack("<I", 5) + b"other"):
        with pytest.raises(FormatError, match=message):
            payload.split_coded_body(with_body(before + bytes(1 + size), bool(before)))
    with pytest.raises(FormatError, match="level table"):
        payload.split_coded_body(with_body(b""))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"\1", "Got 0 bytes of a block network, expected 1"),
        (b"\4\0\0\0abc", "Got 3 bytes of a block network, expected 4"),
        (b"\xff\xff\xff\xff" + bytes(40), "Got 40 bytes .* expected 4294967295"),
        (b"\3\0\0\0abc", "level table"),
        (b"", "level table"),
    ],
)
def test_a_network_that_ends_early_is_refused(body, message):
    with pytest.raises(FormatError, match=message):
        payload.split_coded_body(with_body(body, block_network=True))
