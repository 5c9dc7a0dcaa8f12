"""A second engine for `--paranoid`: it decodes each block before that is written.

Engines share the format and little else: one is C, one is compiled by XLA. A fault of one of them,
or of the compiler behind it, does not pass the other.
"""

from __future__ import annotations

from jaxslice.codec.engines.interface import engine_named
from jaxslice.codec.linear import LinearArchitecture
from jaxslice.codec.network import AnyArchitecture
from jaxslice.core.errors import UsageError

_OTHERS = {"native": ("xla",), "xla": ("native", "pallas"), "pallas": ("native", "xla")}
"""For each engine the others, the best first."""


def second_engine(engine: str, architecture: AnyArchitecture) -> str:
    """The name of an engine other than the one that encodes, which can decode the same blocks.

    Args:
      engine: that encodes.
      architecture: of the archive. The Pallas kernel decodes networks for 8-bit voxels alone.

    Raises:
      UsageError: no other engine can run here.
    """
    first = engine_named(engine).name
    has_kernel = not isinstance(architecture, LinearArchitecture) and not architecture.is_wide
    for name in _OTHERS[first]:
        if name == "pallas" and not has_kernel:
            continue
        try:
            return engine_named(name).name
        except UsageError:
            continue
    raise UsageError(
        f"Got paranoid with the engine {first!r} alone, expected another engine to compare with: "
        "build the native one with `python -m jaxslice.native.build`."
    )
