"""The programs for accelerators, seen without one: they lower and hold no inexact operation."""

import re

import jax
import numpy as np
import pytest
from jax import export

from jaxslice.codec import limits
from jaxslice.codec.engines import xla
from jaxslice.codec.geometry import Geometry
from jaxslice.models.presets import FULL

SHAPE, BATCH = (3, 16, 20), 2

# What may round differently on another device: anything transcendental, float division and
# convolutions (which cuDNN may compute by Winograd or in TF32).
INEXACT = (
    "exponential", "log", "log_plus_one", "tanh", "logistic", "sqrt", "rsqrt", "power", "cosine",
    "sine", "cbrt", "erf", "convolution", "reduce_precision",
)  # fmt: skip


def _lowered(direction: str, block_networks: bool, platform: str) -> str:
    geometry_of = Geometry.of_encoder if direction == "encode" else Geometry.of
    geometry = geometry_of(SHAPE, FULL, BATCH)
    network = xla.IntegerNetwork(
        tuple(np.ones((BATCH, *shape), np.int8) for shape in FULL.layer_shapes),
        tuple(np.ones((BATCH, shape[0]), np.int32) for shape in FULL.layer_shapes),
    )
    if not block_networks:
        network = jax.tree.map(lambda leaf: leaf[0], network)
    lanes = BATCH, geometry.lanes
    symbols = np.zeros((geometry.num_rows, BATCH, geometry.lane_pitch), np.int16)
    counts = np.zeros((geometry.num_rows, *lanes), np.int16)
    if direction == "encode":
        program = xla.encoder_program(geometry, FULL, block_networks, platform)
        arguments = (symbols, counts, np.int32(0))
    else:
        program = xla.decoder_program(geometry, FULL, block_networks, platform)
        heads = np.zeros(lanes, np.uint64)
        words = np.zeros((BATCH, limits.most_words(SHAPE)), np.uint32)
        arguments = (heads, words, counts, np.int32(0))
    with jax.enable_x64(True):
        return export.export(program, platforms=[platform])(network, *arguments).mlir_module()


@pytest.fixture(scope="module")
def lowered():
    return {
        (direction, block_networks, platform): _lowered(direction, block_networks, platform)
        for direction in ("encode", "decode")
        for block_networks in (False, True)
        for platform in ("cuda", "tpu")
    }


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
@pytest.mark.parametrize("block_networks", [False, True])
@pytest.mark.parametrize("direction", ["encode", "decode"])
def test_lowers_without_inexact_operations(lowered, direction, block_networks, platform):
    text = lowered[direction, block_networks, platform]
    operations = set(re.findall(r"stablehlo\.(\w+)", text))
    assert {"while", "dot_general", "add"} <= operations
    assert operations.isdisjoint(INEXACT)
    assert "f64" not in text
    # The one division of floats, of which `division.quotient_of` needs no more than 20 bits.
    divisions = [line for line in text.splitlines() if "stablehlo.divide" in line]
    of_floats = [line for line in divisions if "xf32>" in line]
    assert len(of_floats) == (2 if direction == "encode" else 0), of_floats
    assert not any("i64>" in line for line in divisions), divisions
    for line in text.splitlines():
        if "stablehlo.dot_general" in line:
            assert "precision = [HIGHEST, HIGHEST]" in line, line


def test_no_round_trip_to_the_host(lowered):
    for text in lowered.values():
        assert not re.search(r"callback|infeed|outfeed|host_compute", text)
