"""Fuzzes everything that reads bytes of others, guided by the branches that inputs reach.

    python experiments/fuzz/run.py --seconds=60
    python experiments/fuzz/run.py --targets metadata levels_round --seconds=600 --work=/tmp/fuzz

Targets in Python run under atheris (`pip install 'jaxslice[fuzz]'`). Those of the native engine,
whose names end with their round in `tests/native/fuzz.h`, are compiled by clang for libFuzzer with
AddressSanitizer and UndefinedBehaviorSanitizer, which takes some minutes.

A run adds its executions and seconds to the rows of its targets in the CSV. `unique_crashes` are
findings that are not mended; each is a file in the folder `findings` of --work, with the corpora
that grew. `mended` counts the inputs that once were findings, which stay in `corpus/`.

An execution that takes 20 seconds or leaves the process with 3 GB is a finding as well.

Cost: the seconds for each target, on one core. Expected: no crash.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import provenance

from fuzz.target import CORPUS
from jaxslice.native import build

HERE = Path(__file__).parent
OUTPUT = HERE.parent / "results" / "fuzz.csv"
COLUMNS = (
    "target", "engine", "executions", "seconds", "unique_crashes", "mended", "edges",
    "peak_rss_mb",
)  # fmt: skip
NATIVE = ("levels_round", "check_linear", "check_network", "linear_round", "network_round")
"""Rounds of the native engine's fuzzer."""

SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g", "-O1")
LIMITS = ("-rss_limit_mb=3000", "-timeout=20", "-print_final_stats=1")
LONGEST = {"decoder": 400, "places": 200, "server": 600}
"""Bytes of an input, where the usual ones are too long."""

Row = dict[str, Any]


def build_native(folder: Path) -> None:
    """Compiles the engine and a program for each of its rounds, unless they are there."""
    folder.mkdir(parents=True, exist_ok=True)
    if all((folder / name).exists() for name in NATIVE):
        return
    os.environ["CC"] = "clang"
    library = build.build(folder, (*SANITIZERS, "-fsanitize=fuzzer-no-link"))
    sources = map(str, sorted((HERE.parents[1] / "tests" / "native").glob("fuzz*.c")))
    command = ["clang", "-std=gnu11", *SANITIZERS, "-fsanitize=fuzzer", f"-I{build.FOLDER}"]
    common = [*sources, str(library), f"-Wl,-rpath,{folder.resolve()}"]
    for name in NATIVE:
        program = [f"-DFUZZ_LIBRARY={name}", "-o", str(folder / name)]
        subprocess.run([*command, *common, *program], check=True)


def run(name: str, seconds: int, work: Path, built: Path) -> Row:
    """Fuzzes one target, until the time is over or something is found.

    Args:
      name: of the target.
      seconds: that it may take.
      work: folder of the corpora that grow, and of findings.
      built: folder of the native programs.
    """
    grown, findings = work / "corpora" / name, work / "findings" / name
    grown.mkdir(parents=True, exist_ok=True)
    findings.mkdir(parents=True, exist_ok=True)
    native = name in NATIVE
    program = [str(built / name)] if native else [sys.executable, str(HERE / "guided.py"), name]
    longest = 256 if native else LONGEST.get(name, 8192)
    limits = [*LIMITS, f"-max_total_time={seconds}", f"-max_len={longest}"]
    places = [f"-artifact_prefix={findings}/", str(grown), str(CORPUS / name)]
    log = work / f"{name}.log"
    with log.open("w") as file:
        subprocess.run([*program, *limits, *places], stdout=file, stderr=file, check=False)
    row = {"target": name, "engine": "libFuzzer, sanitizers" if native else "atheris"}
    return row | read_log(log.read_text(errors="replace")) | {
        "unique_crashes": len(list(findings.iterdir())),
        "mended": len(list((CORPUS / name).glob("found-*"))),
    }  # fmt: skip


def read_log(text: str) -> Row:
    """What libFuzzer says of a run; one that found something has fewer numbers."""
    begun = re.findall(r"^#(\d+)\s|number_of_executed_units: (\d+)", text, re.MULTILINE)
    executions = max((int(a or b) for a, b in begun), default=0)
    each_second = re.findall(r"average_exec_per_sec:\s+(\d+)", text)
    seconds = re.findall(r"Done \d+ runs in (\d+) second", text)
    if not seconds and each_second:
        # Of a run that ended early there is no other word.
        seconds = [executions // max(1, int(each_second[-1]))]
    edges = re.findall(r"\bcov: (\d+)", text)
    memory = re.findall(r"peak_rss_mb:\s+(\d+)|rss: (\d+)Mb", text)
    return {
        "executions": executions,
        "seconds": int(seconds[-1]) if seconds else 0,
        "edges": max(map(int, edges), default=0),
        "peak_rss_mb": max((int(a or b) for a, b in memory), default=0),
    }


def added(before: Row | None, row: Row) -> Row:
    """A row with what an earlier one of the same target had done."""
    if before is None:
        return row
    more = {name: int(before[name]) + row[name] for name in ("executions", "seconds")}
    most = {name: max(int(before[name]), row[name]) for name in ("edges", "peak_rss_mb")}
    return row | more | most


def write(path: Path, row: Row) -> None:
    """Adds a row to a CSV, in which each target has one."""
    rows: dict[str, Row] = {}
    if path.exists():
        with path.open(newline="") as file:
            rows = {found["target"]: found for found in csv.DictReader(file)}
    (stamped,) = provenance.stamped([added(rows.get(row["target"]), row)])
    rows[row["target"]] = stamped
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*COLUMNS, *provenance.COLUMNS])
        writer.writeheader()
        writer.writerows(rows[name] for name in sorted(rows))


def main(arguments: Sequence[str] | None = None) -> None:
    """Fuzzes the targets one after the other."""
    names = sorted(path.name for path in CORPUS.iterdir())
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--targets", nargs="*", default=names, choices=names)
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--work", type=Path, help="folder that corpora and findings stay in")
    parser.add_argument("--build", type=Path, help="folder of the native programs")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        work, built = options.work or Path(scratch), options.build or Path(scratch, "native")
        if set(options.targets) & set(NATIVE):
            build_native(built)
        for name in options.targets:
            row = run(name, options.seconds, work, built)
            write(options.output, row)
            print(name, row["executions"], "executions,", row["unique_crashes"], "crashes")


if __name__ == "__main__":
    main()
