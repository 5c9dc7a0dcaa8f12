"""Decoding as one kernel: the integers of the plain decoder, seen in Pallas' interpreter on a CPU.

And the kernel for GPUs, as far as it can be seen without one: it lowers, and holds what it must.
"""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
from jax import export
from jax.extend.core import ClosedJaxpr, Jaxpr
from models_for_tests import (
    EARLIER,
    IN_SLICE,
    SHAPE,
    SHEARED,
    TINY,
    TINY_MODEL,
    extreme_network,
    random_network,
    smooth_block,
)

from jaxslice.codec import block
from jaxslice.codec.architecture import Architecture
from jaxslice.codec.engines import interface, xla
from jaxslice.codec.engines.pallas import decoder, network
from jaxslice.codec.engines.pallas import engine as pallas_engine
from jaxslice.codec.geometry import Geometry
from jaxslice.codec.march import OUTSIDE
from jaxslice.codec.message import LOWER_BOUND
from jaxslice.codec.network import IntegerNetwork
from jaxslice.core.errors import UsageError
from jaxslice.models import model_file

UNEVEN = dataclasses.replace(TINY, hidden=(41, 3, 9, 17), components=5, activity_count=2)
"""As many layers as there can be, no width a multiple of another."""

WORDS = 300


class Call(NamedTuple):
    """Arguments of a decoder: static ones, then arrays."""

    geometry: Geometry
    architecture: Architecture
    block_networks: bool
    arrays: tuple[Any, ...]


def call(
    architecture: Architecture,
    shape: tuple[int, int, int],
    blocks: int = 1,
    *,
    networks: list[IntegerNetwork] | None = None,
    block_networks: bool = False,
    extents: list[tuple[int, int, int]] | None = None,
    num_words: int = WORDS,
) -> Call:
    """A decoder's arguments; what the message means does not matter, and so it is random."""
    rng = np.random.default_rng(sum(shape) + blocks)
    geometry = Geometry.of(shape, architecture, blocks)
    if networks is None:
        networks = [random_network(architecture, seed, spread=4) for seed in range(blocks)]
    network = xla.stacked(networks) if block_networks else networks[0]
    heads = np.full((blocks, geometry.lanes), LOWER_BOUND, np.uint64)
    heads[:, : shape[1]] = rng.integers(1 << 31, 1 << 36, (blocks, shape[1]), np.uint64)
    words = rng.integers(0, 1 << 32, (blocks, num_words), np.uint32)
    sizes = rng.integers(60, 257, (blocks, shape[0]))
    whole = np.array(extents or [shape] * blocks)
    steps = np.int32(max(geometry.steps_for(tuple(extent)) for extent in whole.tolist()))
    limits = xla.sheared_limits(sizes.astype(np.int32), whole.astype(np.int32), geometry)
    return Call(geometry, architecture, block_networks, (network, heads, words, limits, steps))


@functools.cache
def program(
    geometry: Geometry,
    architecture: Architecture,
    block_networks: bool,
    engine: str,
    platform: str = "cpu",
) -> Any:
    """The decoder of an engine, compiled once."""
    module = {"xla": xla, "pallas": pallas_engine}[engine]
    return module.decoder_program.__wrapped__(geometry, architecture, block_networks, platform)


def decoded(by: Call, engine: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    with jax.enable_x64(True):
        return jax.device_get(program(*by[:3], engine)(*by.arrays))


def assert_same(by: Call) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    expected, got = decoded(by, "xla"), decoded(by, "pallas")
    for one, other in zip(expected, got, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    return expected


SHIPPED = model_file.load("default").model

CALLS = {
    "one block": call(TINY, SHAPE),
    "extreme weights": call(TINY, SHAPE, networks=[extreme_network(TINY, seed=1)]),
    "one voxel wide and high": call(TINY, (12, 1, 1)),
    "narrow, own networks": call(EARLIER, (6, 40, 2), 3, block_networks=True),
    "edges of the volume": call(
        TINY, SHAPE, 3, block_networks=True, extents=[(3, 8, 24), (1, 2, 24), (3, 5, 3)]
    ),
    "more shear": call(SHEARED, SHAPE, 2),
    "uneven layers": call(UNEVEN, (2, 10, 8), 2),
    "the shipped network": call(
        SHIPPED.architecture, (2, 18, 12), 3, networks=[SHIPPED.network] * 3
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_decodes_what_the_plain_decoder_decodes(name):
    symbols, heads, used = assert_same(CALLS[name])
    # The comparison means something: levels of all sorts, and words read.
    assert len(np.unique(symbols)) > 3
    assert np.any(heads != CALLS[name].arrays[1])
    assert used.max() > 0


def test_words_end_too_early():
    _, _, used = assert_same(call(IN_SLICE, (1, 17, 5), block_networks=True, num_words=3))
    assert used.min() > 3


def test_stops_where_the_largest_extent_does():
    by = call(TINY, SHAPE, extents=[(2, 3, 4)])
    symbols, _, _ = assert_same(by)
    steps = int(by.arrays[-1])
    assert steps < by.geometry.num_steps
    assert np.all(symbols[steps:] == OUTSIDE)
    assert np.count_nonzero(symbols != OUTSIDE) == 2 * 3 * 4


def test_nothing_to_do():
    by = call(TINY, SHAPE)
    by = by._replace(arrays=(*by.arrays[:-1], np.int32(0)))
    symbols, heads, used = assert_same(by)
    assert np.all(symbols == OUTSIDE)
    assert not used.any()
    np.testing.assert_array_equal(heads, by.arrays[1])


@pytest.mark.parametrize(
    ("module", "name", "wrong"),
    [
        (network, "REFERENCE_SHARES", (0.375, 0.25, 0.25, 0.125)),
        (decoder.rans, "refilled", lambda head, empty, word: head),
    ],
)
def test_an_error_in_the_kernel_would_show(monkeypatch, module, name, wrong):
    by = CALLS["one block"]
    expected = decoded(by, "xla")
    monkeypatch.setattr(module, name, wrong)
    with jax.enable_x64(True):
        got = jax.device_get(program.__wrapped__(*by[:3], "pallas")(*by.arrays))
    assert any(np.any(one != other) for one, other in zip(expected, got, strict=True))


@pytest.fixture
def launches(monkeypatch) -> list[str]:
    """Names the decoders that are traced; only the kernel's is seen."""
    seen = []
    real = decoder.decode_lanes

    def decode_lanes(*arrays, **static):
        seen.append("pallas")
        return real(*arrays, **static)

    monkeypatch.setattr(decoder, "decode_lanes", decode_lanes)
    pallas_engine.decoder_program.cache_clear()
    yield seen
    pallas_engine.decoder_program.cache_clear()


@pytest.mark.parametrize("engine", ["auto", "xla", "pallas"])
def test_blocks_come_back_by_either_engine(launches, engine):
    volumes = [smooth_block(SHAPE), smooth_block(SHAPE, seed=1)]
    volumes[1][:, 5:] = 0
    payloads = block.encode_blocks(volumes, TINY_MODEL, engine=engine)
    assert all(len(data) < volume.size for data, volume in zip(payloads, volumes, strict=True))
    assert payloads == block.encode_blocks(volumes, TINY_MODEL)
    backs = block.decode_blocks(payloads, SHAPE, TINY_MODEL, engine=engine)
    for got, volume in zip(backs, volumes, strict=True):
        np.testing.assert_array_equal(got, volume)
    assert launches == (["pallas"] if engine == "pallas" else [])


def test_names_its_limits_where_there_is_no_kernel():
    geometry = Geometry(SHAPE, TINY.context)
    assert decoder.supports(geometry, "gpu")
    assert not decoder.supports(geometry, "tpu")
    tall = Geometry((1, 4000, 8), TINY.context)
    for blocks, platform in ((geometry, "tpu"), (tall, "gpu")):
        with pytest.raises(UsageError, match=r"Got the engine 'pallas' .* expected at most 2048"):
            interface.engine_named("pallas").decoder_program(blocks, TINY, False, platform)


GPU_CALLS = {
    "one block": CALLS["one block"],
    "own networks": CALLS["narrow, own networks"],
    "uneven layers": CALLS["uneven layers"],
    "the shipped network": call(
        SHIPPED.architecture, (2, 256, 20), 2, networks=[SHIPPED.network] * 2
    ),
}


@pytest.mark.parametrize("platform", ["cuda", "rocm"])
@pytest.mark.parametrize("name", GPU_CALLS)
def test_lowers_to_one_kernel(name, platform):
    by = GPU_CALLS[name]
    targets = "__gpu$xla.gpu.triton", "triton_kernel_call_ffi"
    unsafe = [export.DisabledSafetyCheck.custom_call(target) for target in targets]
    with jax.enable_x64(True):
        try:
            exported = export.export(
                program(*by[:3], "pallas", platform), platforms=[platform], disabled_checks=unsafe
            )(*by.arrays)
        except RuntimeError as error:
            # Some releases of JAX compile Triton's program as well, by a package for GPUs. The
            # kernel was lowered if it came so far.
            if "Triton compilation handler" in str(error):
                return
            raise
    text = exported.mlir_module()
    assert sum(text.count(f"custom_call @{target}(") for target in targets) == 1
    assert "num_stages = 1" in text
    # All of the march is in there.
    assert "stablehlo.while" not in text
    assert "stablehlo.dot_general" not in text


def _equations(jaxpr: Jaxpr) -> Iterator[Any]:
    for equation in jaxpr.eqns:
        yield equation
        for inner in jax.tree.leaves(
            list(equation.params.values()),
            is_leaf=lambda value: isinstance(value, Jaxpr | ClosedJaxpr),
        ):
            if isinstance(inner, ClosedJaxpr):
                inner = inner.jaxpr
            if isinstance(inner, Jaxpr):
                yield from _equations(inner)


def _kernel(by: Call, platform: str) -> Jaxpr:
    with jax.enable_x64(True):
        traced = program(*by[:3], "pallas", platform).trace(*by.arrays).jaxpr.jaxpr
    (launch,) = (e for e in _equations(traced) if e.primitive.name == "pallas_call")
    return launch.params["jaxpr"]


def test_the_kernel_holds_no_inexact_operation():
    """Of floats there are sums and products of integers, and no product for a matrix unit."""
    equations = list(_equations(_kernel(GPU_CALLS["the shipped network"], "cuda")))
    floats = {
        equation.primitive.name
        for equation in equations
        if any(var.aval.dtype == np.float32 for var in equation.outvars if var.aval.shape)
    }
    assert {"add", "mul", "floor"} <= floats
    assert floats <= {
        *("add", "sub", "mul", "floor", "min", "max", "select_n", "reduce_sum"),
        *("broadcast_in_dim", "convert_element_type", "bitcast_convert_type", "get", "copy"),
        *("jit", "pjit", "while", "scan", "squeeze", "reshape"),
    }
    assert not any(
        getattr(var.aval, "dtype", None) == np.float64
        for equation in equations
        for var in equation.outvars
    )


def test_a_barrier_follows_what_a_step_writes():
    def names(platform):
        kernel = _kernel(CALLS["one block"], platform)
        (march,) = (e for e in kernel.eqns if e.primitive.name == "while")
        return [e.primitive.name for e in march.params["body_jaxpr"].jaxpr.eqns]

    on_gpu = names("cuda")
    assert on_gpu.count("debug_barrier_p") == on_gpu.count("swap") == 1
    written = on_gpu.index("swap")
    assert on_gpu.index("debug_barrier_p") > written
    assert "get" not in on_gpu[written:]
    # The interpreter knows no barrier.
    assert "debug_barrier_p" not in names("cpu")
