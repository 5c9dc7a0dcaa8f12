"""Runs one target under atheris, which is libFuzzer that follows the branches of Python code.

    python experiments/fuzz/guided.py TARGET [options of libFuzzer] FOLDER...

`run.py` starts it; alone it serves to run a finding again: give the file in place of folders.
"""

from __future__ import annotations

import random
import resource
import sys
import warnings
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[1]))

MOST_MEMORY_BYTES = 12 * 2**30
"""Of addresses; what libraries reserve at their start is in it. More is an error of ours."""

with atheris.instrument_imports(include=["jaxslice"], enable_loader_override=False):
    from fuzz.json_mutator import mutated
    from fuzz.target import Target
    from fuzz.targets import TARGETS

    CHOSEN = TARGETS[sys.argv[1]]
    warnings.simplefilter("ignore")
    for data in CHOSEN.corpus():
        # Modules that are imported when they are first needed are to be followed too.
        CHOSEN.check(data)


def change(target: Target, data: bytes, most: int, seed: int) -> bytes:
    """Another input: mostly another document, where a target reads documents."""
    if target.has_json and random.Random(seed).randrange(5):
        changed = mutated(data, seed)
        if changed != data and len(changed) <= most:
            return changed
    return atheris.Mutate(data, most)


def main() -> None:
    """Runs until libFuzzer ends."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES))
    atheris.Setup(
        [sys.argv[0], *sys.argv[2:]],
        CHOSEN.check,
        custom_mutator=lambda data, most, seed: change(CHOSEN, data, most, seed),
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
