"""Payloads: what is packed comes back, and nothing else is accepted."""

import dataclasses
import struct

import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jaxslice.codec import body, payload
from jaxslice.codec.payload import CODED, CONSTANT, STORED, Payload
from jaxslice.codec.place import Place, digest_of
from jaxslice.core.checksum import crc32c
from jaxslice.core.errors import ChecksumError, FormatError, VersionError

SHAPE = (4, 5, 6)
PLACE = Place(b"identity", (1, 2, 3))
SAMPLE = Payload(CODED, 7, (2, 3, 4), 0x01020304, b"body", place=PLACE)
OLD = dataclasses.replace(SAMPLE, place=None)
OWN = dataclasses.replace(OLD, block_network=True)
payloads = st.builds(
    lambda kind, **fields: Payload(
        mode=kind[0], block_network=kind[1], slice_table=kind[2], place=kind[3], **fields
    ),
    kind=st.sampled_from(
        [
            *((STORED, False, False, place) for place in (None, PLACE, Place(b"8 bytes."))),
            *((CODED, own, False, place) for own in (False, True) for place in (None, PLACE)),
            *(
                (STORED, False, True, PLACE),
                (CODED, False, True, PLACE),
                (CODED, True, True, PLACE),
            ),
        ]
    ),
    fill=st.integers(0, 255),
    extent=st.tuples(*[st.integers(1, n) for n in SHAPE]),
    digest=st.integers(0, 2**32 - 1),
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
    assert len(data) == len(item.body) + (24 if item.place is None else payload.OVERHEAD_BYTES)
    assert payload.unpack(data, SHAPE) == item


def test_the_overhead_leaves_room_within_64_bytes():
    assert payload.OVERHEAD_BYTES == payload.BODY_START + 4 == 50


def test_bytes_by_hand():
    place = b"identity" + struct.pack("<3I", 1, 2, 3)
    rest = struct.pack("<3I", 2, 3, 4) + b"\7\0" + b"\4\3\2\1\0\0\0\0" + b"body"
    assert payload.pack(SAMPLE) == sealed(b"\4\2\0\0" + place + rest)
    both = dataclasses.replace(SAMPLE, block_network=True, slice_table=True)
    assert payload.pack(both) == sealed(b"\4\2\3\0" + place + rest)
    nowhere = dataclasses.replace(SAMPLE, place=Place(b"identity"))
    assert payload.pack(nowhere) == sealed(b"\4\2\0\0identity" + b"\xff" * 12 + rest)


def test_bytes_before_version_4_by_hand():
    expected = struct.pack("<4B3I", 1, 2, 7, 0, 2, 3, 4) + b"\x04\x03\x02\x01" + b"body"
    assert payload.pack(OLD) == sealed(expected)
    # With a network of its own: version 2 and flags 1.
    assert payload.pack(OWN) == sealed(b"\2\2\7\1" + expected[4:])


@given(payloads, st.data())
def test_a_flipped_bit_is_found(item, data):
    packed = bytearray(payload.pack(item))
    at = data.draw(st.integers(0, len(packed) - 1))
    packed[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises((ChecksumError, VersionError)):
        payload.unpack(bytes(packed), SHAPE)


@pytest.mark.parametrize("size", [0, 1, 24, payload.OVERHEAD_BYTES - 1])
def test_a_truncated_payload_is_refused(size):
    message = f"Got a block of {size} bytes, expected at least 50: truncated"
    with pytest.raises(FormatError, match=message):
        payload.unpack(payload.pack(SAMPLE)[:size], SHAPE)


@pytest.mark.parametrize("change", [lambda d: d[:-1], lambda d: d + b"\0", lambda d: d[:50]])
def test_bytes_missing_or_added_are_found(change):
    with pytest.raises(ChecksumError):
        payload.unpack(change(payload.pack(SAMPLE)), SHAPE)


@pytest.mark.parametrize("version", [0, 3, 5, 255])
def test_other_versions_are_refused(version):
    data = bytes([version]) + payload.pack(SAMPLE)[1:-4]
    with pytest.raises(VersionError, match=f"version {version}, expected 1, 2 or 4"):
        payload.unpack(sealed(data), SHAPE)


@pytest.mark.parametrize(("at", "value"), [(1, 3), (1, 255), (3, 1), (3, 128)])
def test_unknown_modes_and_flags_of_version_1_are_refused(at, value):
    data = bytearray(payload.pack(OLD)[:-4])
    data[at] = value
    with pytest.raises(FormatError, match=r"of version 1 .* expected 0-2 and 0"):
        payload.unpack(sealed(bytes(data)), SHAPE)


@pytest.mark.parametrize(
    "start",
    [
        *(bytes([4, mode, 0, 0]) for mode in (3, 255)),
        *(bytes([4, CONSTANT, flags, 0]) for flags in (1, 2)),
        *(bytes([4, STORED, flags, 0]) for flags in (1, 3, 4)),
        *(bytes([4, CODED, flags, 0]) for flags in (4, 7, 128)),
        *(bytes([4, CODED, 0, reserved]) for reserved in (1, 128)),
    ],
)
def test_unknown_modes_and_flags_are_refused(start):
    data = start + payload.pack(SAMPLE)[4:-4]
    with pytest.raises(FormatError, match=r"of version 4 .* expected a mode of 0-2"):
        payload.unpack(sealed(data), SHAPE)


def test_a_fill_beyond_the_data_type_is_refused():
    data = payload.pack(dataclasses.replace(SAMPLE, fill=256))
    with pytest.raises(FormatError, match="fill 256"):
        payload.unpack(data, SHAPE)
    assert payload.unpack(data, SHAPE, np.dtype(np.uint16)).fill == 256


@pytest.mark.parametrize(
    ("found", "placeless", "fits"),
    [
        (PLACE, False, True),
        (Place(b"identity", (1, 2, 4)), True, False),
        (Place(b"identity", (3, 2, 1)), False, False),
        (Place(b"identitx", (1, 2, 3)), True, False),
        (Place(b"identity"), True, True),
        (Place(b"identity"), False, False),
        (Place(b"identitx"), True, False),
    ],
)
def test_a_block_belongs_to_one_place(found, placeless, fits):
    item = dataclasses.replace(SAMPLE, place=found)
    if fits:
        payload.check_place(item, PLACE, placeless)
    else:
        with pytest.raises(FormatError, match="Got a block"):
            payload.check_place(item, PLACE, placeless)
    if found.identity == PLACE.identity:
        payload.check_place(item, Place(b"identity"), False)


def test_the_digest_covers_the_place_and_the_voxels():
    block = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    record = b"identity" + struct.pack("<3I3IB", 1, 2, 3, 2, 3, 4, 1)
    assert digest_of(block, PLACE) == xxhash.xxh3_64_intdigest(record + bytes(range(24)))
    assert digest_of(block[:, :, ::-1], PLACE) != digest_of(block, PLACE)
    assert digest_of(block.reshape(2, 4, 3), PLACE) != digest_of(block, PLACE)
    assert digest_of(block, Place(b"identity")) != digest_of(block, PLACE)
    wide = block.astype(np.uint16)
    assert digest_of(wide, PLACE) == digest_of(wide.astype(">u2"), PLACE) != digest_of(block, PLACE)


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


def test_the_whole_block_is_filled_around_the_extent():
    block = np.full(SHAPE, 7, np.uint8)
    block[:2, :3, :4] = 1
    voxels = np.ones((2, 3, 4), np.uint8)
    for item in (OLD, SAMPLE):
        item = dataclasses.replace(item, digest=payload.block_digest(block, item.place))
        np.testing.assert_array_equal(payload.whole_block(voxels, item, SHAPE), block)
        for wrong in (voxels * 2, None):
            with pytest.raises(ChecksumError, match="voxels do not match their digest"):
                payload.whole_block(wrong, item, SHAPE)


def test_a_coded_body_comes_back():
    tables = np.zeros((2, 256), bool)
    tables[0, [1, 5]], tables[1, [5, 9]] = True, True
    for message in (np.array([1, 2**32 - 1], np.uint32), np.zeros(0, np.uint32)):
        for own in (None, b"", b"difference"):
            packed = body.coded_body(tables, message, own)
            again = body.split_coded_body(with_body(packed, own is not None))
            assert again.difference == own
            np.testing.assert_array_equal(again.tables, tables)
            assert again.message.tolist() == message.tolist()
            assert again.message.dtype == np.uint32
    # Little-endian, after the byte of the table's kind.
    everything, word = np.ones((2, 256), bool), np.array([0x01020304], np.uint32)
    assert body.coded_body(everything, word) == b"\0\x04\x03\x02\x01"
    own = body.coded_body(everything, word, b"own")
    assert own == b"\3\0\0\0own" + b"\0\x04\x03\x02\x01"


def with_body(data: bytes, block_network: bool = False) -> Payload:
    return dataclasses.replace(SAMPLE, body=data, block_network=block_network)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_a_body_of_no_whole_words_is_refused(size):
    message = f"Got a message of {size} bytes, expected whole words"
    for before in (b"", struct.pack("<I", 5) + b"other"):
        with pytest.raises(FormatError, match=message):
            body.split_coded_body(with_body(before + bytes(1 + size), bool(before)))
    with pytest.raises(FormatError, match="level table"):
        body.split_coded_body(with_body(b""))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\1", "Got 0 bytes of a block network, expected 1"),
        (b"\4\0\0\0abc", "Got 3 bytes of a block network, expected 4"),
        (b"\xff\xff\xff\xff" + bytes(40), "Got 40 bytes .* expected 4294967295"),
        (b"\3\0\0\0abc", "level table"),
        (b"", "level table"),
    ],
)
def test_a_network_that_ends_early_is_refused(data, message):
    with pytest.raises(FormatError, match=message):
        body.split_coded_body(with_body(data, block_network=True))
