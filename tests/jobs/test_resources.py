"""Resources: what memory has room for, as the engine's compiler counts it."""

import subprocess
import sys

import pytest
from models_for_tests import TINY

from jaxslice.codec.engines import interface
from jaxslice.jobs import resources
from jaxslice.jobs.resources import PROCESS_BYTES, Resources, prepare, requested_or_usual
from jaxslice.models.presets import FULL

SHAPE = (4, 16, 24)


class FakeEngine:
    """An engine whose programs take a megabyte for each block of a batch."""

    name = "fake"

    def __init__(self, device_bytes: int | None = None) -> None:
        self.device_bytes, self.batches = device_bytes, []

    def is_available(self) -> bool:
        return True

    def encode(self, *_, **__):
        raise AssertionError("Got a block to encode, expected none.")

    def decode(self, *_, **__):
        raise AssertionError("Got a block to decode, expected none.")

    def runs_on_host(self) -> bool:
        return self.device_bytes is None

    def devices(self) -> list:
        return [None] if self.device_bytes is None else [self, self]

    def memory_stats(self) -> dict:
        return {"bytes_limit": self.device_bytes, "bytes_in_use": 0}

    def compile_for(self, block_shape, architecture, batch, **_) -> int:
        self.batches.append(batch)
        return batch << 20


@pytest.fixture
def machine(monkeypatch):
    """Sets the engine and the host's free memory."""

    def choose(engine: FakeEngine, host_bytes: int) -> FakeEngine:
        monkeypatch.setattr(resources, "engine_named", lambda name: engine)
        monkeypatch.setattr(interface, "engine_named", lambda name: engine)
        monkeypatch.setattr(resources, "available_host_bytes", lambda: host_bytes)
        monkeypatch.setattr(resources, "num_cores", lambda: 4)
        monkeypatch.setattr(
            resources, "compile_for",
            lambda shape, architecture, batch, engine, **options: choose.engine.compile_for(
                shape, architecture, batch
            ),
        )  # fmt: skip
        choose.engine = engine
        return engine

    return choose


def test_every_core_works_where_memory_allows(machine):
    machine(FakeEngine(), 1 << 40)
    found = prepare(SHAPE, TINY)
    assert (found.batch_blocks, found.workers, found.program_bytes) == (1, 4, 1 << 20)
    assert found.peak_bytes == PROCESS_BYTES + 4 * ((1 << 20) + found.host_bytes)


def test_fewer_workers_where_memory_is_short(machine):
    each = (1 << 20) + prepare_host_bytes(1)
    for workers in (1, 2, 3):
        machine(FakeEngine(), PROCESS_BYTES + workers * each)
        assert prepare(SHAPE, TINY).workers == workers
    machine(FakeEngine(), 1)
    assert prepare(SHAPE, TINY).workers == 1, "one worker is always allowed"


def test_batches_are_halved_where_a_device_is_short(machine):
    engine = machine(FakeEngine(device_bytes=2 * (8 << 20)), 1 << 40)
    found = prepare(SHAPE, TINY)
    assert (found.batch_blocks, found.workers) == (8, 4), "two workers share each of two devices"
    assert engine.batches == [16, 8]
    machine(FakeEngine(device_bytes=2 << 20), 1 << 40)
    assert prepare(SHAPE, TINY).batch_blocks == 1


def test_what_is_requested_is_not_changed(machine):
    machine(FakeEngine(), 1)
    found = prepare(SHAPE, TINY, 3, 2)
    assert (found.batch_blocks, found.workers) == (3, 2)


def prepare_host_bytes(batch: int) -> int:
    z, y, x = SHAPE
    return z * y * x * batch * 10


def test_the_host_holds_batches_at_work_and_in_queues(machine):
    machine(FakeEngine(), 1 << 40)
    assert prepare(SHAPE, TINY, 5, 1).host_bytes == prepare_host_bytes(5)


def test_the_compiler_counts_the_bytes_of_a_program():
    """A program holds at least symbols and limits (encoder), and grows with the batch."""
    small = prepare(SHAPE, TINY, 1, 1, engine="xla").program_bytes
    large = prepare(SHAPE, TINY, 4, 1, engine="xla").program_bytes
    z, y, x = SHAPE
    assert 4 * z * y * x < small < large


def test_usual_numbers(machine):
    assert requested_or_usual(None, None, machine(FakeEngine(), 1)) == (1, 4)
    assert requested_or_usual(None, None, FakeEngine(device_bytes=1)) == (16, 4)
    assert requested_or_usual(2, 7, FakeEngine(device_bytes=1)) == (2, 7)


@pytest.mark.slow
def test_a_process_that_codes_stays_within_the_bound():
    program = (
        "from jaxslice.bench.synthetic import synthetic_volume\n"
        "from jaxslice.codec import block\n"
        "from jaxslice.core.machine import peak_so_far_bytes\n"
        "from jaxslice.jobs.resources import prepare\n"
        "from jaxslice.models import model_file\n"
        "shape = (32, 128, 256)\n"
        "model = model_file.load('default').model\n"
        "bound = prepare(shape, model.architecture, 1, 1).peak_bytes\n"
        "data = block.encode_blocks([synthetic_volume(shape)], model)\n"
        "block.decode_blocks(data, shape, model)\n"
        "print(bound, peak_so_far_bytes())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    bound, peak = map(int, done.stdout.split())
    assert peak <= bound


def test_the_bound_of_a_usual_block_is_below_two_gigabytes():
    assert Resources(1, 2, 120 << 20, 42 << 20).peak_bytes < 2 << 30
    assert FULL.num_params == 1650


def test_resources_in_words_name_the_limits(monkeypatch):
    monkeypatch.setattr(resources, "core_limits", lambda: {"affinity": 8, "OMP_NUM_THREADS": 2})
    monkeypatch.setattr(
        resources, "memory_limits", lambda: {"machine": 9 * 10**9, "control group": 4 * 10**9}
    )
    text = Resources(1, 2, 50_000_000, 47_346_816).in_words()
    assert text == (
        "2 workers, 2 cores by OMP_NUM_THREADS; memory about 1.00 GB of 4.00 GB left by "
        "control group"
    )
