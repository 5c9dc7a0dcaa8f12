"""How near do the engines come to what one core can do at most?

    taskset -c 1 python experiments/native_roofline.py
    python experiments/native_roofline.py --smoke --output=/tmp/native_roofline.csv

Measures the core's peaks with `peaks.c` (cycles, products and additions a second), and the time of
the march alone, without checksums and level tables, on one synthetic block of 64x256x256: the
native engine with each instruction set and each shipped network, and portable C and xla with the
default network. Cycles are CPU seconds times the measured clock. The number of element-wise
operations is that of XLA's program for the default network, from the CSV of roofline.py: an
estimate for other engines, which do some of it with 16-bit numbers, twice as many at a time.

Writes the CSV, and the tables of ROOFLINE.md from that CSV. `core` is the best instruction set of
the core; rows of other cores are kept. Needs a C compiler and x86-64.

Cost: 3 minutes on one core. Expected: the native engine with AVX-512 VNNI at 36 to 43 % of the
products that the core can do, xla at 7 to 10 %.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import common
import numpy as np
import roofline
from common import Row

from jaxslice.bench.synthetic import synthetic_volume
from jaxslice.codec import levels
from jaxslice.codec.engines import native, xla
from jaxslice.codec.network import Model
from jaxslice.core.box import Triple
from jaxslice.models import model_file
from jaxslice.models.presets import SHIPPED
from jaxslice.native import build, library

BLOCK: Triple = (64, 256, 256)
ROUNDS = 5
PEAKS = Path(__file__).with_name("peaks.c")
COLUMNS = (
    "core", "engine", "network", "direction", "multiply_adds_per_voxel", "mb_per_cpu_s",
    "cycles_per_voxel", "giga_multiply_adds_per_s", "share_of_vnni_peak", "share_of_own_peak",
    "product_cycles_per_voxel", "other_ops_per_voxel", "share_of_element_wise_peak", "clock_ghz",
)  # fmt: skip
PRODUCTS = {"avx512": ["dot_512"], "avx2": ["dot_256"], "xla": ["fma_512", "fma_256"]}
"""By engine, the peaks of the products that it may use; portable C has none of its own."""
ADDITIONS = {"avx512": ["add_512"], "avx2": ["add_256"], "xla": ["add_512", "add_256"]}

Coder = tuple[Callable[[], np.ndarray], Callable[[np.ndarray], np.ndarray]]


def peaks() -> dict[str, float]:
    """Operations a second of each kernel of peaks.c.

    Raises:
      RuntimeError: there is no C compiler.
    """
    compiler = build.compiler()
    if compiler is None:
        raise RuntimeError("Got no C compiler, expected one to measure the core's peaks with.")
    with tempfile.TemporaryDirectory() as folder:
        program = f"{folder}/peaks"
        subprocess.run([*compiler, "-O2", str(PEAKS), "-o", program], check=True)
        printed = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    return {name: float(rate) for name, rate in map(str.split, printed.splitlines())}


def coders(voxels: np.ndarray, shape: Triple) -> Iterator[tuple[str, str, Model, Coder]]:
    """Name of an engine, name of a network, its model, and what encodes and decodes a block."""
    tables = levels.choose(voxels)
    symbols, counts = levels.symbols_of(voxels, tables), levels.sizes(tables)
    for name in SHIPPED:
        model = model_file.load(name).model
        for number in reversed(library.instruction_sets()):
            if number == library.PORTABLE and name != "default":
                continue
            plain = symbols.astype(np.uint8)
            yield (
                library.SET_NAMES[number], name, model,
                (
                    lambda m=model, n=number, s=plain: native.encode(s, shape, counts, m, n),
                    lambda words, m=model, n=number: native.decode(
                        words, shape, shape, counts, m, n
                    ),
                ),
            )  # fmt: skip
    model = model_file.load("default").model
    extents, batch = np.array([shape], np.int32), symbols[None].astype(np.int16)
    sizes = counts[None].astype(np.int32)
    yield (
        "xla", "default", model,
        (
            lambda: xla.ENGINE.encode(batch, sizes, extents, model)[0],
            lambda words: xla.ENGINE.decode([words], sizes, extents, shape, model)[0],
        ),
    )  # fmt: skip


def seconds_of(coder: Coder, symbols: np.ndarray) -> tuple[float, float]:
    """CPU seconds of encoding and decoding, the best of some rounds."""
    encode, decode = coder
    best = [float("inf")] * 2
    for _ in range(ROUNDS + 1):  # the first compiles
        start = time.process_time()
        words = encode()
        middle = time.process_time()
        back = decode(words)
        end = time.process_time()
        if not np.array_equal(back, symbols):
            raise SystemExit("Got other symbols, expected those encoded.")
        best = [min(best[0], middle - start), min(best[1], end - middle)]
    return best[0], best[1]


def other_operations() -> dict[str, float]:
    """Element-wise operations a voxel of the default network, by direction."""
    rows = common.read_rows(common.RESULTS / "roofline.csv")
    return {
        row["direction"]: float(row["other_ops_per_voxel"])
        for row in rows
        if row["direction"] != "train" and row["blocks"] == "1"
    }


def peak_of(names: Sequence[str], peak: dict[str, float]) -> float | None:
    """The peak of the first of some kernels that the core has; None if it has none of them."""
    return next((peak[name] for name in names if name in peak), None)


def measure(shape: Triple) -> Iterator[Row]:
    """Yields a row for each engine, network and direction."""
    peak, others = peaks(), other_operations()
    core = library.SET_NAMES[library.best_set()]
    voxels = synthetic_volume(shape)
    symbols = levels.symbols_of(voxels, levels.choose(voxels))
    for engine, network, model, coder in coders(voxels, shape):
        products = model.architecture.multiply_adds_per_voxel
        for way, seconds in zip(("encode", "decode"), seconds_of(coder, symbols), strict=True):
            speed = voxels.size / seconds
            row: Row = {
                "core": core,
                "engine": engine,
                "network": network,
                "direction": way,
                "multiply_adds_per_voxel": products,
                "mb_per_cpu_s": speed / 1e6,
                "cycles_per_voxel": peak["cycles"] / speed,
                "giga_multiply_adds_per_s": products * speed / 1e9,
                "clock_ghz": peak["cycles"] / 1e9,
            }
            own = peak_of(PRODUCTS.get(engine, ()), peak)
            additions = peak_of(ADDITIONS.get(engine, ()), peak)
            if "dot_512" in peak:
                row["share_of_vnni_peak"] = products * speed / peak["dot_512"]
            if own:
                row["share_of_own_peak"] = products * speed / own
                row["product_cycles_per_voxel"] = products * peak["cycles"] / own
            if network == "default" and additions:
                row["other_ops_per_voxel"] = others[way]
                row["share_of_element_wise_peak"] = others[way] * speed / additions
            print(row, flush=True)
            yield row


def document(rows: Sequence[Row], text: str) -> str:
    """ROOFLINE.md with its table of engines replaced."""
    made = roofline.table(
        rows,
        (("core", "core", -1), ("engine", "engine", -1), ("network", "network", -1),
         ("direction", "direction", -1),
         ("MB/s", "mb_per_cpu_s", 1), ("cycles a voxel", "cycles_per_voxel", 1),
         ("of these, products at their peak", "product_cycles_per_voxel", 1),
         ("G multiply-adds/s", "giga_multiply_adds_per_s", 1),
         ("share of the `vpdpbusd` peak", "share_of_vnni_peak", 3),
         ("share of its own products' peak", "share_of_own_peak", 3),
         ("share of the element-wise peak", "share_of_element_wise_peak", 3)),
    )  # fmt: skip
    return roofline.replaced(text, "engines", made)


def main(arguments: Sequence[str] | None = None) -> None:
    """Reads the command line and measures."""
    parser = common.parser_of("native_roofline", __doc__, None)
    given = parser.parse_args(arguments)
    output = given.output or common.RESULTS / "native_roofline.csv"
    if given.smoke and not given.output:
        parser.error("got no --output, expected one with --smoke: its numbers are no results")
    if not given.plot_only:
        measured = list(measure(common.SMOKE_SHAPE if given.smoke else BLOCK))
        common.replace_volume(output, COLUMNS, measured, ("core",))
    roofline.write_document(output, common.RESULTS / "native_roofline.csv", document)


if __name__ == "__main__":
    main()
