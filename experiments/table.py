"""The README's tables, from the CSVs of leave_one_out.py, peers.py and speed.py.

python experiments/table.py
"""

import statistics
from collections import defaultdict

import common

SHOWN = ("JPEG-XL e7", "JPEG-XL e9", "tomoz", "WebP", "JPEG-LS", "JPEG 2000", "PNG", "zstd -19")
"""The peers of the table of rates; the best one of all is named in a column of its own."""


def print_rates() -> None:
    """Bits per voxel by volume: efforts, the best peer, and some others."""
    ours: dict[str, dict[str, str]] = defaultdict(dict)
    best: dict[str, common.Row] = {}
    for row in common.read_rows(common.RESULTS / "leave_one_out.csv"):
        ours[row["volume"]][row["effort"]] = row["bits_per_voxel"]
        best[row["volume"]] = row
    peers: dict[str, dict[str, str]] = defaultdict(dict)
    for row in common.read_rows(common.RESULTS / "peers.csv"):
        peers[row["volume"]][row["codec"]] = row["bits_per_voxel"]
    efforts = sorted({effort for found in ours.values() for effort in found})
    heads = [*(f"effort {effort}" for effort in efforts), "best peer", *SHOWN]
    print("| volume | " + " | ".join(heads) + " |")
    print("|---" * (len(heads) + 1) + "|")
    ratios: dict[str, list[float]] = defaultdict(list)
    for volume in sorted(ours):
        least = float(best[volume]["best_peer_bits_per_voxel"])
        cells = []
        for effort in efforts:
            if effort not in ours[volume]:
                cells.append("")
                continue
            bits = float(ours[volume][effort])
            ratios[effort].append(bits / least)
            cells.append(f"**{bits:.3f}** ({bits / least:.3f})")
        cells.append(f"{least:.3f} {best[volume]['best_peer']}")
        cells += [f"{float(peers[volume].get(codec, 'nan')):.3f}" for codec in SHOWN]
        print(f"| {volume} | " + " | ".join(cells) + " |")
    means = [
        f"({statistics.mean(ratios[effort]):.3f} of {len(ratios[effort])})" for effort in efforts
    ]
    print("| mean ratio | " + " | ".join([*means, *[""] * (1 + len(SHOWN))]) + " |")


def print_speeds() -> None:
    """Megabytes per CPU second, by volume."""
    found: dict[str, dict[str, common.Row]] = defaultdict(dict)
    for row in common.read_rows(common.RESULTS / "speed.csv"):
        found[row["volume"]][row["codec"]] = row
    heads = "encode, jaxslice | JPEG-XL e7 | ratio | decode, jaxslice | JPEG-XL e7 | ratio"
    print(f"\n| volume | {heads} |")
    print("|---" * 7 + "|")
    for volume, rows in sorted(found.items()):
        cells = []
        for way in ("encode_mb_per_cpu_s", "decode_mb_per_cpu_s"):
            ours, theirs = (float(rows[name][way]) for name in ("jaxslice effort 0", "JPEG-XL e7"))
            cells += [f"{ours:.1f}", f"{theirs:.1f}", f"{ours / theirs:.2f}"]
        print(f"| {volume} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    print_rates()
    print_speeds()
