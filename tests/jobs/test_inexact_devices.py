"""On a device that does not compute exactly nothing is written, whatever is wrong with it."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxslice
from jaxslice.archive import model
from jaxslice.bench.synthetic import synthetic_volume
from jaxslice.codec import intervals, linear_probe, mixture, probe, wide_probe
from jaxslice.codec.engines import native, xla
from jaxslice.core.errors import DeviceError

VOXELS = synthetic_volume((4, 24, 32), seed=3)
CACHES = (
    probe.check_device, linear_probe._check_device, wide_probe._check_device, model._model_of,
    xla.encoder_program, xla.decoder_program,
)  # fmt: skip


@pytest.fixture(autouse=True)
def _fresh():
    def clear():
        for cached in CACHES:
            cached.cache_clear()
        native.NativeEngine.is_available.cache_clear()

    clear()
    yield
    clear()


def refused(place, voxels=VOXELS, **options) -> str:
    options = jaxslice.CompressOptions(**{"effort": 0, **options})
    with pytest.raises(DeviceError) as caught:
        jaxslice.compress(voxels, str(place / "a.zarr"), options)
    assert not (place / "a.zarr").exists()
    return str(caught.value)


def half_precision(weights, inputs):
    """A product whose sums are kept in bfloat16: 8 bits of mantissa."""
    return jax.lax.reduce_precision(jnp.dot(weights, inputs), 8, 7)


def fast_math(weights, inputs):
    """What a reciprocal instead of a division brings in: the last bit is another."""
    return jnp.dot(weights, inputs) * jnp.float32(1 + 2**-22)


@pytest.mark.parametrize("product", [half_precision, fast_math])
def test_products_that_round(product, monkeypatch, tmp_path):
    monkeypatch.setattr(mixture, "_product", product)
    assert "start-up probe" in refused(tmp_path, engine="xla")


def test_a_wrong_table(monkeypatch, tmp_path):
    real = intervals.component_cumulative
    monkeypatch.setattr(intervals, "component_cumulative", lambda q: jnp.maximum(real(q) - 1, 0))
    assert "start-up probe" in refused(tmp_path, engine="xla")


def wrong_where(monkeypatch, is_wrong) -> None:
    """A native kernel that returns one wrong bit for some models."""
    real = native.encode

    def encode(symbols, shape, counts, used, *others, **named):
        message = real(symbols, shape, counts, used, *others, **named)
        if is_wrong(used.architecture):
            message = message.copy()
            message[len(message) // 2] ^= 1
        return message

    monkeypatch.setattr(native, "encode", encode)


def test_a_wrong_native_kernel_gives_way_to_another_engine(monkeypatch, tmp_path):
    wrong_where(monkeypatch, lambda architecture: True)
    report = jaxslice.compress(
        VOXELS, str(tmp_path / "a.zarr"), jaxslice.CompressOptions(effort="fast")
    )
    assert report.details["engine"] == "xla"
    monkeypatch.undo()
    assert jaxslice.verify(str(tmp_path / "a.zarr"), source=VOXELS).details["verified"]


def test_a_wrong_kernel_for_16_bits_alone(monkeypatch, tmp_path):
    wrong_where(monkeypatch, lambda architecture: architecture.voxel_bits == 16)
    wide = VOXELS.astype(np.uint16) * 11
    assert "16-bit voxels" in refused(tmp_path, wide, engine="native")
    jaxslice.compress(VOXELS, str(tmp_path / "a.zarr"), jaxslice.CompressOptions(effort=0))


def test_a_wrong_kernel_for_linear_predictors_alone(monkeypatch, tmp_path):
    wrong_where(monkeypatch, lambda architecture: hasattr(architecture, "phases"))
    assert "linear predictors" in refused(tmp_path, effort="fast", engine="native")


def test_a_program_that_is_wrong_for_the_archives_blocks_alone(monkeypatch, tmp_path):
    """The probe's programs are exact, that of the archive is not, and decodes what it encoded."""
    real = xla.XlaEngine.encode

    def encode(self, symbols, sizes, *others):
        messages = real(self, symbols, sizes, *others)
        if symbols.shape[1:] == VOXELS.shape:
            messages[0][1] ^= 1
        return messages

    monkeypatch.setattr(xla.XlaEngine, "encode", encode)
    assert "other bytes for the archive's network" in refused(tmp_path, engine="xla")


SEVERAL = """
import json, sys
import jax, numpy as np
import jaxslice
from jaxslice.codec.engines import xla
from jaxslice.core.errors import DeviceError

voxels = np.load(sys.argv[1])
real = {name: getattr(xla, name) for name in ("encoder_program", "decoder_program")}

def wrong_on_the_last(name):
    def programs(*key):
        program = real[name](*key)
        def run(*arguments):
            found = program(*arguments)
            if arguments[1].devices() != {jax.devices()[-1]}:
                return found
            return (found[0] ^ 1, *found[1:])
        run.lower = program.lower
        return run
    return programs

said = []
for name in real:
    setattr(xla, name, wrong_on_the_last(name))
    try:
        options = jaxslice.CompressOptions(effort=0, engine="xla")
        jaxslice.compress(voxels, sys.argv[2], options)
        said.append("written")
    except DeviceError as error:
        said.append(str(error))
    setattr(xla, name, real[name])
    from jaxslice.codec import probe
    probe.check_device.cache_clear()
print(json.dumps(said))
"""


def test_one_bad_device_among_several(tmp_path, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=2")
    np.save(tmp_path / "v.npy", VOXELS)
    root = str(Path(__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", root)
    result = subprocess.run(
        [sys.executable, "-c", SEVERAL, tmp_path / "v.npy", tmp_path / "a.zarr"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    encoding, decoding = json.loads(result.stdout)
    assert "start-up probe" in encoding
    assert "cpu:1" in encoding
    assert "Got other symbols" in decoding
    assert "cpu:1" in decoding
    assert [path.name for path in tmp_path.iterdir()] == ["v.npy"]
