"""What this process may use of its machine: cores and memory.

Batch systems and containers limit a process by control groups, which are nested: a limit may stand
at any level above the process's own group. psutil knows the machine and not the groups, and loky
only looks at the outermost one, so that the groups are read here.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path

CORE_VARIABLES = ("OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK", "PBS_NCPUS", "NSLOTS")
"""Variables by which users, SLURM, PBS and Grid Engine say how many cores a process may use, also
where nothing enforces it."""

_MEBIBYTE = 1 << 20


def num_cores(root: str = "/") -> int:
    """Cores that this process may use: the least of `core_limits`.

    Args:
      root: of the file system, for tests.
    """
    return min(core_limits(root).values())


def core_limits(root: str = "/") -> dict[str, int]:
    """What limits the cores of this process, and to how many: its affinity, control groups, and
    variables of batch systems.

    Args:
      root: of the file system, for tests.
    """
    if hasattr(os, "sched_getaffinity"):
        limits = {"affinity": len(os.sched_getaffinity(0))}
    else:
        limits = {"machine": os.cpu_count() or 1}
    quotas = [_cpu_quota(group) for group in _groups(root, "cpu")]
    allowed = [max(1, math.ceil(quota)) for quota in quotas if quota is not None]
    if allowed:
        limits["control group"] = min(allowed)
    for name in CORE_VARIABLES:
        # OpenMP lists the threads of nested levels.
        count = _positive(os.environ.get(name, "").partition(",")[0])
        if count is not None:
            limits[name] = count
    return limits


def available_host_bytes(root: str = "/") -> int:
    """Memory that this process can still take: the least of `memory_limits`.

    Args:
      root: of the file system, for tests.
    """
    return min(memory_limits(root).values())


def memory_limits(root: str = "/") -> dict[str, int]:
    """What limits the memory of this process, and the bytes that it can still take of it.

    Args:
      root: of the file system, for tests.
    """
    import psutil

    limits = {"machine": psutil.virtual_memory().available}
    left = [_bytes_left(group) for group in _groups(root, "memory")]
    allowed = [count for count in left if count is not None]
    if allowed:
        limits["control group"] = min(allowed)
    # SLURM's are in mebibytes, and enforced only where it is told to.
    per_node = _positive(os.environ.get("SLURM_MEM_PER_NODE", ""))
    per_cpu = _positive(os.environ.get("SLURM_MEM_PER_CPU", ""))
    cpus = _positive(os.environ.get("SLURM_CPUS_PER_TASK", "")) or 1
    for name, count in (
        ("SLURM_MEM_PER_NODE", per_node),
        ("SLURM_MEM_PER_CPU", per_cpu and per_cpu * cpus),
    ):
        if count:
            limits[name] = max(count * _MEBIBYTE - psutil.Process().memory_info().rss, 0)
    return limits


def _positive(text: str) -> int | None:
    number = text.strip()
    return int(number) if number.isdecimal() and int(number) > 0 else None


def peak_so_far_bytes() -> int:
    """Most memory that this process has had resident; on Linux and macOS."""
    # On Linux `getrusage` would report that of the process which started this one, if larger.
    for line in _text(Path("/proc/self/status")).splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024)


def _groups(root: str, controller: str) -> Iterator[Path]:
    """Folders of the control groups that limit this process, its own first.

    Control groups of version 2 are one tree, version 1 has a tree for each controller. Inside a
    container the path of /proc/self/cgroup may be one outside of it: what is not there is skipped.
    """
    mount = Path(root, "sys/fs/cgroup")
    for line in _text(Path(root, "proc/self/cgroup")).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":
            tops = dict.fromkeys([mount, mount / "unified"])
        elif controller in controllers.split(","):
            tops = dict.fromkeys([mount / controllers, mount / controller])
        else:
            continue
        group = Path(path.lstrip("/"))
        for top in tops:
            for part in (group, *group.parents):
                if ".." not in part.parts and (top / part).is_dir():
                    yield top / part


def _cpu_quota(group: Path) -> float | None:
    """Cores' worth of time that a group gets; None without a limit."""
    words = _text(group / "cpu.max").split()
    if not words:
        words = [_text(group / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")]
    if len(words) != 2 or not all(word.isdigit() for word in words) or words[1] == "0":
        return None
    return int(words[0]) / int(words[1])


def _bytes_left(group: Path) -> int | None:
    """Memory that a group can still take; None without a limit."""
    # Above memory.high the kernel slows a group down.
    names = ("memory.max", "memory.high", "memory.limit_in_bytes")
    limits = [_text(group / name).strip() for name in names]
    found = [int(limit) for limit in limits if limit.isdecimal()]
    used = [_text(group / name).strip() for name in ("memory.current", "memory.usage_in_bytes")]
    counts = [int(count) for count in used if count.isdecimal()]
    if not found or not counts:
        return None
    return max(min(found) - counts[0] + _reclaimable_bytes(group), 0)


def _reclaimable_bytes(group: Path) -> int:
    """Cached pages of files that the kernel gives up first; they count as used."""
    counts = dict(
        line.split(" ", 1) for line in _text(group / "memory.stat").splitlines() if " " in line
    )
    count = counts.get("total_inactive_file", counts.get("inactive_file", "0"))
    return int(count) if count.isdigit() else 0


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
