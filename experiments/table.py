"""The tables of README.md and docs/measurements.md, from the CSVs of three experiments.

    python experiments/table.py

Prints the README's table of rates, all rates, and the speeds of speed.py, each after a blank line.
Rates are those of leave_one_out.py and peers.py.
"""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence

import common


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def read_rates() -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
    """Bits per voxel {codec: {volume: bits}} of jaxslice, left out of training, and of peers."""
    ours: dict[str, dict[str, float]] = defaultdict(dict)
    peers: dict[str, dict[str, float]] = defaultdict(dict)
    for row in common.read_rows(common.RESULTS / "leave_one_out.csv"):
        ours[f"effort {row['effort']}"][row["volume"]] = float(row["bits_per_voxel"])
    for row in common.read_rows(common.RESULTS / "peers.csv"):
        if not row["codec"].startswith("jaxslice") and row["bits_per_voxel"]:
            peers[row["codec"]][row["volume"]] = float(row["bits_per_voxel"])
    return ours, peers


def best_peer(volume: str, peers: dict[str, dict[str, float]]) -> tuple[float, str]:
    """The fewest bits of all peers on a volume, and whose they are."""
    return min((found[volume], codec) for codec, found in peers.items() if volume in found)


def readme_rates() -> str:
    """Efforts with their share of the best peer, by volume."""
    ours, peers = read_rates()
    efforts = sorted(ours)
    rows, shares = [], defaultdict(list)
    for volume in sorted(ours[efforts[0]]):
        least, name = best_peer(volume, peers)
        cells = [volume]
        for effort in efforts:
            bits = ours[effort].get(volume)
            if bits:
                shares[effort].append(bits / least)
            cells.append(f"{bits:.3f} ({bits / least:.3f})" if bits else "")
        rows.append([*cells, f"{least:.3f} {name}"])
    means = [f"({statistics.mean(shares[effort]):.3f})" for effort in efforts]
    rows.append(["mean share", *means, ""])
    return table(["volume", *efforts, "best peer"], rows)


def all_rates() -> str:
    """Every codec by volume, jaxslice first, then peers from the best on."""
    ours, peers = read_rates()
    volumes = sorted(next(iter(ours.values())))
    order = sorted(peers, key=lambda codec: statistics.mean(peers[codec][v] for v in volumes))
    named = [(f"jaxslice {effort}", ours[effort]) for effort in sorted(ours)]
    rows = [
        [codec, *(f"{found[v]:.3f}" if v in found else "" for v in volumes)]
        for codec, found in [*named, *((codec, peers[codec]) for codec in order)]
    ]
    return table(["", *volumes], rows)


def speeds() -> str:
    """Megabytes per CPU second of encoding / decoding, by volume."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for row in common.read_rows(common.RESULTS / "speed.csv"):
        ways = (float(row[f"{way}_mb_per_cpu_s"]) for way in ("encode", "decode"))
        found[row["volume"]][row["codec"]] = " / ".join(f"{speed:.1f}" for speed in ways)
    codecs = list(dict.fromkeys(codec for cells in found.values() for codec in cells))
    rows = ([volume, *(found[volume].get(c, "") for c in codecs)] for volume in sorted(found))
    return table(["volume", *codecs], rows)


if __name__ == "__main__":
    print("\n\n".join([readme_rates(), all_rates(), speeds()]))
