"""Options for XLA's compiler. None of them changes a result."""

from __future__ import annotations

import functools

import jax

_ON_CPU = {
    # Steps are too small to share among threads: each program keeps to one thread, and other
    # threads run other blocks.
    "xla_cpu_multi_thread_eigen": False,
    # By default XLA uses half of the vectors' width.
    "xla_cpu_prefer_vector_width": 512,
    # This pass would split kernels among threads that have blocks of their own to run.
    "xla_disable_hlo_passes": "cpu-parallel-task-assigner",
}


@functools.cache
def compiler_options(platform: str) -> dict[str, bool | int | str]:
    """Options for programs that run on one core, or on an accelerator.

    Options that this release of XLA does not know are left out: archives decode without them.

    Args:
      platform: of the device, as JAX names it.
    """
    requested = _ON_CPU if platform == "cpu" else {}
    return {name: value for name, value in requested.items() if _is_known(name, value)}


def _is_known(name: str, value: bool | int | str) -> bool:
    try:
        jax.jit(lambda: 0, compiler_options={name: value}).lower().compile()
    except Exception:  # whichever kind of error XLA chooses
        return False
    return True
