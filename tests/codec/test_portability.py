"""The same bytes under other instruction sets, on other devices, and from other processes."""

import hashlib
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from models_for_tests import SHAPE, TINY_MODEL, smooth_block

from jaxslice.codec.block import decode_blocks, encode_blocks

TESTS = Path(__file__).parents[1]

CHILD = """
import json, sys
import jax
from test_portability import digest_on, outcome_of

payloads = [bytes.fromhex(text) for text in json.load(sys.stdin)]
devices = jax.devices()
print(json.dumps({
    "devices": len(devices),
    "digests": [digest_on(device) for device in {devices[0], devices[-1]}],
    "decodes": [outcome_of(payloads, device) for device in {devices[0], devices[-1]}],
}))
"""


def sample_blocks() -> list[np.ndarray]:
    """Two blocks that run together, one of them smaller."""
    small = smooth_block(SHAPE, 1)
    small[:, 6:], small[2:] = 0, 0
    return [smooth_block(SHAPE), small]


def encoded_on(device) -> list[bytes]:
    return encode_blocks(sample_blocks(), TINY_MODEL, device, engine="xla")


def digest_on(device) -> str:
    return hashlib.sha256(b"".join(encoded_on(device))).hexdigest()


def outcome_of(payloads: list[bytes], device) -> bool:
    """Whether payloads that another process encoded decode to the sample blocks."""
    backs = decode_blocks(payloads, SHAPE, TINY_MODEL, device, engine="xla")
    return all(np.array_equal(a, b) for a, b in zip(backs, sample_blocks(), strict=True))


def in_another_process(flags: str, payloads: list[bytes]) -> dict:
    paths = [str(TESTS.parent), str(TESTS), str(TESTS / "codec"), os.environ.get("PYTHONPATH", "")]
    result = subprocess.run(
        [sys.executable, "-c", CHILD],
        input=json.dumps([data.hex() for data in payloads]),
        env={
            **os.environ,
            "XLA_FLAGS": flags,
            "JAX_PLATFORMS": "cpu",
            "PYTHONPATH": os.pathsep.join(paths),
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


INSTRUCTION_SETS = ("AVX2", "SSE4_2") if platform.machine() in ("x86_64", "AMD64") else ()


@pytest.mark.parametrize(
    ("flags", "devices"),
    [
        ("--xla_force_host_platform_device_count=8", 8),
        *((f"--xla_cpu_max_isa={name}", 1) for name in INSTRUCTION_SETS),
        pytest.param("", 1, marks=pytest.mark.slow),
        pytest.param("--xla_backend_optimization_level=0", 1, marks=pytest.mark.slow),
        pytest.param("--xla_cpu_enable_fast_math=true", 1, marks=pytest.mark.slow),
    ],
)
def test_bytes_are_the_same(flags, devices):
    payloads = encoded_on(jax.devices()[0])
    result = in_another_process(flags, payloads)
    expected = hashlib.sha256(b"".join(payloads)).hexdigest()
    assert result["devices"] == devices
    assert set(result["digests"]) == {expected}
    assert len(result["digests"]) == min(devices, 2)
    assert all(result["decodes"])


def test_samples_are_coded_and_the_comparison_can_fail():
    payloads = encoded_on(None)
    assert [data[1] for data in payloads] == [2, 2]
    assert outcome_of(payloads, None)
    assert not outcome_of(payloads[::-1], None)


@pytest.mark.parametrize("device", jax.devices(), ids=str)
def test_every_device_makes_the_bytes_of_the_native_engine(device):
    """On a machine with accelerators these are theirs."""
    expected = encode_blocks(sample_blocks(), TINY_MODEL, engine="native")
    assert encoded_on(device) == expected
    assert outcome_of(expected, device)
