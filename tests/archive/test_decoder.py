"""Decoding on demand: compiled once, in batches, by threads that all volumes share."""

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import jaxslice
from jaxslice.archive import decoder, model
from jaxslice.archive.store import open_archive
from jaxslice.codec import block, network_bytes
from jaxslice.core.machine import num_cores


@pytest.fixture
def fresh(monkeypatch):
    """No program has run yet."""
    monkeypatch.setattr(decoder, "_FIRST_RUNS", decoder._FirstRuns())


@pytest.fixture
def payloads(small_archive):
    archive = open_archive(small_archive)
    return [archive.read_payload(index) for index in archive.blocks()]


class _Counted:
    """Counts how many calls run at the same time, and how many have been made."""

    def __init__(self, function):
        self.function, self.lock = function, threading.Lock()
        self.calls, self.running, self.beside_the_first = 0, 0, 0

    def __call__(self, *args, **kwargs):
        with self.lock:
            self.calls += 1
            self.running += 1
            first = self.calls == 1
        if first:
            # Time for the others to come, if nothing holds them back.
            time.sleep(0.1)
            self.beside_the_first = self.running - 1
        try:
            return self.function(*args, **kwargs)
        finally:
            with self.lock:
                self.running -= 1


def decode_one(archive, data: bytes) -> np.ndarray:
    places = [archive.configuration.place_of(None)]
    (block,) = decoder.decode_payloads([data], archive.block_shape, archive.configuration, places)
    return block


@pytest.mark.usefixtures("fresh")
def test_the_first_block_is_decoded_alone(small_archive, payloads, monkeypatch):
    counted = _Counted(block.decode_blocks)
    monkeypatch.setattr(block, "decode_blocks", counted)
    archive = open_archive(small_archive)
    shape, configuration = archive.block_shape, archive.configuration
    with ThreadPoolExecutor(8) as pool:
        decode = lambda data: decode_one(archive, data)
        found = list(pool.map(decode, payloads[:8]))
    assert (counted.calls, counted.beside_the_first) == (8, 0)
    for data, voxels in zip(payloads, found, strict=False):
        expected = block.decode_block(data, shape, model.model_of(configuration))
        np.testing.assert_array_equal(voxels, expected)


@pytest.mark.usefixtures("fresh")
def test_a_first_block_that_is_damaged_lets_the_next_try(small_archive, payloads):
    archive = open_archive(small_archive)
    with pytest.raises(jaxslice.FormatError):
        decode_one(archive, payloads[0][:-1])
    assert decode_one(archive, payloads[0]).shape == archive.block_shape


def test_a_network_is_unpacked_once(small_archive, monkeypatch):
    counted = _Counted(network_bytes.unpack_coded)
    monkeypatch.setattr(network_bytes, "unpack_coded", counted)
    model._model_of.cache_clear()
    configuration = open_archive(small_archive).configuration
    with ThreadPoolExecutor(4) as pool:
        models = list(pool.map(model.model_of, [configuration] * 4))
    assert counted.calls == 1
    assert all(other is models[0] for other in models)


@pytest.mark.parametrize("count", [1, 3, 5])
def test_blocks_of_a_batch_keep_their_order(small_archive, payloads, count):
    archive = open_archive(small_archive)
    shape, configuration = archive.block_shape, archive.configuration
    places = [archive.place_of(index) for index in archive.blocks()][:count]
    together = decoder.decode_payloads(payloads[:count], shape, configuration, places)
    assert len(together) == count
    for data, voxels in zip(payloads, together, strict=False):
        alone = block.decode_block(data, shape, model.model_of(configuration))
        np.testing.assert_array_equal(voxels, alone)


def test_many_volumes_share_the_threads(small_archive, small_volume):
    volumes = [jaxslice.open(small_archive) for _ in range(5)]
    for volume in volumes:
        np.testing.assert_array_equal(volume[...], small_volume.voxels)
    names = [thread.name for thread in threading.enumerate()]
    assert sum("jaxslice-decode" in name for name in names) <= num_cores()


FORKED = """
import os, sys, warnings, jaxslice, zarr
from jaxslice.codec.engines import interface
warnings.simplefilter("ignore")
interface._PREFERRED = (sys.argv[2],)
lazy, array = jaxslice.open(sys.argv[1]), zarr.open(sys.argv[1] + "/0", mode="r")
expected = lazy[5]
array[0]
if child := os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
read = refused = 0
for volume in (lazy, array):
    try:
        read += (volume[5] == expected).all()
    except jaxslice.UsageError as error:
        refused += "expected one that was spawned" in str(error)
native = sys.argv[2] == "native"
os._exit(0 if (read, refused) == ((2, 0) if native else (0, 2)) else 1)
"""


def test_a_forked_process_reads_natively_or_is_told_that_it_cannot(small_archive, each_engine):
    subprocess.run([sys.executable, "-c", FORKED, small_archive, each_engine], check=True)
