"""Blocks with networks of their own, and others beside them."""

import dataclasses
import functools
import struct

import jax
import numpy as np
import pytest
from models_for_tests import (
    SHAPE,
    TINY,
    TINY_MODEL,
    coded_anyway,
    extreme_network,
    random_network,
)
from test_block import BODY, SAMPLES, SMOOTH, VOXELS, outcome, sealed

from jaxslice.codec import block as blocks
from jaxslice.codec import network_difference, payload
from jaxslice.codec.block import (
    decode_block,
    decode_blocks,
    encode_block,
    encode_blocks,
)
from jaxslice.codec.engines import xla
from jaxslice.codec.network import Model
from jaxslice.core.errors import FormatError, UsageError, VersionError

FLAGS = 2
"""Where in a payload its flags are."""


@functools.cache
def own_of(seed: int) -> tuple[bytes, Model]:
    """The difference of another network to the tiny model's, and a model of that network."""
    own = random_network(TINY, seed, 2)
    packed, used = network_difference.encode(TINY_MODEL.network, own, TINY)
    return packed, Model(TINY, used)


def test_blocks_with_networks_of_their_own_come_back(monkeypatch):
    """Their messages are those of an archive whose network it is."""
    monkeypatch.setattr(blocks, "shortest", coded_anyway)
    for names, seeds in (
        (("smooth", "comb"), (3, None)),
        (("two levels", "black borders"), (4, 3)),
    ):
        together = [SAMPLES[name] for name in names]
        own = [seed and own_of(seed)[0] for seed in seeds]
        data = encode_blocks(together, TINY_MODEL, differences=own)
        for block, item, seed in zip(together, data, seeds, strict=True):
            if seed is None:
                assert item == encode_block(block, TINY_MODEL)
                continue
            packed, model = own_of(seed)
            alone = payload.unpack(encode_block(block, model), SHAPE)
            body = struct.pack("<I", len(packed)) + packed + alone.body
            expected = dataclasses.replace(alone, body=body, block_network=True)
            assert payload.unpack(item, SHAPE) == expected
            # And alone.
            assert encode_blocks([block], TINY_MODEL, differences=[packed]) == [item]
            np.testing.assert_array_equal(
                decode_block(item, SHAPE, TINY_MODEL, block_networks=True), block
            )
        backs = decode_blocks(data, SHAPE, TINY_MODEL, block_networks=True)
        for back, block in zip(backs, together, strict=True):
            np.testing.assert_array_equal(back, block)


def test_without_a_network_of_its_own_nothing_changes():
    samples = list(SAMPLES.values())
    for together in zip(samples[::2], samples[1::2], strict=True):
        data = encode_blocks(together, TINY_MODEL)
        assert not any(item[FLAGS] & 1 for item in data)
        assert encode_blocks(together, TINY_MODEL, differences=[None, None]) == data
        assert encode_blocks(together, TINY_MODEL, block_networks=True) == data
        for block_networks in (False, True):
            backs = decode_blocks(data, SHAPE, TINY_MODEL, block_networks=block_networks)
            for back, block in zip(backs, together, strict=True):
                np.testing.assert_array_equal(back, block)


def test_constant_and_stored_blocks_leave_their_network_away():
    together = [SAMPLES["constant"], SAMPLES["noise"]]
    data = encode_blocks(together, TINY_MODEL, differences=[own_of(3)[0]] * 2)
    assert data == encode_blocks(together, TINY_MODEL)
    assert [item[:3] for item in data] == [b"\4\0\0", b"\4\1\0"]
    # So does one that the network makes longer than its voxels.
    bulky, _ = network_difference.encode(TINY_MODEL.network, extreme_network(TINY, 0), TINY)
    (stored,) = encode_blocks([SMOOTH], TINY_MODEL, differences=[bulky])
    assert stored[:3] == b"\4\1\0"
    assert len(stored) == VOXELS + payload.OVERHEAD_BYTES
    np.testing.assert_array_equal(decode_block(stored, SHAPE, TINY_MODEL), SMOOTH)


@pytest.mark.parametrize(
    ("version", "message"),
    [(4, "Got a block network, expected none"), (1, "version 2, expected 1 as the archive says")],
)
def test_a_network_where_the_archive_says_none_is_refused(version, message):
    own = [own_of(3)[0]]
    (data,) = encode_blocks([SMOOTH], TINY_MODEL, differences=own, format_version=version)
    with pytest.raises(VersionError, match=message):
        decode_block(data, SHAPE, TINY_MODEL, block_networks=False, format_version=version)


def test_networks_that_are_no_difference_are_refused():
    with pytest.raises(UsageError, match="Got 1 networks of 2 blocks"):
        encode_blocks([SMOOTH, SMOOTH], TINY_MODEL, differences=[None])
    with pytest.raises(FormatError, match="difference"):
        encode_blocks([SMOOTH], TINY_MODEL, differences=[b"not one"])


@pytest.mark.parametrize("step", [1, 2])
def test_flipped_bytes_of_a_network_of_its_own_are_noticed(step):
    """Under a valid checksum, and without one."""
    data = encode_blocks([SMOOTH], TINY_MODEL, differences=[own_of(3)[0]])[0]
    end = BODY + 4 + len(own_of(3)[0])
    for at in range(0, end, step):
        damaged = data[:at] + bytes([data[at] ^ (1 << (at + step) % 8)]) + data[at + 1 :]
        assert outcome(damaged) is None
        back = outcome(sealed(damaged[:-4]))
        assert back is None or np.array_equal(back, SMOOTH)


def test_one_program_serves_blocks_with_and_without_networks():
    blocks.compile_for(SHAPE, TINY, 2, block_networks=True, engine="xla")
    programs = xla.programs_of(SHAPE, TINY, 2, True, jax.default_backend())
    sizes = [program._cache_size() for program in programs]
    assert min(sizes) >= 1
    misses = [make.cache_info().misses for make in (xla.encoder_program, xla.decoder_program)]
    together, device = [SMOOTH, SAMPLES["comb"]], jax.local_devices()[0]
    for own in ([None, own_of(3)[0]], [own_of(4)[0]] * 2, [None, None]):
        data = encode_blocks(together, TINY_MODEL, device, differences=own, engine="xla")
        decode_blocks(data, SHAPE, TINY_MODEL, device, block_networks=True, engine="xla")
    assert [program._cache_size() for program in programs] == sizes
    assert [
        make.cache_info().misses for make in (xla.encoder_program, xla.decoder_program)
    ] == misses
