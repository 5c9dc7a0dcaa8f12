"""The start-up probe refuses a device that computes otherwise."""

import jax.numpy as jnp
import pytest

from jaxslice.codec import intervals, network, probe
from jaxslice.codec.engines import xla, xla_options
from jaxslice.codec.engines.pallas import decoder
from jaxslice.core.errors import DeviceError


@pytest.fixture(autouse=True)
def _fresh():
    probe.check_device.cache_clear()
    probe._probe.clear_cache()
    xla._decoder.cache_clear()
    yield
    probe.check_device.cache_clear()
    probe._probe.clear_cache()
    xla._decoder.cache_clear()


def test_this_machine_passes():
    probe.check_device()


def test_a_rounded_product_is_noticed(monkeypatch):
    """What TF32 would do: 10 bits of mantissa for the inputs of matrix products."""

    def rounded(weights, inputs):
        coarse = jnp.round(inputs / 2) * 2
        return jnp.dot(weights, coarse)

    monkeypatch.setattr(network, "_product", rounded)
    with pytest.raises(DeviceError, match="start-up probe"):
        probe.check_device()


def test_another_curve_is_noticed(monkeypatch):
    real = intervals.component_cumulative
    monkeypatch.setattr(intervals, "component_cumulative", lambda q: jnp.maximum(real(q) - 1, 0))
    with pytest.raises(DeviceError, match="expected 0x"):
        probe.check_device()


@pytest.mark.parametrize("asked", ["0", "1"])
def test_either_decoder_gives_the_stored_blocks(monkeypatch, asked):
    monkeypatch.setenv(xla_options.FUSED_DECODE, asked)
    assert probe._blocks_checksum(None) == probe._EXPECTED_BLOCKS_CRC


def test_a_wrong_kernel_is_noticed_where_it_is_asked_for(monkeypatch):
    real = decoder.decode_lanes

    def late(*arrays, **static):
        symbols, heads, used = real(*arrays, **static)
        return symbols.at[12, 0, 3].add(1), heads, used

    monkeypatch.setattr(decoder, "decode_lanes", late)
    monkeypatch.setenv(xla_options.FUSED_DECODE, "0")
    probe.check_device()
    probe.check_device.cache_clear()
    monkeypatch.setenv(xla_options.FUSED_DECODE, "1")
    with pytest.raises(DeviceError, match="JAXSLICE_FUSED_DECODE"):
        probe.check_device()
