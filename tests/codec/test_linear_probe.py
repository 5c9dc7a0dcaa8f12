"""The probe of linear predictors passes on exact engines, and only on those."""

import numpy as np
import pytest

from jaxslice.codec import linear_probe
from jaxslice.codec.engines import native
from jaxslice.codec.engines.interface import engine_named
from jaxslice.core.errors import DeviceError
from jaxslice.native import library


@pytest.mark.parametrize("engine", ["native", "xla"])
def test_exact_engines_pass(engine):
    linear_probe.check_devices(engine)


@pytest.mark.parametrize("number", library.instruction_sets())
def test_every_instruction_set_passes(number, monkeypatch):
    monkeypatch.setattr(library, "best_set", lambda: number)
    assert linear_probe.sample().checksum(engine_named("native")) == linear_probe._EXPECTED_CRC


@pytest.mark.parametrize("what", ["encode", "decode"])
def test_an_engine_that_is_not_exact_is_refused(what, monkeypatch):
    original = getattr(native.NativeEngine, what)

    def inexact(*arguments, **options):
        result = original(*arguments, **options)
        result[0][:1] ^= 1
        return result

    monkeypatch.setattr(native.NativeEngine, what, inexact)
    linear_probe._check_device.cache_clear()
    with pytest.raises(DeviceError, match="native"):
        linear_probe.check_devices("native")
    linear_probe._check_device.cache_clear()


def test_the_sample_has_all_scales_and_phases():
    from jaxslice.codec import linear_bits, linear_sample

    symbols, model = linear_probe.sample().symbols, linear_probe.sample().model
    blocks = [symbols[0].astype(np.uint8)]
    sample = linear_sample.draw(blocks, [0], model.architecture, 1 << 16, 0)
    found = linear_bits.predicted(
        sample.reference, sample.differences, sample.limits, model.network, model.architecture
    )
    assert len({*np.concatenate([part.place % 4 for part in found])}) == 4
    assert len({*np.concatenate([part.scale for part in found])}) > 8
