"""The start-up probe refuses a device or an engine that computes otherwise."""

import jax.numpy as jnp
import pytest

from jaxslice.codec import intervals, mixture, probe
from jaxslice.codec.engines import native, xla
from jaxslice.codec.engines.pallas import decoder
from jaxslice.codec.engines.pallas import engine as pallas_engine
from jaxslice.core.errors import DeviceError, UsageError

CACHES = (
    probe.check_device,
    xla.encoder_program,
    xla.decoder_program,
    pallas_engine.decoder_program,
)


@pytest.fixture(autouse=True)
def _fresh():
    for cached in CACHES:
        cached.cache_clear()
    yield
    for cached in CACHES:
        cached.cache_clear()


@pytest.mark.parametrize("engine", ["auto", "xla", "pallas"])
def test_this_machine_passes(engine):
    probe.check_device(engine=engine)


def test_a_rounded_product_is_noticed(monkeypatch):
    """What TF32 would do: 10 bits of mantissa for the inputs of matrix products."""

    def rounded(weights, inputs):
        coarse = jnp.round(inputs / 2) * 2
        return jnp.dot(weights, coarse)

    monkeypatch.setattr(mixture, "_product", rounded)
    with pytest.raises(DeviceError, match="start-up probe"):
        probe.check_device(engine="xla")


def test_another_curve_is_noticed(monkeypatch):
    real = intervals.component_cumulative
    monkeypatch.setattr(intervals, "component_cumulative", lambda q: jnp.maximum(real(q) - 1, 0))
    with pytest.raises(DeviceError, match="expected 0x"):
        probe.check_device(engine="xla")


def test_a_native_library_that_computes_otherwise_is_not_used(monkeypatch):
    real = native.encode

    def wrong(symbols, *others, **named):
        return real(symbols // 2, *others, **named)

    monkeypatch.setattr(native, "encode", wrong)
    assert not probe.passes(native.ENGINE)


def test_a_wrong_decoder_is_noticed_by_the_engine_that_has_it(monkeypatch):
    real = decoder.decode_lanes

    def wrong(*arrays, **static):
        symbols, heads, used = real(*arrays, **static)
        return symbols.at[12, 0, 3].add(1), heads, used

    monkeypatch.setattr(decoder, "decode_lanes", wrong)
    probe.check_device()
    with pytest.raises(DeviceError, match=r"other symbols .* engine 'pallas'"):
        probe.check_device(engine="pallas")


def test_an_unknown_engine_is_refused():
    with pytest.raises(UsageError, match="Got the engine 'gpu', expected one of auto, native, xla"):
        probe.check_device(engine="gpu")
