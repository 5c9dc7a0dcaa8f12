"""What is left of `jaxslice compress` when it is killed, and does running it again mend that?

    python experiments/kill.py fib25_a.npy
    python experiments/kill.py --smoke --output=/tmp/kill.csv

A crop of the volume is compressed once undisturbed. Then, in each scenario, processes that compress
it are killed by SIGKILL: half of them at a moment that is uniform over the time of the undisturbed
run, half a random time after the first block was stored, because little can go wrong before. The
same command runs again until it ends by itself, and may be killed then as well. Processes are
forked from one that has the modules loaded, and run the command line.

Scenarios: `files` (a new folder, one worker), `threads` (several), `overwrite` (an archive that is
there is replaced; it must open after every kill), `zarr_shards`, `scales` (two scales made by
pooling), `bucket` (S3, by moto's server on this machine), `dask` (tasks run by two worker processes
that live on; every third kill is of such a worker instead), `job_shards` (three at the same time,
of which any is killed) and `bucket_shards` (the same on S3). The last three are compared with what
one plain process makes.

Columns: `kills` by SIGKILL, of them `before_blocks`, `among_blocks` and `after_blocks`, that is,
with none, some or all blocks stored; `runs` of the command; `resumed_blocks` that were not encoded
again; `wrong_archives` whose objects differ from those of the undisturbed run; `leftovers`, objects
or files that remain beside the archive; `unreadable`, kills after which an archive that should
open did not.

Cost: some 10 minutes for the 207 kills of a volume on 2 cores (`--kills=23`). Expected: no wrong
archive, no leftover, and none that is unreadable.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import multiprocessing
import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import common
import numpy as np

import jaxslice
from jaxslice.cli import main as main_of_cli
from jaxslice.core.errors import UsageError
from jaxslice.models import model_file
from jaxslice.storage.folder import open_folder
from jaxslice.storage.workspace import content_of, workspace_of
from jaxslice.volumes.source import open_source

CROP, BLOCK = (32, 128, 256), "8,32,32"
MODEL = "plain.json"
"""A model that is not fitted to the volume, so that a run begins with the blocks."""

COLUMNS = (
    "volume", "scenario", "kills", "before_blocks", "among_blocks", "after_blocks", "runs",
    "resumed_blocks", "wrong_archives", "leftovers", "unreadable",
)  # fmt: skip
SCENARIOS = {
    "files": ("--workers=1",),
    "threads": ("--workers=4",),
    "overwrite": ("--overwrite",),
    "zarr_shards": ("--shard_shape=16,64,64",),
    "scales": ("--downsample=2",),
    "bucket": (),
    "dask": (),
    "job_shards": (),
    "bucket_shards": (),
}
"""Name -> flags of the command."""

NUM_SHARDS = 3

FORKS = multiprocessing.get_context("forkserver")
PRELOADED = ("jaxslice.cli.main", "jaxslice.cli.compress", "jaxslice.jobs.compress_shard")


@dataclasses.dataclass
class Counts:
    """What happened in a scenario; see the columns."""

    kills: int = 0
    before_blocks: int = 0
    among_blocks: int = 0
    after_blocks: int = 0
    runs: int = 0
    resumed_blocks: int = 0
    wrong_archives: int = 0
    leftovers: int = 0
    unreadable: int = 0


class Run:
    """A process that runs the command line."""

    def __init__(self, words: Sequence[str], folder: Path) -> None:
        """Starts it."""
        self._output = folder / f"output-{time.monotonic_ns()}"
        self.process = FORKS.Process(target=_run, args=(list(words), self._output))
        self.process.start()

    def finish(self) -> tuple[str, str]:
        """Waits, and returns what it printed: its report, and its messages."""
        self.process.join()
        printed = [self._output.with_suffix(end) for end in (".out", ".err")]
        report, message = (path.read_text() if path.exists() else "" for path in printed)
        for path in printed:
            path.unlink(missing_ok=True)
        return report, message


def _run(words: list[str], output: Path) -> None:
    for number, end in ((1, ".out"), (2, ".err")):
        os.dup2(os.open(output.with_suffix(end), os.O_CREAT | os.O_WRONLY), number)
    main_of_cli.main(words)


@dataclasses.dataclass(frozen=True)
class Scenario:
    """A command that is killed.

    Attributes:
      source: volume to compress.
      place: of the archive.
      old: an archive to be replaced; None for a new place.
      flags: of the command.
      parts: flags of each of the processes that run at the same time.
      cluster: whose workers run the tasks, if any.
    """

    source: Path
    place: str
    old: Path | None
    flags: Sequence[str]
    parts: Sequence[Sequence[str]] = ((),)
    cluster: Any = None

    def start(self, part: Sequence[str]) -> Run:
        """Starts the command."""
        words = [
            "jaxslice", "compress", str(self.source), self.place, "--effort=0", "--json",
            f"--model={self.source.parent / MODEL}", f"--block_shape={BLOCK}", "--engine=native",
            *self.flags, *part,
        ]  # fmt: skip
        return Run(words, self.source.parent)

    def objects(self) -> dict[str, bytes]:
        """The objects at the place, and beside it those of a run that was killed."""
        found = _objects(self.place)
        if not self.place.startswith("s3://"):
            workspace = workspace_of(Path(self.place))
            found |= {f"partial/{k}": v for k, v in _objects(str(content_of(workspace))).items()}
            found |= {"workspace": b""} if workspace.exists() else {}
        return found

    def blocks(self) -> int:
        """Objects with blocks that the run has stored."""
        keys = self.objects()
        drafts = [key for key in keys if key.startswith("partial/") or self.old is None]
        return sum("/c/" in key for key in drafts)

    def reset(self) -> None:
        """Makes the place as it was before the first run."""
        if self.place.startswith("s3://"):
            folder = open_folder(self.place)
            for key in folder.list_keys():
                folder.delete(key)
            return
        for path in (Path(self.place), workspace_of(Path(self.place))):
            shutil.rmtree(path, ignore_errors=True)
        if self.old is not None:
            shutil.copytree(self.old, self.place)


def _objects(place: str) -> dict[str, bytes]:
    folder = open_folder(place)
    return {key: folder.read(key) or b"" for key in folder.list_keys()}


def torture(scenario: Scenario, kills: int, draw: random.Random) -> Counts:
    """Kills runs of a scenario until there were so many kills, and compares what they end with."""
    scenario.reset()
    start = time.perf_counter()
    report, message = scenario.start(()).finish()
    assert report, message
    jaxslice.verify(scenario.place, source=str(scenario.source))
    seconds, expected, counts = time.perf_counter() - start, scenario.objects(), Counts()
    while counts.kills < kills:
        scenario.reset()
        waiting, first = list(scenario.parts), True
        while waiting:
            runs = [scenario.start(part) for part in waiting]
            counts.runs += len(runs)
            again = counts.kills < kills and (first or draw.random() < 0.7)
            victim = draw.choice(runs) if again else None
            if victim and _killed(victim, scenario, seconds, counts, draw):
                _count_kill(scenario, counts, len(expected))
            printed = [run.finish() for run in runs]
            for (report, message), part in zip(printed, list(waiting), strict=True):
                if report:
                    counts.resumed_blocks += json.loads(report)["resumed_blocks"]
                if report or "which exists" in message:
                    waiting.remove(part)
                else:
                    assert not message or victim, message
            first = False
        found = scenario.objects()
        counts.wrong_archives += any(found.get(key) != data for key, data in expected.items())
        counts.leftovers += len(found.keys() - expected.keys())
    return counts


def _killed(
    run: Run, scenario: Scenario, seconds: float, counts: Counts, draw: random.Random
) -> bool:
    """Kills a process at a random moment; False if it ended before."""
    delay = draw.uniform(0, seconds)
    if draw.random() < 0.5:
        delay = draw.uniform(0, seconds / 4)
        while run.process.is_alive() and not scenario.blocks():
            time.sleep(0.01)
    run.process.join(delay)
    if not run.process.is_alive():
        return False
    if scenario.cluster is not None and counts.kills % 3 == 2:
        worker = draw.choice(list(scenario.cluster.workers.values()))
        os.kill(worker.process.pid, signal.SIGKILL)
        return True
    assert run.process.pid is not None
    os.kill(run.process.pid, signal.SIGKILL)
    run.process.join()
    return run.process.exitcode == -signal.SIGKILL


def _count_kill(scenario: Scenario, counts: Counts, num_objects: int) -> None:
    counts.kills += 1
    stored = scenario.blocks()
    in_place = _opens(scenario.place)
    if in_place and scenario.old is None:
        counts.after_blocks += 1
    elif stored:
        counts.among_blocks += 1
    else:
        counts.before_blocks += 1
    counts.unreadable += scenario.old is not None and not in_place
    assert stored <= num_objects


def _opens(place: str) -> bool:
    try:
        jaxslice.verify(place)
    except UsageError:
        return False
    return True


@contextlib.contextmanager
def s3_server() -> Iterator[None]:
    """An S3 service on this machine with the bucket `volumes`, found by the environment."""
    import urllib.request

    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        endpoint = "http://{}:{}".format(*server.get_host_and_port())
        request = urllib.request.Request(f"{endpoint}/volumes", method="PUT")
        urllib.request.urlopen(request).close()
        os.environ |= {
            "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": endpoint,
        }  # fmt: skip
        yield
    finally:
        server.stop()


@contextlib.contextmanager
def workers_of_dask() -> Iterator[Any]:
    """A Dask cluster of two processes."""
    import distributed

    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
    ) as cluster:
        yield cluster


def measure(volume: str, given: argparse.Namespace) -> Iterator[common.Row]:
    """A row for each scenario."""
    whole = open_source(volume)
    shape = tuple(min(a, b) for a, b in zip(CROP, whole.shape, strict=True))
    shards = [(f"--num_shards={NUM_SHARDS}", f"--shard_index={n}") for n in range(NUM_SHARDS)]
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(s3_server())
        # The workers of the cluster are processes of their own, with this environment.
        cluster = stack.enter_context(workers_of_dask())
        FORKS.set_forkserver_preload(list(PRELOADED))
        source = folder / "crop.npy"
        plain = dataclasses.replace(jaxslice.load_model("default"), adaptation=None)
        model_file.save(str(folder / MODEL), plain)
        np.save(source, whole.read(whole.box)[tuple(map(slice, shape))])
        for number, (scenario, flags) in enumerate(SCENARIOS.items()):
            old = folder / "old.zarr" if scenario == "overwrite" else None
            if old:
                options = jaxslice.CompressOptions(
                    effort=0, seed=1, model=str(folder / MODEL), engine="native"
                )
                jaxslice.compress(str(source), str(old), options)
            made = Scenario(source, str(folder / "a.zarr"), old, flags)
            if scenario.startswith("bucket"):
                made = dataclasses.replace(made, place="s3://volumes/a.zarr")
            if scenario.endswith("_shards") and scenario != "zarr_shards":
                made = dataclasses.replace(made, parts=shards)
            if scenario == "dask":
                address = f"--dask_scheduler={cluster.scheduler_address}"
                parts = [("--executor=dask", address)]
                made = dataclasses.replace(made, parts=parts, cluster=cluster)
            counts = torture(made, given.kills, random.Random(given.seed + number))
            yield {"volume": Path(volume).stem, "scenario": scenario} | dataclasses.asdict(counts)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the experiment."""
    parser = common.parser_of("kill", __doc__, None)
    parser.add_argument("--kills", type=int, default=10, help="in each scenario")
    parser.add_argument("--seed", type=int, default=0)
    common.run(parser, arguments, measure, None, COLUMNS, key=("volume", "scenario"))


if __name__ == "__main__":
    main()
