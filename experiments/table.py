"""The tables of README.md and docs/measurements.md, from the CSVs of three experiments.

    python experiments/table.py
    python experiments/table.py --write

Prints the README's table of efforts beside peers of like speed, then those of docs/measurements.md:
shares by volume, all rates, all speeds, and the engines. With --write the tables take their places
in the documents, each between the comment that names it and `<!-- end -->`. Rates of jaxslice are
those of leave_one_out.py, speeds and peers those of frontier.py, and engines those of speed.py.
The tables of other documents are made by trust_tables.py.
"""

from __future__ import annotations

import argparse
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import common
import roofline
import shares
import trust_tables

ROOT = Path(__file__).parents[1]

Rates = dict[str, dict[str, float]]


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def frontier_rows() -> list[common.Row]:
    """The rows of frontier.csv."""
    return common.read_rows(common.RESULTS / "frontier.csv")


def read_rates() -> tuple[Rates, Rates]:
    """Bits per voxel {codec: {volume: bits}} of jaxslice, left out of training, and of peers."""
    ours, peers = defaultdict(dict), defaultdict(dict)
    for row in common.read_rows(common.RESULTS / "leave_one_out.csv"):
        ours[f"effort {row['effort']}"][row["volume"]] = float(row["bits_per_voxel"])
    for row in frontier_rows():
        if not shares.is_ours(row["codec"]):
            peers[row["codec"]][row["volume"]] = float(row["bits_per_voxel"])
    return ours, peers


def _percent_more(peer: shares.Summary, effort: shares.Summary) -> str:
    more = 100 * (peer.share / effort.share - 1)
    return f"{abs(more):.1f} % {'more' if more >= 0 else 'fewer'} bits"


def fair_speeds() -> str:
    """Efforts, and beside each the smallest peer that is at least a quarter as fast."""
    found = shares.summaries(frontier_rows())
    rows = []
    for effort in sorted((s for s in found if s.ours), key=lambda summary: -summary.share):
        cells = [effort.codec, f"{effort.share:.3f}", f"{effort.encode:.0f} / {effort.decode:.0f}"]
        peer = shares.fair_peer(effort, found)
        if peer is not None:
            cells += [
                peer.codec,
                f"{peer.encode:.0f} / {peer.decode:.0f}",
                _percent_more(peer, effort),
            ]
        rows.append(cells + [""] * (6 - len(cells)))
    heads = (
        "",
        "share of the best peer",
        "MB/s",
        "smallest peer of like speed",
        "MB/s",
        "it takes",
    )
    return table(heads, rows)


def shares_by_volume() -> str:
    """Efforts with their share of the best peer, by volume."""
    ours, _ = read_rates()
    best = shares.best_peers(frontier_rows())
    efforts = sorted(ours)
    rows, means = [], defaultdict(dict)
    for volume in sorted(set().union(*ours.values())):
        least, name = best[volume]
        cells = [volume]
        for effort in efforts:
            bits = ours[effort].get(volume)
            if bits:
                means[effort][volume] = bits / least
            cells.append(f"{bits:.3f} ({bits / least:.3f})" if bits else "")
        rows.append([*cells, f"{least:.3f} {name}"])
    mean = [f"({shares.mean_over_data_sets(means[effort]):.3f})" for effort in efforts]
    rows.append(["mean share", *mean, ""])
    return table(["volume", *efforts, "best peer"], rows)


def all_rates() -> str:
    """Every codec by volume, jaxslice first, then peers from the best on."""
    ours, peers = read_rates()
    volumes = sorted(set().union(*peers.values()))
    order = sorted(peers, key=lambda codec: statistics.mean(peers[codec].values()))
    named = [(f"jaxslice {effort}", ours[effort]) for effort in sorted(ours)]
    rows = [
        [codec, *(f"{found[v]:.3f}" if v in found else "" for v in volumes)]
        for codec, found in [*named, *((codec, peers[codec]) for codec in order)]
    ]
    return table(["", *volumes], rows)


def all_speeds() -> str:
    """Every codec with its share and its speeds, from the smallest on."""
    rows = [
        [s.codec, f"{s.share:.3f}", _speed(s.encode), _speed(s.decode)]
        for s in shares.summaries(frontier_rows())
    ]
    return table(["", "share of the best peer", "encode MB/s", "decode MB/s"], rows)


def _speed(megabytes: float) -> str:
    return f"{megabytes:.0f}" if megabytes >= 10 else f"{megabytes:.1f}"


def engines(name: str) -> str:
    """Megabytes per CPU second of encoding / decoding a block, by volume, of a CSV of speed.py."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for row in common.read_rows(common.RESULTS / f"{name}.csv"):
        ways = (float(row[f"{way}_mb_per_cpu_s"]) for way in ("encode", "decode"))
        found[row["volume"]][row["codec"]] = " / ".join(f"{speed:.1f}" for speed in ways)
    codecs = list(dict.fromkeys(codec for cells in found.values() for codec in cells))
    rows = ([volume, *(found[volume].get(c, "") for c in codecs)] for volume in sorted(found))
    return table(["volume", *codecs], rows)


TABLES = {
    "README.md": {"fair speeds": fair_speeds},
    "docs/measurements.md": {
        "shares": shares_by_volume,
        "rates": all_rates,
        "speeds": all_speeds,
        "engines": lambda: engines("speed"),
        "engines with AVX2": lambda: engines("speed_avx2"),
    },
    **trust_tables.TABLES,
}
"""For each document its tables, by the comment before them."""


def main() -> None:
    """Prints or writes the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="put the tables into the documents")
    given = parser.parse_args()
    for document, makers in TABLES.items():
        for name, make in makers.items():
            if given.write:
                path = ROOT / document
                path.write_text(roofline.replaced(path.read_text(), name, make()))
            else:
                print(make(), end="\n\n")


if __name__ == "__main__":
    main()
