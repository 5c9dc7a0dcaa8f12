"""Options for XLA's compiler. They change speed, not results."""

from __future__ import annotations

import functools

import jax

_ON_CPU = {
    # Time steps are too small to be distributed over threads. Each program uses one thread, and
    # other threads run other blocks.
    "xla_cpu_multi_thread_eigen": False,
    # By default XLA uses only 256 bits of vector units.
    "xla_cpu_prefer_vector_width": 512,
    # This pass would distribute kernels over threads, which are busy with other blocks.
    "xla_disable_hlo_passes": "cpu-parallel-task-assigner",
}


@functools.cache
def compiler_options(platform: str) -> dict[str, bool | int | str]:
    """Compiler options for programs that run on one core, or on an accelerator.

    Options that the installed release of XLA does not know are omitted.

    Args:
      platform: platform of the device: "cpu", "gpu", ...
    """
    requested = _ON_CPU if platform == "cpu" else {}
    return {name: value for name, value in requested.items() if _is_known(name, value)}


def _is_known(name: str, value: bool | int | str) -> bool:
    try:
        jax.jit(lambda: 0, compiler_options={name: value}).lower().compile()
    except Exception:  # the type of XLA's error differs between releases
        return False
    return True
