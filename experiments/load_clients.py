"""Clients of `jaxslice serve` for `load.py`: readers that check every voxel, and hostile ones."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import itertools
import random
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import aiohttp
import numpy as np

_ESTABLISHED = 1
"""A state of Linux' `tcp_info`."""

_LOOK_SECONDS = 0.5
_PIPELINED = 32


@dataclasses.dataclass
class Seen:
    """What the readers of one kind have seen.

    Attributes:
      seconds: of each request, for each reader.
      errors: answers that were wrong or did not come, and how often.
    """

    seconds: list[list[float]]
    errors: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)


@dataclasses.dataclass
class Hostile:
    """What hostile clients have done: connections that they opened, and that were closed."""

    opened: int = 0
    closed: int = 0


@dataclasses.dataclass(frozen=True)
class Served:
    """A volume that is served, and what its chunks must be.

    Attributes:
      url: of the volume, without a slash at the end.
      voxels: [z, y, x].
      precomputed_shape: z, y, x of a precomputed chunk.
      zarr_shape: z, y, x of a zarr chunk.
      block_shape: z, y, x of the archive's blocks.
      offset: z, y, x of the first voxel in names of precomputed chunks.
    """

    url: str
    voxels: np.ndarray
    precomputed_shape: tuple[int, ...]
    zarr_shape: tuple[int, ...]
    block_shape: tuple[int, ...]
    offset: tuple[int, ...]

    def precomputed(self, random_source: random.Random, within: tuple[int, ...]):
        """Path and bytes of a random chunk that begins within the first voxels of a volume."""
        corner = _corner(random_source, self.precomputed_shape, within)
        ends = zip(corner, self.precomputed_shape, self.voxels.shape, strict=True)
        stops = [min(a + n, size) for a, n, size in ends]
        places = zip(corner, stops, self.offset, strict=True)
        spans = [f"{a + o}-{b + o}" for a, b, o in places]
        part = self.voxels[tuple(map(slice, corner, stops))]
        return "precomputed/0/" + "_".join(reversed(spans)), part.tobytes()

    def zarr(self, random_source: random.Random):
        """Path and bytes of a random zarr chunk, which is whole at the border as well."""
        corner = _corner(random_source, self.zarr_shape, self.voxels.shape)
        whole = np.zeros(self.zarr_shape, self.voxels.dtype)
        part = self.voxels[tuple(slice(a, a + n) for a, n in zip(corner, whole.shape, strict=True))]
        whole[tuple(map(slice, part.shape))] = part
        index = "/".join(str(a // n) for a, n in zip(corner, self.zarr_shape, strict=True))
        return f"zarr/0/c/{index}", whole.tobytes()

    def kinds(self) -> dict[str, Callable[[random.Random], tuple[str, bytes | None]]]:
        """What readers of each kind ask for: a path, and the bytes where they are known."""
        shape = self.voxels.shape
        first = tuple(map(min, self.block_shape, shape))
        return {
            "cached chunks": lambda r: self.precomputed(r, first),
            "any chunks": lambda r: self.precomputed(r, shape),
            "zarr chunks": self.zarr,
            "documents": lambda r: (r.choice(["precomputed/info", "zarr/0/zarr.json"]), None),
        }


def _corner(random_source: random.Random, shape, within) -> list[int]:
    return [
        n * random_source.randrange(-(-size // n)) for n, size in zip(shape, within, strict=True)
    ]


async def served_volume(url: str, voxels: np.ndarray, block_shape: tuple[int, ...]) -> Served:
    """Asks a server how it cuts a volume."""
    async with aiohttp.ClientSession(raise_for_status=True) as session:
        async with session.get(f"{url}/precomputed/info") as answer:
            (scale,) = (await answer.json())["scales"]
        async with session.get(f"{url}/zarr/0/zarr.json") as answer:
            array = await answer.json()
    chunk_shape, offset = scale["chunk_sizes"][0][::-1], scale["voxel_offset"][::-1]
    zarr_shape = array["chunk_grid"]["configuration"]["chunk_shape"]
    return Served(url, voxels, tuple(chunk_shape), tuple(zarr_shape), block_shape, tuple(offset))


async def read_all(
    served: Served, readers: dict[str, int], deadline: float, pause: float, seen: dict[str, Seen]
) -> None:
    """Runs readers until a time of `time.monotonic`.

    Args:
      served: what they read.
      readers: how many there are of each kind.
      deadline: when they stop.
      pause: mean seconds that a reader waits before each request.
      seen: gets what they see, by kind.
    """
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=120)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        tasks = []
        for kind, count in readers.items():
            seen[kind] = Seen([[] for _ in range(count)])
            choose = served.kinds()[kind]
            for number in range(count):
                source = random.Random(f"{kind} {number}")
                tasks.append(_read(session, served.url, choose, source, deadline, pause,
                                   seen[kind], number))  # fmt: skip
        await asyncio.gather(*tasks)


async def _read(session, url, choose, source, deadline, pause, seen: Seen, number: int) -> None:
    while True:
        if pause:
            await asyncio.sleep(source.expovariate(1 / pause))
        if time.monotonic() > deadline:
            return
        path, expected = choose(source)
        begin = time.perf_counter()
        try:
            async with session.get(f"{url}/{path}") as answer:
                body = await answer.read()
            if answer.status != 200:
                seen.errors[f"{answer.status}"] += 1
            elif expected is not None and body != expected:
                seen.errors["other voxels"] += 1
        except (aiohttp.ClientError, OSError) as error:
            seen.errors[type(error).__name__] += 1
        seen.seconds[number].append(time.perf_counter() - begin)


async def _slow(connection: socket.socket, request: bytes) -> None:
    """Reads an answer byte by byte."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(connection, request)
    while await loop.sock_recv(connection, 1):
        await asyncio.sleep(0.1)


async def _stalled(connection: socket.socket, request: bytes) -> None:
    """Sends many requests at once and reads nothing."""
    await asyncio.get_running_loop().sock_sendall(connection, request * _PIPELINED)
    await _until_closed(connection)


async def _half_open(connection: socket.socket, request: bytes) -> None:
    """Sends half a request and nothing more."""
    await asyncio.get_running_loop().sock_sendall(connection, request[: len(request) // 2])
    await _until_closed(connection)


async def _silent(connection: socket.socket, _request: bytes) -> None:
    """Sends nothing."""
    await _until_closed(connection)


async def _vanishing(connection: socket.socket, request: bytes) -> None:
    """Goes away while it is answered."""
    await asyncio.get_running_loop().sock_sendall(connection, request)
    await asyncio.sleep(0.05)
    # A reset, as of a client whose process was killed with data unread.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def _until_closed(connection: socket.socket) -> None:
    while connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _ESTABLISHED:
        await asyncio.sleep(_LOOK_SECONDS)


HOSTILE: dict[str, Callable[[socket.socket, bytes], Awaitable[None]]] = {
    "a byte at a time": _slow,
    "32 requests, reads nothing": _stalled,
    "half a request": _half_open,
    "no request": _silent,
    "goes away": _vanishing,
}


async def be_hostile(
    served: Served, clients: dict[str, int], pause: float, counts: dict[str, Hostile]
) -> None:
    """Runs hostile clients until it is cancelled. Those that were closed come again after a pause.

    Args:
      served: what they ask for.
      clients: how many there are of each kind.
      pause: seconds until a client comes again.
      counts: gets what they have done, by kind.
    """
    address = urlsplit(served.url)
    tasks = []
    for kind, number in itertools.chain.from_iterable(
        ((kind, n) for n in range(count)) for kind, count in clients.items()
    ):
        count = counts.setdefault(kind, Hostile())
        source = random.Random(f"{kind} {number}")
        tasks.append(_again(served, HOSTILE[kind], address, source, pause, count))
    await asyncio.gather(*tasks)


async def _again(served: Served, behave, address, source, pause: float, count: Hostile) -> None:
    loop = asyncio.get_running_loop()
    while True:
        path, _ = served.precomputed(source, served.voxels.shape)
        request = f"GET {address.path}/{path} HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n".encode()
        with socket.socket() as connection, contextlib.suppress(OSError):
            connection.setblocking(False)
            # A small buffer, so that the rest of an answer waits in the server.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await loop.sock_connect(connection, (address.hostname, address.port))
            count.opened += 1
            await behave(connection, request)
        count.closed += 1
        await asyncio.sleep(pause * source.uniform(0.5, 1.5))
