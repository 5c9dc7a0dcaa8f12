"""Time, memory and cost of coding all blocks of a volume, from what some of them took."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from jaxslice.core.errors import UsageError
from jaxslice.core.machine import memory_limits
from jaxslice.core.progress import Stopwatch
from jaxslice.jobs.encode_all import Encoding
from jaxslice.jobs.resources import PROCESS_BYTES, Resources

READERS_PER_WORKER = 2
"""Tasks that are read at once for each one that is computed; see `executors.threads`."""

_CODING = ("encode", "verify", "train_blocks")
"""Parts of the work that keep a worker busy."""


@dataclasses.dataclass(frozen=True)
class Foresight:
    """What to say of a volume before it is compressed.

    Attributes:
      sample_blocks: blocks that are coded.
      worker_counts: numbers of workers to say time, memory and cost for.
      price_per_core_hour: in any currency; None for no costs.
      price_per_gb_month: of storing 10^9 bytes for a month; None for no costs.
    """

    sample_blocks: int = 16
    worker_counts: tuple[int, ...] = (1, 8, 64, 512)
    price_per_core_hour: float | None = None
    price_per_gb_month: float | None = None

    def __post_init__(self):
        """Refuses what cannot be done (UsageError)."""
        if self.sample_blocks < 1:
            raise UsageError(f"Got {self.sample_blocks} blocks to sample, expected at least 1.")
        if not self.worker_counts or min(self.worker_counts) < 1:
            raise UsageError(f"Got the numbers of workers {self.worker_counts}, expected some.")


@dataclasses.dataclass(frozen=True)
class Costs:
    """What was measured of a sample.

    Attributes:
      resources: that one process uses.
      encoding: how blocks were coded.
      sampled: number of blocks that were coded.
      fit_seconds: until the base network was there.
      coding: the seconds of each part of coding the sample.
    """

    resources: Resources
    encoding: Encoding
    sampled: int
    fit_seconds: float
    coding: Stopwatch

    @property
    def seconds_per_block(self) -> float:
        """That a worker takes for a block; a batch that is not full takes as long as a full one."""
        size = self.encoding.batch_blocks
        run = math.ceil(self.sampled / size) * size
        measured = self.coding.seconds(*_CODING)
        return sum(measured[part] for part in _CODING) / run

    @property
    def read_seconds_per_block(self) -> float:
        """That the source takes for a block, while others are read."""
        return self.coding.seconds("read")["read"] / self.sampled

    def to_json(self) -> dict[str, Any]:
        """What was measured, and the memory of a process like this one."""
        memory = memory_limits()
        limit = min(memory, key=memory.__getitem__)
        return {
            "seconds": {
                "fit": round(self.fit_seconds, 3),
                "code_block": round(self.seconds_per_block, 4),
                "read_block": round(self.read_seconds_per_block, 4),
            },
            "memory": {
                "workers": self.encoding.workers,
                "expected_bytes": self.resources.peak_bytes,
                "available_bytes": memory[limit],
                "limited_by": limit,
                "bytes_per_further_worker": self.resources.worker_bytes,
            },
        }

    def of_workers(
        self, number: int, num_blocks: int, raw_bytes: int, price: float | None
    ) -> dict[str, Any]:
        """Time, memory and cost with so many workers, in processes of as many as here.

        Args:
          number: of workers. More than there are batches of blocks have nothing to do.
          num_blocks: of the archive.
          raw_bytes: of its voxels.
          price: of the hour of a worker; None for no costs.
        """
        batch = self.encoding.batch_blocks
        rounds = math.ceil(math.ceil(num_blocks / batch) / number)
        step = max(self.seconds_per_block, self.read_seconds_per_block / READERS_PER_WORKER) * batch
        seconds = self.fit_seconds + rounds * step
        processes = math.ceil(number / self.encoding.workers)
        hours = number * seconds / 3600
        found = {
            "workers": number,
            "seconds": round(seconds, 1),
            "memory_bytes": processes * PROCESS_BYTES + number * self.resources.worker_bytes,
            "read_bytes_per_second": round(raw_bytes / (rounds * step)),
            "core_hours": round(hours, 4),
        }
        return found | ({} if price is None else {"cost": round(hours * price, 4)})
