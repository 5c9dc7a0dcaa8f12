"""Linear predictors: architecture, numbers as bytes, tables, and the choice for each slice."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from linear_cases import TINY_LINEAR, linear_models, numbers_of

from jaxslice.codec import linear, linear_choice
from jaxslice.codec.block import decode_blocks, encode_blocks
from jaxslice.codec.engines.native_tasks import linear_task
from jaxslice.codec.linear import LinearArchitecture
from jaxslice.codec.network import Model
from jaxslice.core.checksum import crc32c
from jaxslice.core.errors import ChecksumError, FormatError, UsageError
from jaxslice.native import library


@settings(deadline=None, max_examples=30)
@given(linear_models())
def test_numbers_come_back_from_their_bytes(model):
    unpacked = linear.unpack(linear.pack(model.network), model.architecture)
    for before, after in zip(model.network, unpacked, strict=True):
        assert before.dtype == after.dtype
        assert np.array_equal(before, after)


def test_architectures_come_back_from_json():
    assert LinearArchitecture.from_json(TINY_LINEAR.to_json()) == TINY_LINEAR


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("scales", 0), ("scales", 65), ("scales", True), ("phases", 3), ("predictors", 17),
        ("shear", 9), ("fallback", 8), ("context", [[0, 0, 1]] * 4), ("context", [[0, 0, -1]] * 4),
        ("context", [[-1, 0, 0], [0, 0, -1], [0, 0, -2], [0, 0, -3]]), ("phases", None),
    ],
)  # fmt: skip
def test_architectures_out_of_their_ranges_are_refused(field, value):
    with pytest.raises(FormatError):
        LinearArchitecture.from_json(TINY_LINEAR.to_json() | {field: value})


def with_byte(data: bytes, index: int, value: int) -> bytes:
    changed = bytearray(data[:-4])
    changed[index] = value
    return bytes(changed) + crc32c(bytes(changed)).to_bytes(4, "little")


CONTEXT = len(TINY_LINEAR.context)


@pytest.mark.parametrize(
    ("index", "value"),
    [(0, 3), (0, 8), (1, 92), (5, 1), (6, 128), (6 + CONTEXT, 128), (8 + 2 * CONTEXT, 161)],
)
def test_numbers_out_of_their_ranges_are_refused(index, value):
    data = linear.pack(numbers_of(TINY_LINEAR, 1))
    linear.unpack(with_byte(data, 6, 5), TINY_LINEAR)
    with pytest.raises(FormatError):
        linear.unpack(with_byte(data, index, value), TINY_LINEAR)


def test_damaged_numbers_are_refused():
    data = linear.pack(numbers_of(TINY_LINEAR, 1))
    with pytest.raises(ChecksumError):
        linear.unpack(data[:9] + bytes([data[9] ^ 1]) + data[10:], TINY_LINEAR)
    with pytest.raises(FormatError):
        linear.unpack(data + b"0", TINY_LINEAR)


@settings(deadline=None, max_examples=30)
@given(linear_models())
def test_every_residual_has_an_interval(model):
    edges = linear.edges(model.network.curves, model.architecture.phases)
    assert (np.diff(edges) >= 64).all()
    assert (edges[..., 0] == 0).all()
    assert (edges[..., -1] == 1 << 24).all()


def test_a_narrow_curve_gives_nearly_all_to_the_centre():
    curve = np.array([256 - 8, 256 - 8, 160, 160, 128], np.uint8)
    (widths,) = np.diff(linear.edges(curve, 1))
    assert widths.argmax() == linear.CENTRE
    assert widths[linear.CENTRE] > 0.99 * (1 << 24) - 256 * 64


def test_16_bit_voxels_are_refused_by_name():
    with pytest.raises(UsageError, match="effort 0 or higher"):
        TINY_LINEAR.of_voxels(np.uint16)


def two_predictors() -> Model:
    """The first predicts what is to the left, the second what is above."""
    architecture = dataclasses.replace(TINY_LINEAR, predictors=2)
    numbers = linear.blank(architecture)
    numbers.weights[:, :2] = [(127, 0), (0, 127)]
    numbers.curves[..., 2:4] = 100
    return Model(architecture, numbers)


def test_slices_choose_the_predictor_that_takes_fewer_bits():
    rng = np.random.default_rng(1)
    rows = np.repeat(rng.integers(0, 256, (1, 80, 1)), 64, axis=2)
    columns = np.repeat(rng.integers(0, 256, (1, 1, 64)), 80, axis=1)
    model = two_predictors()
    symbols = np.concatenate([rows, columns, columns, rows]).astype(np.uint8)
    assert linear_choice.choose(symbols, model).tolist() == [0, 1, 1, 0]


def test_residuals_are_the_same_without_the_library():
    rng = np.random.default_rng(7)
    architecture = dataclasses.replace(TINY_LINEAR, predictors=3)
    model = Model(architecture, numbers_of(architecture, 4, largest=True))
    symbols = rng.integers(0, 256, (4, 30, 77)).astype(np.uint8)
    rows, margin = np.array([5, 6, 20], np.int32), 4
    expected = linear_choice._residuals(symbols, rows, margin, model.network, architecture)
    counts = np.full(4, 256, np.int32)
    task, _arrays = linear_task(model, symbols.shape, symbols.shape, counts, None)
    found = library.linear_residuals(task, symbols, rows, margin)
    np.testing.assert_array_equal(found, expected)
    for bad_rows, bad_margin in ((rows - 6, margin), (rows + 9, margin), (rows, 0), (rows, 39)):
        with pytest.raises(library.NativeError, match="shape"):
            library.linear_residuals(task, symbols, bad_rows, bad_margin)


@pytest.mark.parametrize("engine", ["native", "xla"])
def test_blocks_come_back(engine):
    rng = np.random.default_rng(2)
    block = rng.normal(128, 9, (3, 75, 31)).astype(np.uint8)
    block[1] //= 2
    model = Model(TINY_LINEAR, numbers_of(TINY_LINEAR, 4))
    payloads = encode_blocks([block, block[:, ::-1]], model, engine=engine)
    decoded = decode_blocks(payloads, block.shape, model, engine=engine)
    assert np.array_equal(decoded[0], block)
    assert np.array_equal(decoded[1], block[:, ::-1])
    assert payloads == encode_blocks([block, block[:, ::-1]], model, engine="native")


@pytest.mark.parametrize("engine", ["native", "xla"])
def test_damaged_messages_are_refused(engine):
    from jaxslice.codec.engines.interface import engine_named

    architecture = dataclasses.replace(TINY_LINEAR, predictors=1)
    model = Model(architecture, numbers_of(architecture, 4))
    symbols = np.random.default_rng(3).integers(0, 9, (1, 2, 40, 16)).astype(np.int16)
    sizes, extents = np.full((1, 2), 9, np.int32), np.array([(2, 40, 16)], np.int32)
    runner = engine_named(engine)
    (message,) = runner.encode(symbols, sizes, extents, model)
    for index in (0, 40, 81, len(message) - 1):
        damaged = message.copy()
        damaged[index] ^= 1 << 9
        with pytest.raises(FormatError):
            runner.decode([damaged], sizes, extents, (2, 40, 16), model)
