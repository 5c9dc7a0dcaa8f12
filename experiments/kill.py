"""What is left of `jaxslice compress` when it is killed, and does running it again mend that?

    python experiments/kill.py fib25_a.npy
    python experiments/kill.py --smoke --output=/tmp/kill.csv

A crop of the volume is compressed once undisturbed. Then, in each scenario, processes that compress
it are killed by SIGKILL: half of them at a moment that is uniform over the time of the undisturbed
run, half a random time after the first block was stored, because little can go wrong before. The
same command runs again until it ends by itself, and may be killed then as well. Scenarios: `files`
(a new folder), `overwrite` (an archive that is there is replaced; it must open after every kill),
`shards`, `scales` (two scales made by pooling) and `bucket` (S3, by moto's server on this machine).

Columns: `kills` by SIGKILL, of them `before_blocks`, `among_blocks` and `after_blocks`, that is,
with none, some or all blocks stored; `runs` of the command; `resumed_blocks` that were not encoded
again; `wrong_archives` whose objects differ from those of the undisturbed run; `leftovers`, objects
or files that remain beside the archive; `unreadable`, kills after which an archive that should
open did not.

Cost: 15 minutes for the 50 kills of a volume on 2 cores. Expected: no wrong archive, no leftover,
and none that is unreadable.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import common
import numpy as np

import jaxslice
from jaxslice.core.errors import UsageError
from jaxslice.models import model_file
from jaxslice.storage.folder import open_folder
from jaxslice.storage.workspace import content_of, workspace_of
from jaxslice.volumes.source import open_source

RUN = Path(__file__).parents[1] / "run.py"
CROP, BLOCK = (32, 128, 256), "8,32,32"
MODEL = "plain.json"
"""A model that is not fitted to the volume, so that a run begins with the blocks."""

COLUMNS = (
    "volume", "scenario", "kills", "before_blocks", "among_blocks", "after_blocks", "runs",
    "resumed_blocks", "wrong_archives", "leftovers", "unreadable",
)  # fmt: skip
SCENARIOS = {
    "files": (),
    "overwrite": ("--overwrite",),
    "shards": ("--shard_shape=16,64,64",),
    "scales": ("--downsample=2",),
    "bucket": (),
}
"""Name -> flags of the command."""


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


@dataclasses.dataclass(frozen=True)
class Scenario:
    """A command that is killed.

    Attributes:
      source: volume to compress.
      place: of the archive.
      old: an archive to be replaced; None for a new place.
      flags: of the command.
    """

    source: Path
    place: str
    old: Path | None
    flags: Sequence[str]

    def start(self) -> subprocess.Popen[str]:
        """Starts the command."""
        command = [
            sys.executable, RUN, "compress", self.source, self.place, "--effort=0", "--json",
            f"--model={self.source.parent / MODEL}", f"--block_shape={BLOCK}", *self.flags,
        ]  # fmt: skip
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

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
    report, message = scenario.start().communicate()
    assert report, message
    seconds, expected, counts = time.perf_counter() - start, scenario.objects(), Counts()
    while counts.kills < kills:
        scenario.reset()
        finished = False
        while not finished:
            counts.runs += 1
            process = scenario.start()
            again = counts.kills < kills and (counts.runs == 1 or draw.random() < 0.7)
            if again and _killed(process, scenario, seconds, draw):
                _count_kill(scenario, counts, len(expected))
                continue
            report, message = process.communicate()
            finished = True
            if report:
                counts.resumed_blocks += json.loads(report)["resumed_blocks"]
            else:
                assert "which exists" in message, message
        found = scenario.objects()
        counts.wrong_archives += any(found.get(key) != data for key, data in expected.items())
        counts.leftovers += len(found.keys() - expected.keys())
    return counts


def _killed(
    process: subprocess.Popen[str], scenario: Scenario, seconds: float, draw: random.Random
) -> bool:
    """Kills a process at a random moment; False if it ended before."""
    delay = draw.uniform(0, seconds)
    if draw.random() < 0.5:
        delay = draw.uniform(0, seconds / 4)
        while process.poll() is None and not scenario.blocks():
            time.sleep(0.01)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(delay)
        return False
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return process.returncode == -signal.SIGKILL


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


def measure(volume: str, given: argparse.Namespace) -> Iterator[common.Row]:
    """A row for each scenario."""
    whole = open_source(volume)
    shape = tuple(min(a, b) for a, b in zip(CROP, whole.shape, strict=True))
    with tempfile.TemporaryDirectory() as name, s3_server():
        folder, source = Path(name), Path(name, "crop.npy")
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
            place = "s3://volumes/a.zarr" if scenario == "bucket" else str(folder / "a.zarr")
            made = Scenario(source, place, old, flags)
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
