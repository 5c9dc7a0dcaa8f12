"""Cores and memory, in control groups that are made up of files."""

from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from jaxslice.core import machine


def make(root: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return str(root)


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    for name in (*machine.CORE_VARIABLES, "SLURM_MEM_PER_NODE", "SLURM_MEM_PER_CPU"):
        monkeypatch.delenv(name, raising=False)


V2 = "sys/fs/cgroup/"
V1 = "sys/fs/cgroup/memory/"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({V2 + "memory.max": "max\n", V2 + "memory.current": "100\n"}, None),
        ({V2 + "memory.max": "1100\n", V2 + "memory.current": "100\n"}, 1000),
        ({V2 + "memory.max": "100\n", V2 + "memory.current": "1100\n"}, 0),
        # SLURM's limit stands above the step's own group, Kubernetes' in it.
        ({V2 + "a/memory.max": "500\n", V2 + "a/memory.current": "100\n"}, 400),
        ({V2 + "a/b/memory.max": "500\n", V2 + "a/b/memory.current": "200\n"}, 300),
        (
            {
                V2 + "a/memory.max": "500\n", V2 + "a/memory.current": "450\n",
                V2 + "a/b/memory.max": "900\n", V2 + "a/b/memory.current": "200\n",
            },
            50,
        ),
        (
            {
                V2 + "a/b/memory.max": "500\n", V2 + "a/b/memory.current": "400\n",
                V2 + "a/b/memory.stat": "anon 10\ninactive_file 300\n",
            },
            400,
        ),
        (
            {
                V2 + "a/b/memory.max": "500\n", V2 + "a/b/memory.high": "400\n",
                V2 + "a/b/memory.current": "100\n",
            },
            300,
        ),
        ({V2 + "other/memory.max": "5\n", V2 + "other/memory.current": "1\n"}, None),
    ],
)  # fmt: skip
def test_memory_of_version_2(tmp_path, files, expected):
    root = make(tmp_path, {"proc/self/cgroup": "0::/a/b\n", V2 + "a/b/cgroup.procs": "", **files})
    available = machine.available_host_bytes(root)
    if expected is None:
        assert available > 10 * 2**20
    else:
        assert available == expected


def test_memory_of_version_1(tmp_path):
    root = make(
        tmp_path,
        {
            "proc/self/cgroup": "5:cpu,cpuacct:/x\n4:memory:/slurm/job/step\n0::/\n",
            V1 + "slurm/job/memory.limit_in_bytes": "700\n",
            V1 + "slurm/job/memory.usage_in_bytes": "600\n",
            V1 + "slurm/job/memory.stat": "inactive_file 1\ntotal_inactive_file 50\n",
            V1 + "memory.limit_in_bytes": "9223372036854771712\n",
            V1 + "memory.usage_in_bytes": "5000\n",
        },
    )
    assert machine.available_host_bytes(root) == 150


def test_without_groups_the_machine_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=123))
    assert machine.available_host_bytes(str(tmp_path)) == 123


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"proc/self/cgroup": "0::/a/b\n", V2 + "a/cpu.max": "200000 100000\n"}, 2),
        ({"proc/self/cgroup": "0::/a/b\n", V2 + "a/cpu.max": "150000 100000\n"}, 2),
        ({"proc/self/cgroup": "0::/a/b\n", V2 + "a/cpu.max": "1000 100000\n"}, 1),
        ({"proc/self/cgroup": "0::/a/b\n", V2 + "a/cpu.max": "max 100000\n"}, 64),
        ({"proc/self/cgroup": "0::/../..\n", V2 + "cpu.max": "300000 100000\n"}, 3),
        (
            {
                "proc/self/cgroup": "5:cpu,cpuacct:/x\n",
                "sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us": "400000\n",
                "sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us": "100000\n",
            },
            4,
        ),
        (
            {
                "proc/self/cgroup": "5:cpu:/x\n",
                "sys/fs/cgroup/cpu/x/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/x/cpu.cfs_period_us": "100000\n",
            },
            64,
        ),
        ({}, 64),
    ],
)
def test_cores(tmp_path, monkeypatch, files, expected):
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    assert machine.num_cores(make(tmp_path, files)) == expected


def test_a_process_may_have_fewer_cores_than_its_group(tmp_path, monkeypatch):
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: {5}, raising=False)
    files = {"proc/self/cgroup": "0::/\n", V2 + "cpu.max": "800000 100000\n"}
    assert machine.num_cores(make(tmp_path, files)) == 1


def test_peak_is_at_least_what_is_resident_now():
    assert machine.peak_so_far_bytes() >= 0.9 * psutil.Process().memory_info().rss


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"OMP_NUM_THREADS": "4"}, ("OMP_NUM_THREADS", 4)),
        ({"OMP_NUM_THREADS": "4,2"}, ("OMP_NUM_THREADS", 4)),
        ({"OMP_NUM_THREADS": "8", "SLURM_CPUS_PER_TASK": "3"}, ("SLURM_CPUS_PER_TASK", 3)),
        ({"PBS_NCPUS": "5"}, ("PBS_NCPUS", 5)),
        ({"NSLOTS": "6", "OMP_NUM_THREADS": ""}, ("NSLOTS", 6)),
        ({"OMP_NUM_THREADS": "0", "NSLOTS": "many"}, ("affinity", 64)),
        ({"SLURM_CPUS_PER_TASK": "128"}, ("affinity", 64)),
    ],
)
def test_variables_of_batch_systems_limit_the_cores(tmp_path, monkeypatch, variables, expected):
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    limits = machine.core_limits(str(tmp_path))
    assert min(limits.items(), key=lambda item: item[1]) == expected
    assert machine.num_cores(str(tmp_path)) == expected[1]


def test_memory_that_slurm_gives_but_does_not_enforce(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_MEM_PER_CPU", "512")
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "4")
    used = psutil.Process().memory_info().rss
    left = machine.memory_limits(str(tmp_path))["SLURM_MEM_PER_CPU"]
    assert left == pytest.approx(max(0, (2048 << 20) - used), abs=64 << 20)
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "1")
    assert machine.available_host_bytes(str(tmp_path)) == 0, "the process has taken it already"


def test_a_pod_with_a_limit_within_a_node_with_another(tmp_path):
    files = {
        "proc/self/cgroup": "0::/\n",
        V2 + "cpu.max": "250000 100000\n",
        V2 + "memory.max": "4000\n",
        V2 + "memory.current": "1000\n",
        V2 + "memory.stat": "anon 700\ninactive_file 200\n",
    }
    root = make(tmp_path, files)
    assert machine.core_limits(root)["control group"] == 3
    assert machine.memory_limits(root)["control group"] == 3200
