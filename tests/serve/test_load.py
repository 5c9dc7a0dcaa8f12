"""Readers beside hostile clients, as `experiments/load.py` has them for minutes."""

import asyncio
import dataclasses
import importlib
import time
from pathlib import Path

import pytest

SECONDS = 0.5
EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture
def clients(monkeypatch):
    monkeypatch.syspath_prepend(EXPERIMENTS)
    return importlib.import_module("load_clients")


async def load(clients, url, voxels, expected=None):
    """What readers see while others are hostile, and what these have done."""
    served = await clients.served_volume(url, voxels, voxels.shape)
    served = dataclasses.replace(served, voxels=voxels if expected is None else expected)
    seen, counts = {}, {}
    hostile = asyncio.ensure_future(
        clients.be_hostile(served, dict.fromkeys(clients.HOSTILE, 3), 0.1, counts)
    )
    await clients.read_all(
        served, dict.fromkeys(served.kinds(), 4), time.monotonic() + SECONDS, 0, seen
    )
    hostile.cancel()
    await asyncio.wait([hostile])
    return seen, counts


def test_readers_beside_hostile_clients_get_every_voxel(clients, server, small_volume):
    seen, counts = asyncio.run(load(clients, f"{server.url}/small", small_volume.voxels))
    assert set(counts) == set(clients.HOSTILE)
    assert all(count.opened >= 3 for count in counts.values())
    for kind, found in seen.items():
        assert not found.errors, kind
        assert all(found.seconds), "every reader was answered"


def test_other_voxels_are_seen(clients, server, small_volume):
    voxels = small_volume.voxels
    seen, _ = asyncio.run(load(clients, f"{server.url}/small", voxels, voxels ^ 1))
    for kind, found in seen.items():
        assert found.errors == ({} if kind == "documents" else {
            "other voxels": sum(map(len, found.seconds))
        })  # fmt: skip
