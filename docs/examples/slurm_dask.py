"""Starts a Dask cluster on SLURM and compresses a volume on it: slurm_dask.py SOURCE ARCHIVE."""

import subprocess
import sys

from dask_jobqueue import SLURMCluster

NODES, CORES = 16, 16


def main(source: str, archive: str) -> int:
    cluster = SLURMCluster(
        cores=CORES,
        processes=1,
        memory=f"{2 * CORES} GB",
        walltime="04:00:00",
        # A worker that is about to be ended takes no more tasks.
        worker_extra_args=["--lifetime", "225m", "--lifetime-stagger", "5m"],
    )
    cluster.adapt(minimum_jobs=1, maximum_jobs=NODES)
    with cluster:
        scheduler = f"--dask_scheduler={cluster.scheduler_address}"
        command = ["jaxslice", "compress", source, archive, "--executor=dask", scheduler]
        return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
