"""The README's tables, from the CSV of rates.py.

python experiments/table.py experiments/results/rates.csv
"""

import csv
import sys
from collections import defaultdict

CODECS = (
    "jaxslice effort 1", "JPEG-XL e7", "WebP", "JPEG-LS", "JPEG 2000", "PNG",
    "PNG, general", "zstd -19",
    "jaxslice --context=slices",
)  # fmt: skip


def main() -> None:
    """Prints two Markdown tables: rates by volume, speeds by codec."""
    with open(sys.argv[1], newline="") as file:
        rows = list(csv.DictReader(file))
    rates: dict[str, dict[str, float]] = defaultdict(dict)
    speeds: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for row in rows:
        rates[f"{row['volume']} {row['shape']}"][row["codec"]] = float(row["bits_per_voxel"])
        speed = float(row["encode_mb_per_s"]), float(row["decode_mb_per_s"])
        speeds[row["codec"], row["threads"]].append(speed)
    print("| volume | " + " | ".join(CODECS) + " | jaxslice / JPEG-XL | jaxslice / PNG |")
    print("|---" * (len(CODECS) + 3) + "|")
    for volume, found in rates.items():
        ours = found["jaxslice effort 1"]
        cells = [f"{found[codec]:.3f}" if codec in found else "" for codec in CODECS]
        ratios = [f"{ours / found[peer]:.3f}" for peer in ("JPEG-XL e7", "PNG")]
        print(f"| {volume} | " + " | ".join([f"**{cells[0]}**", *cells[1:], *ratios]) + " |")
    print("\n| codec | threads | encode MB/s | decode MB/s |\n|---|---|---|---|")
    for (codec, threads), measured in speeds.items():
        cells = [f"{sorted(part)[len(part) // 2]:.1f}" for part in zip(*measured, strict=True)]
        print(f"| {codec} | {threads} | {cells[0]} | {cells[1]} |")


if __name__ == "__main__":
    main()
