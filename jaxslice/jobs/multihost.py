"""Several processes of JAX, such as the hosts of a TPU pod: each codes its own part."""

from __future__ import annotations

from jaxslice.core.errors import DeviceError
from jaxslice.jobs.job_shard import JobShard

_SHUTDOWN_SECONDS = 24 * 3600
"""That a process waits at its end for those that have more to do."""


def start_process(
    coordinator: str | None = None, shard: JobShard | None = None, wait_seconds: int = 300
) -> JobShard | None:
    """Connects this process with the others. To be called before JAX starts in any other way.

    Only its devices start together: the processes agree on their work by notes of the archive, as
    job shards do.

    Args:
      coordinator: HOST:PORT of the first process; None where the cluster tells JAX itself, as TPU
        pods and SLURM do.
      shard: number of this process, and how many there are; None where the cluster tells.
      wait_seconds: for the others.

    Returns:
      The part of this process; None if it is alone.

    Raises:
      DeviceError: the others are not there, or the cluster does not tell.
    """
    import jax

    try:
        jax.distributed.initialize(
            coordinator,
            shard.count if shard else None,
            shard.index if shard else None,
            initialization_timeout=wait_seconds,
            shutdown_timeout_seconds=_SHUTDOWN_SECONDS,
        )
    except (RuntimeError, ValueError) as error:
        raise DeviceError(f"Cannot connect the processes of JAX: {error}") from None
    count = jax.process_count()
    return JobShard(jax.process_index(), count, "JAX") if count > 1 else None
