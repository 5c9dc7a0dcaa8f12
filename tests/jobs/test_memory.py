"""The formula of memory against what XLA says of compiled programs, and what follows from it."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from models_for_tests import TINY

from jaxslice.codec import payload
from jaxslice.codec.engines import xla
from jaxslice.codec.geometry import Geometry
from jaxslice.jobs import memory, parallelism
from jaxslice.models.presets import FULL, LARGE

ROOT = Path(__file__).parents[2]

SHAPE = (64, 256, 256)
CASES = [
    (TINY, (4, 32, 40), 1, False),
    (TINY, (6, 24, 32), 3, True),
    (FULL, (8, 64, 96), 1, False),
    (FULL, (4, 32, 40), 3, False),
]


def compiled_sizes(direction, architecture, shape, batch, own_networks):
    """(arguments, outputs, temporary) bytes of a program, as XLA's own analysis has them."""
    geometry_of = Geometry.of_encoder if direction == "encoder" else Geometry.of
    geometry = geometry_of(shape, architecture, batch)
    leading = (batch,) if own_networks else ()
    array = jax.ShapeDtypeStruct
    network = xla.IntegerNetwork(
        tuple(array((*leading, *layer), np.int8) for layer in architecture.layer_shapes),
        tuple(array((*leading, layer[0]), np.int32) for layer in architecture.layer_shapes),
    )
    lanes = batch, geometry.lanes
    symbols = array((geometry.num_rows, batch, geometry.lane_pitch), np.int16)
    limits = array((geometry.num_rows, *lanes), np.int16)
    steps = array((), np.int32)
    with jax.enable_x64(True):
        if direction == "encoder":
            program = xla.encoder_program(geometry, architecture, own_networks, "cpu")
            lowered = program.lower(network, symbols, limits, steps)
        else:
            program = xla.decoder_program(geometry, architecture, own_networks, "cpu")
            heads = array(lanes, np.uint64)
            words = array((batch, payload.most_words(shape)), np.uint32)
            lowered = program.lower(network, heads, words, limits, steps)
    sizes = lowered.compile().memory_analysis()
    return sizes.argument_size_in_bytes, sizes.output_size_in_bytes, sizes.temp_size_in_bytes


@pytest.mark.parametrize("direction", ["encoder", "decoder"])
@pytest.mark.parametrize(("architecture", "shape", "batch", "own_networks"), CASES)
def test_bounds_what_xla_allocates(direction, architecture, shape, batch, own_networks):
    actual = compiled_sizes(direction, architecture, shape, batch, own_networks)
    formula = getattr(memory, f"{direction}_bytes")
    stated = formula(shape, batch, architecture, own_networks=own_networks)
    parts = stated.arguments, stated.outputs, stated.temporary
    # Tight for the arrays that go in and out; what is between is XLA's choice, so that the bound
    # leaves room, but not so much that half of it could be forgotten.
    for part, size, slack in zip(parts, actual, (1.02, 1.02, 2.0), strict=True):
        assert size <= part <= slack * size, (parts, actual)
    assert stated.total == sum(parts)


def test_what_grows_with_what():
    one = memory.encoder_bytes(SHAPE, 1, FULL)
    assert 15.9 * one.outputs < memory.encoder_bytes(SHAPE, 16, FULL).outputs < 16.1 * one.outputs
    own = memory.decoder_bytes(SHAPE, 16, LARGE, own_networks=True)
    assert own.total > memory.decoder_bytes(SHAPE, 16, LARGE).total
    fewer = memory.peak_bytes(SHAPE, 1, 1, FULL)
    assert memory.peak_bytes(SHAPE, 1, 3, FULL) - fewer == 2 * (fewer - memory.PROCESS_BYTES)


def test_blocks_at_once_takes_what_fits():
    wanted = 16, 4
    assert memory.blocks_at_once(None, SHAPE, FULL, *wanted) == wanted
    assert memory.blocks_at_once(1, SHAPE, FULL, *wanted) == (1, 1)
    for batch, workers in ((16, 4), (8, 4), (1, 4), (1, 2)):
        enough = memory.peak_bytes(SHAPE, batch, workers, FULL)
        assert memory.blocks_at_once(enough, SHAPE, FULL, *wanted) == (batch, workers)
        less = memory.blocks_at_once(enough - 1, SHAPE, FULL, *wanted)
        assert less[0] * less[1] < batch * workers
        assert memory.peak_bytes(SHAPE, *less, FULL) < enough


def test_blocks_at_once_knows_the_device():
    program = memory.encoder_bytes(SHAPE, 16, FULL).total
    find = lambda device_bytes: memory.blocks_at_once(
        1 << 40, SHAPE, FULL, 16, 4, device_bytes=device_bytes, devices=2
    )
    assert find(2 * program) == (16, 4)
    assert find(2 * program - 1) == (8, 4)
    assert memory.blocks_at_once(
        memory.PROCESS_BYTES, SHAPE, FULL, 16, 4, device_bytes=1 << 40, devices=2
    ) == (1, 1)


def test_a_cpu_has_no_memory_of_its_own():
    assert memory.available_device_bytes(jax.devices("cpu")[0]) is None


@pytest.mark.slow
def test_a_process_that_codes_stays_within_the_formula():
    program = (
        "from jaxslice.codec import block\n"
        "from jaxslice.core import machine\n"
        "from jaxslice.jobs import memory\n"
        "from jaxslice.models import model_file as shipped\n"
        "from jaxslice.bench.synthetic import synthetic_volume\n"
        "shape = (32, 128, 256)\n"
        "model = shipped.load('default').model\n"
        "data = block.encode_block(synthetic_volume(shape), model)\n"
        "block.decode_block(data, shape, model)\n"
        "peak = machine.peak_so_far_bytes()\n"
        "assert peak <= memory.peak_bytes(shape, 1, 1, model.architecture), peak\n"
    )
    if not sys.platform.startswith("linux"):
        pytest.skip("measured on Linux only")
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
    }
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)


@pytest.mark.parametrize(("asked", "expected"), [((None, None), (1, 1)), ((3, 2), (3, 2))])
def test_what_is_not_asked_for_is_chosen_from_memory(monkeypatch, asked, expected):
    monkeypatch.setattr(parallelism, "available_host_bytes", lambda: 1)
    assert parallelism.what_fits(*asked, SHAPE, FULL) == expected
