"""What the rows of frontier.csv come to over all data sets: shares of the best peer, speeds."""

from __future__ import annotations

import dataclasses
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence

from common import Row
from train_shipped import data_set_of

OURS = "jaxslice "
WAYS = ("encode", "decode")
FAIR = 4
"""A peer is compared with an effort that is at most this many times as fast."""


@dataclasses.dataclass(frozen=True)
class Summary:
    """One codec over all volumes that it was measured on.

    Attributes:
      codec: its name.
      share: mean over the data sets of its bits over those of the best peer of each volume. The
        volumes of a data set count as one.
      encode: MB per CPU second, the geometric mean over the volumes.
      decode: the same.
      volumes: number of volumes.
    """

    codec: str
    share: float
    encode: float
    decode: float
    volumes: int

    @property
    def ours(self) -> bool:
        """Whether it is jaxslice."""
        return is_ours(self.codec)


def is_ours(codec: str) -> bool:
    """Whether a codec is jaxslice, by its name."""
    return codec.startswith(OURS)


def best_peers(rows: Iterable[Row]) -> dict[str, tuple[float, str]]:
    """For each volume the fewest bits per voxel of all peers, and whose they are."""
    found: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for row in rows:
        if not is_ours(row["codec"]):
            found[row["volume"]].append((float(row["bits_per_voxel"]), row["codec"]))
    return {volume: min(rates) for volume, rates in found.items()}


def summaries(rows: Sequence[Row]) -> list[Summary]:
    """Every codec, from the smallest share on.

    Raises:
      ValueError: a volume has rows of jaxslice and none of a peer.
    """
    best = best_peers(rows)
    measured: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row["volume"] not in best:
            raise ValueError(f"Got no peer on {row['volume']}, expected some to compare with.")
        measured[row["codec"]].append(row)
    found = []
    for codec, own in measured.items():
        shares = {
            row["volume"]: float(row["bits_per_voxel"]) / best[row["volume"]][0] for row in own
        }
        speeds = (
            statistics.geometric_mean(float(row[f"{way}_mb_per_cpu_s"]) for row in own)
            for way in WAYS
        )
        found.append(Summary(codec, mean_over_data_sets(shares), *speeds, volumes=len(own)))
    return sorted(found, key=lambda summary: summary.share)


def mean_over_data_sets(values: dict[str, float]) -> float:
    """The mean of one value for each volume, where the volumes of a data set count as one."""
    groups: dict[str, list[float]] = defaultdict(list)
    for volume, value in values.items():
        groups[data_set_of(volume)].append(value)
    return statistics.mean(map(statistics.mean, groups.values()))


def fair_peer(effort: Summary, others: Iterable[Summary]) -> Summary | None:
    """The smallest peer that is at least a quarter as fast, both ways; None if there is none."""
    fair = [
        peer
        for peer in others
        if not peer.ours
        and FAIR * peer.encode >= effort.encode
        and FAIR * peer.decode >= effort.decode
    ]
    return min(fair, key=lambda peer: peer.share, default=None)


def frontier(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points (speed, share) that no other beats in both, from the fastest to the slowest."""
    best: list[tuple[float, float]] = []
    for speed, share in sorted(points, key=lambda point: (-point[0], point[1])):
        if not best or share < best[-1][1]:
            best.append((speed, share))
    return best
