"""The ablation's group "order": slices coded row after row, or every second row first.

In the interlaced order a slice's even rows come first, and then the odd rows, whose context holds
the rows above and below them. A slice becomes two slices of half its height, so that the same
networks can be trained: one for even rows and one for odd rows, each as large as the default.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import common
import numpy as np
from common import Row

from jaxslice.codec.architecture import Architecture
from jaxslice.core.types import Volume
from jaxslice.models.presets import FULL
from jaxslice.training.config import TrainingConfig
from jaxslice.training.train import train_network
from jaxslice.training.training_set import prepare

RASTER = "raster order"


def rows_of_order(block: Volume, config: TrainingConfig, num_places: int) -> Iterator[Row]:
    """Yields the expected bits of the block in both orders."""

    def row(name: str, bits: np.ndarray) -> Row:
        found = common.expected_row("order", name, RASTER, bits, config.steps)
        return found | {"multiply_adds": FULL.multiply_adds_per_voxel}

    block = block[:, : block.shape[1] // 2 * 2]
    places = common.random_places(block.shape, num_places, seed=1)
    trained = common.train_on(block, FULL, config.steps)
    yield row(RASTER, common.bits_at(block, FULL, trained, places))

    halves = interlaced(block)
    bits = []
    for parity, architecture in enumerate(architectures()):
        numbers = range(parity, len(halves), 2)
        before = -min(dz for dz, _, _ in architecture.context)
        parts = [halves[max(number - before, 0) : number + 1] for number in numbers]
        data = prepare(parts, architecture, [len(part) - 1 for part in parts])
        network = train_network(data, architecture, config)
        chosen = places[places[:, 1] % 2 == parity]
        at = np.stack([2 * chosen[:, 0] + parity, chosen[:, 1] // 2, chosen[:, 2]], axis=1)
        bits.append(common.bits_at(halves, architecture, network, at))
    yield row("every second row first", np.concatenate(bits))


def interlaced(block: Volume) -> Volume:
    """[2 z, y / 2, x]: of each slice the even rows, then the odd ones."""
    depth, height, width = block.shape
    return (
        block.reshape(depth, height // 2, 2, width).swapaxes(1, 2).reshape(-1, height // 2, width)
    )


def architectures() -> tuple[Architecture, Architecture]:
    """Of the network for even rows and of that for odd ones: each of the default's size.

    Even rows find their own slice's before them, and the slice before in both of its halves. Odd
    rows find the rows above and below in the half before, and the slice before in the two before
    that.
    """
    own = tuple(offset for offset in FULL.context if offset[0] == 0)
    around = tuple((-2, dy, dx) for dz, dy, dx in FULL.context if dz == -1)
    beside = ((-1, 0, 0), (-1, -1, 0), (-1, 0, -1), (-1, 0, 1), (-1, -1, 1))
    even = dataclasses.replace(FULL, context=own + around + beside, fallback=len(own))

    rows = [(-1, dy, dx) for dy in range(-1, 3) for dx in range(-3, 4)]
    nearest = sorted(rows, key=lambda offset: ((2 * offset[1] - 1) ** 2 + offset[2] ** 2, offset))
    further = [(-3, dy, dx) for dx in (0, -1, 1, -2) for dy in (0, 1)]
    known = ((0, 0, -1), *nearest, *around, *further)
    context = known[: len(even.context)]
    odd = dataclasses.replace(FULL, context=context, fallback=context.index((-2, 0, 0)))
    return even, odd
