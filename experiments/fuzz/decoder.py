"""Payloads of blocks: the decoder and the reference decoder find the same, or both refuse.

An input is the number of a configuration, flags, and a payload. One flag says that the payload has
no CRC32C yet, so that the fuzzer gets past it; the other one that digests are not compared, so that
it is seen what both decoders make of a message that is wrong.
"""

from __future__ import annotations

import contextlib
import functools
import json
import struct
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from fuzz.target import REFUSALS, Target
from jaxslice.archive.configuration import CodecConfiguration
from jaxslice.archive.decoder import decode_payloads
from jaxslice.codec import payload
from jaxslice.core.checksum import crc32c
from jaxslice.core.errors import FormatError
from jaxslice.reference import payload as reference
from jaxslice.reference.configuration import read_configuration

SHAPE = (2, 3, 4)
"""Of the blocks: the reference takes a while for each step."""

NEEDS_CRC, ANY_DIGEST = 1, 2
"""Flags of an input."""

CONFIGURATIONS: list[Any] = json.loads(Path(__file__).with_name("configurations.json").read_text())


class _Any:
    """Equals everything."""

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = None


@functools.cache
def configuration(number: int) -> CodecConfiguration:
    """One of the configurations that payloads are decoded with."""
    return CodecConfiguration.from_json(CONFIGURATIONS[number])


@functools.cache
def _predictor(number: int) -> Any:
    return read_configuration(CONFIGURATIONS[number])


def check(data: bytes) -> None:
    """Decodes a payload twice."""
    if len(data) < 2:
        return
    number, flags, packed = data[0] % len(CONFIGURATIONS), data[1], data[2:]
    if flags & NEEDS_CRC:
        packed += struct.pack("<I", crc32c(packed))
    with _digests_of_any_voxels() if flags & ANY_DIGEST else contextlib.nullcontext():
        found, expected = _decoded(packed, number), _referred(packed, number)
    if (found is None) != (expected is None):
        raise AssertionError(f"the decoder found {found!r}, the reference {expected!r}")
    if found is not None:
        assert np.array_equal(found, expected), "the decoders found other voxels"


def _decoded(packed: bytes, number: int) -> np.ndarray | None:
    made = configuration(number)
    try:
        return decode_payloads([packed], SHAPE, made, [made.place_of(None)])[0]
    except REFUSALS:
        return None


def _referred(packed: bytes, number: int) -> np.ndarray | None:
    kind = CONFIGURATIONS[number]["architecture"].get("voxel_bits", 8)
    with mock.patch.object(reference, "read_configuration", return_value=_predictor(number)):
        try:
            return reference.decode_block(packed, SHAPE, None, dtype=f"uint{kind}")
        except FormatError:
            return None


@contextlib.contextmanager
def _digests_of_any_voxels():
    with (
        mock.patch.object(payload, "block_digest", return_value=_Any()),
        mock.patch.object(reference, "_check_digest"),
    ):
        yield


TARGETS = (Target("decoder", check),)
