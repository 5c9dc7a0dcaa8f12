"""What XLA's compiler is asked for beyond its defaults. Nothing here changes a result."""

from __future__ import annotations

import functools
import os

import jax

FUSED_DECODE = "JAXSLICE_FUSED_DECODE"
"""Environment variable: 1 decodes by the one kernel of `fused`, where there is one. It never ran on
the devices that it is written for, so it is no default. Read when a program is made: what a process
has compiled already stays as it is."""

_ON_CPU = {
    # Threads of its own only get in the way of steps this small: each program keeps to one thread,
    # and other threads run other blocks.
    "xla_cpu_multi_thread_eigen": False,
    # 6 % faster encoding and 7 % faster decoding where there are such vectors (Zen 4, JAX 0.10).
    "xla_cpu_prefer_vector_width": 512,
    # Would cut kernels in pieces for threads that have blocks of their own to run: up to twice as
    # slow a decoding where all cores are busy.
    "xla_disable_hlo_passes": "cpu-parallel-task-assigner",
}


@functools.cache
def compiler_options(platform: str) -> dict[str, bool | int | str]:
    """Options for programs that run on one core, or on an accelerator.

    Those that this release of XLA does not know are left away: an archive must decode without them.

    Args:
      platform: of the device, as JAX names it.
    """
    wanted = _ON_CPU if platform == "cpu" else {}
    return {name: value for name, value in wanted.items() if _is_known(name, value)}


def is_fused_decode_asked() -> bool:
    """Whether the environment asks for decoding by one kernel."""
    return os.environ.get(FUSED_DECODE) == "1"


def _is_known(name: str, value: bool | int | str) -> bool:
    try:
        jax.jit(lambda: 0, compiler_options={name: value}).lower().compile()
    except Exception:  # whichever kind of error XLA chooses
        return False
    return True
