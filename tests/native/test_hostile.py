"""What the native engine is handed may be hostile: it answers with an error code, and no more."""

import ctypes
import subprocess
from pathlib import Path

import numpy as np
import pytest
from models_for_tests import TINY, TINY_MODEL, random_network, smooth_block

from jaxslice.codec.engines import native
from jaxslice.codec.network import Model
from jaxslice.core.errors import FormatError
from jaxslice.native import build, library

CORPUS = Path(__file__).parents[2] / "experiments" / "fuzz" / "corpus"
ROUNDS = ("network_round", "linear_round", "levels_round", "check_network", "check_linear")
SETS = library.instruction_sets()
assert SETS, "the native engine was not built: python -m jaxslice.native.build"

SYMBOLS = smooth_block((3, 70, 24))
SIZES = np.full(3, 256)


def call(instruction_set: int, model: Model = TINY_MODEL) -> native.BlockCall:
    return native.BlockCall(model, SYMBOLS.shape, SYMBOLS.shape, SIZES, instruction_set)


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("context_count", 3, -1),
        ("context_count", 257, -1),
        ("activity_count", 0, -1),
        ("activity_count", 11, -1),
        ("activity_offset", 15, -1),
        ("activity_offset", 4096, -1),
        ("fallback", 10, -1),
        ("fallback", -1, -1),
        ("shear", 1, -1),
        ("shear", 9, -1),
        ("components", 9, -1),
        ("hidden_count", 0, -1),
        ("hidden_count", 5, -1),
        ("components", 3, -2),
        ("weights_size", 10, -2),
        ("biases_size", 100, -2),
        ("level_count_size", 2, -4),
        ("context", None, -11),
        ("weights", None, -11),
        ("biases", None, -11),
        ("level_counts", None, -11),
    ],
)
@pytest.mark.parametrize("number", SETS)
def test_a_task_out_of_its_ranges_is_refused(field, value, code, number):
    bad = call(number)
    setattr(bad.task, field, value)
    with pytest.raises(library.NativeError) as error:
        bad.run("encode", SYMBOLS, np.empty(SYMBOLS.size, np.uint32))
    assert error.value.code == code
    assert library._loaded().march_scratch_bytes(bad.task, number) == code


@pytest.mark.parametrize(
    ("field", "values", "code"),
    [
        ("hidden", (0, 0, 0, 0), -1),
        ("hidden", (257, 0, 0, 0), -1),
        ("block_shape", (0, 70, 24), -3),
        ("block_shape", (3, 69, 24), -3),
        ("block_shape", (2**10, 2**11, 2**10), -3),
        ("extent", (3, 70, 0), -3),
        ("extent", (3, -1, 24), -3),
        ("extent", (3, 70, 23), -3),
    ],
)
def test_shapes_that_do_not_fit_are_refused(field, values, code):
    bad = call(SETS[-1])
    setattr(bad.task, field, type(getattr(bad.task, field))(*values))
    with pytest.raises(library.NativeError) as error:
        bad.run("encode", SYMBOLS, np.empty(SYMBOLS.size, np.uint32))
    assert error.value.code == code


@pytest.mark.parametrize(
    ("context", "row"),
    [((0, 0, 0), 0), ((0, -1, 2), 1), ((0, -17, 0), 1), ((0, -1, 1), 3), ((-1, 0, 0), 0)],
)
def test_contexts_that_are_not_causal_or_not_in_order_are_refused(context, row):
    bad = call(SETS[-1])
    ctypes.memmove(bad.task.context + 12 * row, np.array(context, np.int32).ctypes.data, 12)
    assert library._loaded().march_scratch_bytes(bad.task, 0) == -1


def test_networks_that_could_overflow_are_refused():
    network = random_network(TINY, 1)
    weights = [w.copy() for w in network.weights]
    weights[1][0, 0] = -128
    with pytest.raises(library.NativeError) as error:
        call(SETS[-1], Model(TINY, network._replace(weights=tuple(weights))))
    assert error.value.code == -2
    biases = [b.copy() for b in network.biases]
    biases[0][3] = 1 << 22
    with pytest.raises(library.NativeError) as error:
        call(SETS[-1], Model(TINY, network._replace(biases=tuple(biases))))
    assert error.value.code == -2


@pytest.mark.parametrize("number", SETS)
def test_levels_and_symbols_are_checked(number):
    for count, code in ((0, -4), (257, -4), (int(SYMBOLS[1].max()), -5)):
        with pytest.raises(library.NativeError) as error:
            native.encode(SYMBOLS, SYMBOLS.shape, np.array([256, count, 256]), TINY_MODEL, number)
        assert error.value.code == code


@pytest.mark.parametrize("number", SETS)
def test_room_and_messages_are_never_overrun(number):
    message = native.encode(SYMBOLS, SYMBOLS.shape, SIZES, TINY_MODEL, number)
    for size in (0, 7, 140, message.size - 1):
        with pytest.raises(library.NativeError) as error:
            call(number).run("encode", SYMBOLS, np.empty(size, np.uint32))
        assert error.value.code == -9
        with pytest.raises(FormatError, match="too few words"):
            native.decode(message[:size], SYMBOLS.shape, SYMBOLS.shape, SIZES, TINY_MODEL, number)
    longer = np.append(message, message[:1])
    with pytest.raises(FormatError, match="too many words"):
        native.decode(longer, SYMBOLS.shape, SYMBOLS.shape, SIZES, TINY_MODEL, number)
    small = call(number)
    small.scratch = small.scratch[:-1]
    with pytest.raises(library.NativeError) as error:
        small.run("encode", SYMBOLS, np.empty(SYMBOLS.size, np.uint32))
    assert error.value.code == -9


def test_states_out_of_their_range_are_refused():
    message = native.encode(SYMBOLS, SYMBOLS.shape, SIZES, TINY_MODEL)
    for high in (0x80000000, 0):
        damaged = message.copy()
        damaged[69], damaged[139] = high, 0x7FFFFFFF
        with pytest.raises(FormatError, match="head out of range"):
            native.decode(damaged, SYMBOLS.shape, SYMBOLS.shape, SIZES, TINY_MODEL)


def test_an_unknown_instruction_set_is_refused():
    for number in (-1, 4, 99):
        with pytest.raises(library.NativeError) as error:
            call(number)
        assert error.value.code == -10


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory) -> str:
    """The fuzzer and the engine, under AddressSanitizer and UndefinedBehaviorSanitizer."""
    folder = tmp_path_factory.mktemp("fuzz")
    checks = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g", "-O0")
    library = build.build(folder, checks)
    command = [*(build.compiler() or []), "-std=gnu11", *checks, f"-I{build.FOLDER}"]
    sources = map(str, sorted(Path(__file__).parent.glob("fuzz*.c")))
    program = str(folder / "fuzz")
    build._run([*command, *sources, str(library), f"-Wl,-rpath,{folder}", "-o", program])
    return program


@pytest.mark.parametrize("number", SETS)
def test_sanitizers_find_nothing(fuzzer, number):
    # The inputs say which set they are for; each set runs some of them.
    every = [str(path) for name in ROUNDS for path in sorted((CORPUS / name).iterdir())]
    inputs = every[SETS.index(number) :: len(SETS)]
    assert inputs
    command = [fuzzer, str(number), "50", *inputs]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr[:5000]
    assert "rounds were coded" in result.stdout
