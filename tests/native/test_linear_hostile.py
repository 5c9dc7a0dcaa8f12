"""What the native engine is handed of linear predictors may be hostile: it answers with errors."""

import numpy as np
import pytest
from linear_cases import TINY_LINEAR, numbers_of
from models_for_tests import smooth_block

from jaxslice.codec.engines import native
from jaxslice.codec.network import Model
from jaxslice.core.errors import FormatError
from jaxslice.native import library

SETS = library.instruction_sets()
assert SETS, "the native engine was not built: python -m jaxslice.native.build"

SYMBOLS = smooth_block((3, 70, 24))
SIZES = np.full(3, 256)
MODEL = Model(TINY_LINEAR, numbers_of(TINY_LINEAR, 1))


def call(number: int, model: Model = MODEL, choices=(0, 1, 2)) -> native.BlockCall:
    chosen = np.array(choices, np.uint8)
    return native.BlockCall(model, SYMBOLS.shape, SYMBOLS.shape, SIZES, number, chosen)


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("context_count", 3, -1), ("context_count", 257, -1), ("fallback", 8, -1),
        ("fallback", -1, -1), ("shear", 1, -1), ("shear", 9, -1), ("scales", 0, -1),
        ("scales", 65, -1), ("phases", 0, -1), ("phases", 3, -1), ("predictors", 0, -1),
        ("predictors", 17, -1), ("predictors", 2, -2), ("level_count_size", 2, -4),
        ("context", None, -11), ("scalars", None, -11), ("weights", None, -11),
        ("activity_weights", None, -11), ("curves", None, -11), ("choices", None, -11),
        ("level_counts", None, -11),
    ],
)  # fmt: skip
@pytest.mark.parametrize("number", SETS)
def test_a_task_out_of_its_ranges_is_refused(field, value, code, number):
    bad = call(number)
    setattr(bad.task, field, value)
    with pytest.raises(library.NativeError) as error:
        bad.run("encode", SYMBOLS, np.empty(SYMBOLS.size, np.uint32))
    assert error.value.code == code


@pytest.mark.parametrize(
    ("part", "index", "value"),
    [
        ("scalars", (0, 0), 3), ("scalars", (2, 0), 8), ("scalars", (1, 1), 92),
        ("scalars", (1, 1), -1), ("scalars", (2, 2), 0), ("scalars", (0, 2), 2**20 + 1),
        ("weights", (2, 7), -128), ("sizes", (1, 0), 128), ("curves", (2, 5, 3), 161),
    ],
)  # fmt: skip
def test_numbers_out_of_their_ranges_are_refused(part, index, value):
    array = getattr(MODEL.network, part).copy()
    array[index] = value
    with pytest.raises(library.NativeError) as error:
        call(SETS[-1], Model(TINY_LINEAR, MODEL.network._replace(**{part: array})))
    assert error.value.code == -2


def test_a_choice_without_a_predictor_is_refused():
    with pytest.raises(library.NativeError) as error:
        call(SETS[-1], choices=(0, 3, 0))
    assert error.value.code == -2


@pytest.mark.parametrize("number", SETS)
def test_too_little_memory_is_refused(number):
    good = call(number)
    words = np.empty(2 * SYMBOLS.size, np.uint32)
    assert good.run("encode", SYMBOLS, words) > 0
    with pytest.raises(library.NativeError) as error:
        good.run("encode", SYMBOLS, words[:300])
    assert error.value.code == -9
    good.scratch = good.scratch[:-64]
    with pytest.raises(library.NativeError) as error:
        good.run("encode", SYMBOLS, words)
    assert error.value.code == -9


@pytest.mark.parametrize("number", SETS)
def test_what_is_in_the_scratch_memory_before_does_not_matter(number):
    choices = np.array([2, 0, 2], np.uint8)
    message = native.encode(SYMBOLS, SYMBOLS.shape, SIZES, MODEL, number, choices)
    used = call(number, choices=choices)
    for value in (0, 255):
        used.scratch[:] = value
        words = np.empty(2 * SYMBOLS.size, np.uint32)
        count = used.run("encode", SYMBOLS, words)
        np.testing.assert_array_equal(words[words.size - count :], message)
        # An encoder leaves no slots for the decoder that runs in the same memory.
        symbols = np.empty(SYMBOLS.shape, np.uint8)
        used.run("decode", message, symbols)
        np.testing.assert_array_equal(symbols, SYMBOLS)


@pytest.mark.parametrize("number", SETS)
def test_damaged_messages_end_in_an_error_or_in_symbols(number):
    sizes = np.full(3, int(SYMBOLS.max()) + 1)
    choices = np.array([2, 0, 2], np.uint8)
    message = native.encode(SYMBOLS, SYMBOLS.shape, sizes, MODEL, number, choices)
    rng = np.random.default_rng(3)
    refused = 0
    for _ in range(60):
        damaged = message.copy()
        damaged[rng.integers(message.size)] ^= np.uint32(1 << rng.integers(32))
        if rng.integers(3) == 0:
            damaged = damaged[: rng.integers(message.size)]
        try:
            found = native.decode(
                damaged, SYMBOLS.shape, SYMBOLS.shape, sizes, MODEL, number, choices
            )
            assert found.max() < sizes[0]
        except FormatError:
            refused += 1
    assert refused > 50
