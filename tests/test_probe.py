"""The start-up probe refuses a device that computes otherwise."""

import jax.numpy as jnp
import pytest

from jaxslice import integer, intervals, probe
from jaxslice.errors import DeviceError


@pytest.fixture(autouse=True)
def _fresh():
    probe.check_device.cache_clear()
    probe._probe.clear_cache()
    yield
    probe.check_device.cache_clear()
    probe._probe.clear_cache()


def test_this_machine_passes():
    probe.check_device()


def test_a_rounded_product_is_noticed(monkeypatch):
    """What TF32 would do: 10 bits of mantissa for the inputs of matrix products."""

    def rounded(weights, inputs):
        coarse = jnp.round(inputs / 2) * 2
        return jnp.dot(weights, coarse)

    monkeypatch.setattr(integer, "_product", rounded)
    with pytest.raises(DeviceError, match="start-up probe"):
        probe.check_device()


def test_another_curve_is_noticed(monkeypatch):
    real = intervals.component_cumulative
    monkeypatch.setattr(intervals, "component_cumulative", lambda q: jnp.maximum(real(q) - 1, 0))
    with pytest.raises(DeviceError, match="expected 0x"):
        probe.check_device()
