"""Settings of the C library, each in a process of its own, since they cannot be undone."""

import os
import subprocess
import sys

import pytest

from jaxslice.cli.malloc import _is_glibc
from jaxslice.core.machine import num_cores

# Fills an array page by page, frees it, and counts the page faults of filling another.
FAULTS = """
import resource
import numpy as np
from jaxslice.cli.malloc import keep_memory
changed = keep_memory()
np.ones(40_000_000, np.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
np.ones(40_000_000, np.uint8)
print(changed, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(**environment: str) -> tuple[str, int]:
    cleared = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC"))}
    made = subprocess.run(
        [sys.executable, "-c", FAULTS],
        env=cleared | environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    changed, count = made.stdout.split()
    return changed, int(count)


@pytest.mark.skipif(not _is_glibc(), reason="only glibc has these settings")
def test_memory_is_kept_unless_the_user_decides():
    changed, count = faults()
    assert changed == "True"
    assert count < 100
    # As it would be without: every page of 4 KB, or of 2 MB where pages are huge, anew.
    changed, count = faults(MALLOC_ARENA_MAX="2")
    assert changed == "False"
    assert count >= 10


def test_counts_cores():
    assert 1 <= num_cores() <= (os.cpu_count() or 1)
