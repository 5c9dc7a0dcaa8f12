"""Starts JAX for a command."""

from __future__ import annotations

import os

from jaxslice.core.errors import DeviceError


def start_backend(engine: str = "xla", *, keep_programs: bool = True) -> None:
    """Starts JAX if the engine needs it, so that a device that cannot be used is found out first.

    Args:
      engine: what runs the march.
      keep_programs: keep compiled programs in the user's cache folder, which processes can share.

    Raises:
      DeviceError: JAX finds no device of the requested kind.
    """
    from jaxslice.codec.engines.interface import engine_named

    if engine_named(engine).name == "native":
        return
    import jax

    if keep_programs:
        folder = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
        if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
            jax.config.update("jax_compilation_cache_dir", os.path.join(folder, "jaxslice", "xla"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.05)
    try:
        jax.devices()
    except RuntimeError as error:
        platforms = os.environ.get("JAX_PLATFORMS")
        requested = f" with JAX_PLATFORMS={platforms}" if platforms else ""
        raise DeviceError(f"Cannot start JAX{requested}: {error}") from None
