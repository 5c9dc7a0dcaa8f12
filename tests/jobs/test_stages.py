"""Stages: order does not matter, errors stop everything, memory stays bounded."""

import threading
import time

import pytest

from jaxslice.core.progress import Stopwatch
from jaxslice.jobs.stages import run_stages


def test_everything_goes_through():
    written = {}
    run_stages(
        range(40),
        lambda item: item * 10,
        lambda item, read, worker: (read + item, worker),
        lambda item, made: written.__setitem__(item, made),
        workers=3,
    )
    assert {item: made[0] for item, made in written.items()} == {i: 11 * i for i in range(40)}
    assert {worker for _, worker in written.values()} <= {0, 1, 2}


def test_two_items_never_share_a_worker():
    busy, clashes = set(), []

    def compute(item, read, worker):
        if worker in busy:
            clashes.append(item)
        busy.add(worker)
        time.sleep(0.002)
        busy.discard(worker)

    run_stages(range(30), lambda item: None, compute, lambda item, made: None, workers=4)
    assert clashes == []


@pytest.mark.parametrize("stage", ["read", "compute", "write"])
def test_an_error_of_any_stage_comes_out(stage):
    seen = []

    def failing(name):
        def run(item, *_):
            seen.append((name, item))
            if name == stage and item == 5:
                raise OSError(f"{name} {item}")

        return run

    with pytest.raises(OSError, match=f"{stage} 5"):
        run_stages(range(1000), failing("read"), failing("compute"), failing("write"), workers=2)
    assert len([item for name, item in seen if name == "write"]) < 100


def test_no_more_than_four_items_for_each_worker_are_begun():
    lock, alive, most = threading.Lock(), 0, 0

    def read(item):
        nonlocal alive, most
        with lock:
            alive += 1
            most = max(most, alive)

    def write(item, made):
        nonlocal alive
        time.sleep(0.001)
        with lock:
            alive -= 1

    run_stages(range(60), read, lambda *args: None, write, workers=2)
    assert 1 < most <= 8


def test_stopwatch_adds_up():
    watch = Stopwatch()
    for _ in range(2):
        with watch.measure("a"):
            pass
    assert set(watch.seconds("a", "b")) == {"a", "b", "total"}
    assert watch.seconds("b")["b"] == 0.0


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_long_computations_are_told_to_stop(error):
    stop, started, told = threading.Event(), threading.Event(), []

    def items():
        yield 1
        assert started.wait(60)
        raise error

    def compute(item, read, worker):
        started.set()
        told.append(stop.wait(60))

    with pytest.raises(error):
        run_stages(items(), lambda item: None, compute, lambda *args: None, workers=1, stop=stop)
    assert told == [True]
