"""What compressing reads and writes is counted; no chunk is fetched twice if memory allows."""

import numpy as np
import pytest
from fault_server import faulty_server
from servers import serve_folder
from volumes_for_tests import BOX, make_volume

import jaxslice
from jaxslice.core.box import Box
from jaxslice.jobs import resources
from jaxslice.jobs.reading_order import ahead_bytes, aligned_block_shape, best_order, in_order
from jaxslice.storage import traffic
from jaxslice.volumes import chunk_cache
from jaxslice.volumes.chunk_cache import ChunkCache, Chunking

OPTIONS = jaxslice.CompressOptions(effort="fast", block_shape=(8, 16, 16), workers=1)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    make_volume(folder / "v")
    with faulty_server(folder) as faults:
        yield faults


def fetched(faults, report):
    """Requests for chunks, those that were repeated, and what the report says of the bytes."""
    times = [n for path, n in faults.requests.items() if not path.endswith("/info")]
    return sum(times), sum(n - 1 for n in times), report.details


def test_the_report_counts_as_the_server_does(served, tmp_path, monkeypatch):
    # So little memory that chunks are fetched again.
    monkeypatch.setattr(chunk_cache, "USUAL_BYTES", 1 << 13)
    monkeypatch.setattr(resources, "_LEAST_CHUNKS_BYTES", 1 << 12)
    monkeypatch.setattr(resources, "available_host_bytes", lambda: 0)
    served.requests.clear()
    report = jaxslice.compress(f"{served.url}/v", tmp_path / "a.zarr", OPTIONS)
    requests, repeated, said = fetched(served, report)
    read = said["source_bytes_read"]
    assert repeated > 36
    assert abs(said["source_bytes_read_twice"] - read * repeated / requests) < 2
    assert abs(read / BOX.size - requests / 36) < 0.2 * read / BOX.size
    assert said["bytes_written"] >= report.compressed_bytes


@pytest.mark.parametrize("block_shape", [(8, 16, 16), (30, 9, 10), (7, 40, 50), (14, 15, 16)])
def test_no_chunk_is_fetched_twice_in_the_memory_that_is_said_to_do(served, block_shape):
    source = jaxslice.open_source(f"{served.url}/v")
    chunking = source.chunking
    assert chunking is not None
    order, needed = best_order(source.box, block_shape, chunking)
    chunking.cache.limit_bytes = needed + ahead_bytes(block_shape, chunking, 1)
    grid = (-(-n // b) for n, b in zip(source.shape, block_shape, strict=True))
    served.requests.clear()
    for index in in_order(np.ndindex(*grid), order):
        start = tuple(o + i * b for o, i, b in zip(BOX.start, index, block_shape, strict=True))
        source.read(Box.of_shape(block_shape, start).intersect(BOX))
    assert sorted(served.requests.values()) == [1] * 36


@pytest.mark.parametrize("order", ["C", "F"])
def test_rows_of_a_remote_file_are_fetched_once(tmp_path, monkeypatch, order):
    voxels = np.asarray(np.random.default_rng(0).integers(0, 256, (5, 40, 56)), np.uint8, order)
    np.save(tmp_path / "v.npy", voxels)
    monkeypatch.setattr("jaxslice.volumes.files._BUFFER_BYTES", 1000)
    with serve_folder(tmp_path) as url:
        source = jaxslice.open_source(f"{url}/v.npy")
        assert source.chunking is not None
        assert source.chunking.shape == ((1, 16, 56) if order == "C" else (5, 40, 1))
        before = traffic.traffic()
        for box in source.box.tiles((2, 12, 25)):
            assert (source.read(box) == voxels[box.slices]).all()
        moved = traffic.traffic() - before
    assert moved.chunks_again == 0
    assert voxels.size <= moved.read_bytes < 1.3 * voxels.size


def test_the_order_keeps_the_fewest_chunks():
    box, cache = Box.of_shape((90, 4096, 4096)), ChunkCache()
    aligned = Chunking((0, 0, 0), (64, 64, 64), 1, cache)
    assert best_order(box, (64, 256, 256), aligned) == ((0, 1, 2), 0)
    order, needed = best_order(box, (45, 256, 256), aligned)
    # Along z last: one column of blocks waits instead of a plane.
    assert (order, needed) == ((1, 2, 0), 256 * 256 * 64)
    assert in_order([(0, 0, 0), (0, 0, 1), (1, 0, 0)], order) == [(0, 0, 0), (1, 0, 0), (0, 0, 1)]


def test_blocks_are_aligned_where_chunks_take_too_much_memory():
    box = Box.of_shape((40000, 60000, 60000))
    chunking = Chunking((0, 0, 0), (64, 128, 128), 1, ChunkCache())
    assert aligned_block_shape((72, 272, 288), box, chunking) == (64, 256, 256)
    assert aligned_block_shape((72, 272, 288), Box.of_shape((720, 272, 2880)), chunking) == (
        72, 272, 288,
    )  # fmt: skip
