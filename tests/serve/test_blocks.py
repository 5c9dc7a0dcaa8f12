"""The cache of decoded blocks: joins, bounds, prefetches, drops."""

import asyncio

import numpy as np
import pytest

import jaxslice
from jaxslice.core.box import Box
from jaxslice.serve.blocks import BlockCache, box_of_block, neighbours
from jaxslice.serve.volume import _chunk_edge, names_for, open_served, read_box

BLOCK_BYTES = 4 * 16 * 32


class Decoder:
    """Stands in for TensorStore's view of a volume: decodes when it is told to."""

    def __init__(self):
        self.asked = []
        self.gate = asyncio.Event()
        self.at_once = 0
        self.most_at_once = 0

    def __getitem__(self, slices):
        self.asked.append(tuple(part.start for part in slices))
        return self

    async def read(self, order):
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        await self.gate.wait()
        self.at_once -= 1
        return np.zeros((4, 16, 32), np.uint8)


@pytest.fixture
def volume(small_archive):
    opened = jaxslice.open(small_archive)
    opened.__dict__["tensorstore"] = Decoder()
    return opened


def run(volume, steps, **cache):
    async def main():
        volume.__dict__["tensorstore"] = Decoder()
        made = BlockCache(**{"cache_bytes": 10 * BLOCK_BYTES, "workers": 2} | cache)
        await steps(made, volume.tensorstore)
        volume.tensorstore.gate.set()
        await made.close()

    asyncio.run(main())


async def settle():
    for _ in range(10):
        await asyncio.sleep(0)


def test_requests_for_a_block_are_joined(volume):
    async def steps(cache, decoder):
        readers = [asyncio.ensure_future(cache.read(volume, (0, 0, 0))) for _ in range(5)]
        await settle()
        decoder.gate.set()
        blocks = await asyncio.gather(*readers)
        assert len(decoder.asked) == 1
        assert all(block is blocks[0] for block in blocks)
        assert await cache.read(volume, (0, 0, 0)) is blocks[0]
        assert (cache.counts.decoded, cache.counts.joined, cache.counts.hits) == (1, 4, 1)

    run(volume, steps)


def test_only_some_are_decoded_at_once(volume):
    async def steps(cache, decoder):
        readers = [asyncio.ensure_future(cache.read(volume, (0, 0, x % 2))) for x in range(4)]
        readers += [asyncio.ensure_future(cache.read(volume, (1, y, 0))) for y in range(3)]
        await settle()
        assert decoder.most_at_once == 2
        decoder.gate.set()
        await asyncio.gather(*readers)
        assert decoder.most_at_once == 2

    run(volume, steps)


def test_memory_is_bounded_and_the_oldest_goes(volume):
    async def steps(cache, decoder):
        decoder.gate.set()
        for index in ((0, 0, 0), (0, 0, 1), (0, 0, 0), (0, 1, 0)):
            await cache.read(volume, index)
        assert cache.kept_bytes == 2 * BLOCK_BYTES
        before = cache.counts.decoded
        await cache.read(volume, (0, 0, 0))
        assert cache.counts.decoded == before
        await cache.read(volume, (0, 0, 1))
        assert cache.counts.decoded == before + 1

    run(volume, steps, cache_bytes=2 * BLOCK_BYTES + 1)


def test_neighbours_are_prefetched_when_cores_are_idle(volume):
    async def steps(cache, decoder):
        decoder.gate.set()
        await cache.read(volume, (1, 1, 0))
        await settle()
        corners = {(4 * z, 16 * y, 32 * x) for z, y, x in neighbours(volume, (1, 1, 0))}
        assert set(decoder.asked[:1]) == {(4, 16, 0)}
        assert corners <= set(decoder.asked)
        assert cache.counts.prefetched == len(decoder.asked) - 1

    run(volume, steps, cache_bytes=100 * BLOCK_BYTES)


def test_a_small_cache_is_not_filled_with_neighbours(volume):
    async def steps(cache, decoder):
        decoder.gate.set()
        await cache.read(volume, (1, 1, 0))
        await settle()
        assert len(decoder.asked) == 1

    run(volume, steps, cache_bytes=5 * BLOCK_BYTES)


def test_what_nobody_waits_for_is_dropped(volume):
    async def steps(cache, decoder):
        first = [asyncio.ensure_future(cache.read(volume, (0, 0, x))) for x in range(2)]
        await settle()
        queued = [asyncio.ensure_future(cache.read(volume, (1, 0, 0))) for _ in range(2)]
        await settle()
        queued[0].cancel()
        await settle()
        assert cache.counts.dropped == 0, "another reader still waits"
        queued[1].cancel()
        await settle()
        assert cache.counts.dropped == 1
        again = asyncio.ensure_future(cache.read(volume, (1, 0, 0)))
        first[0].cancel()
        await settle()
        decoder.gate.set()
        await asyncio.gather(first[1], again)
        assert sorted(decoder.asked) == [(0, 0, 0), (0, 0, 32), (4, 0, 0)]
        assert cache.counts.decoded == 3, "what had begun was finished"

    run(volume, steps)


def test_a_failure_reaches_every_reader_and_is_not_kept(volume):
    class Broken(Decoder):
        async def read(self, order):
            await super().read(order)
            raise jaxslice.FormatError("damaged")

    async def steps(cache, _):
        decoder = volume.__dict__["tensorstore"] = Broken()
        decoder.gate.set()
        readers = [cache.read(volume, (0, 0, 0)) for _ in range(3)]
        found = await asyncio.gather(*readers, return_exceptions=True)
        assert [type(error) for error in found] == [jaxslice.FormatError] * 3
        with pytest.raises(jaxslice.FormatError):
            await cache.read(volume, (0, 0, 0))
        assert len(decoder.asked) == 2

    run(volume, steps)


def test_boxes_that_span_blocks(small_archive, small_volume):
    async def main():
        opened = open_served(small_archive, "small").scales[0]
        cache = BlockCache(10**6)
        for box in (
            Box((3, 15, 31), (5, 17, 33)),
            Box((0, 0, 0), (10, 40, 50)),
            Box((9, 39, 49), (10, 40, 50)),
        ):
            voxels = await read_box(opened, box, cache)
            np.testing.assert_array_equal(voxels, small_volume.voxels[box.slices])
        await cache.close()

    asyncio.run(main())


def test_a_block_at_the_edge_is_cut(volume):
    assert box_of_block(volume, (2, 2, 1)) == Box((8, 32, 32), (10, 40, 50))
    assert set(neighbours(volume, (2, 2, 1))) == {(1, 2, 1), (2, 1, 1), (2, 2, 0)}


def test_names():
    places = ["a/b.zarr", "c/b.zarr/", "s3://x/stats", "http://h/b?token=1", "/", "ä ö.zarr"]
    assert names_for(places, ["stats"]) == ["b", "b-2", "stats-2", "b-3", "volume", "_"]


@pytest.mark.parametrize(
    ("extent", "edge"), [(64, 64), (250, 50), (256, 64), (67, 67), (10, 10), (1, 1), (257, 64)]
)
def test_chunks_fill_a_block_where_they_can(extent, edge):
    """An edge of 67 has no divisor of use; one of 257 has none that is not far too large."""
    assert _chunk_edge(extent) == edge
