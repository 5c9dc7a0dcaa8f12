"""The Pallas engine: a decoder that is one Pallas kernel, and the encoder of the XLA engine.

The kernel is not tested on GPUs, so it is used only when it is requested.
"""

from __future__ import annotations

import functools
from typing import Any

from jaxslice.codec.engines.pallas import decoder
from jaxslice.codec.engines.xla import XlaEngine, compiled
from jaxslice.codec.geometry import Geometry
from jaxslice.codec.linear import LinearArchitecture
from jaxslice.codec.network import AnyArchitecture
from jaxslice.core.errors import UsageError


class PallasEngine(XlaEngine):
    """See `interface.Engine`. On a CPU Pallas interprets the kernel, slowly."""

    name = "pallas"

    def decoder_program(
        self, geometry: Geometry, architecture: AnyArchitecture, block_networks: bool, platform: str
    ) -> Any:
        """The compiled kernel; of linear predictors the decoder of the XLA engine.

        Raises:
          UsageError: the kernel does not support these blocks or this platform.
        """
        if isinstance(architecture, LinearArchitecture):
            return super().decoder_program(geometry, architecture, block_networks, platform)
        return decoder_program(geometry, architecture, block_networks, platform)


ENGINE = PallasEngine()


@functools.lru_cache(maxsize=32)
def decoder_program(
    geometry: Geometry, architecture: AnyArchitecture, block_networks: bool, platform: str
) -> Any:
    """The jitted kernel. Raises UsageError if it does not support the geometry or platform."""
    if architecture.is_wide:
        raise UsageError(
            "Got the engine 'pallas' for 16-bit voxels, expected 8-bit ones: use 'auto' or 'xla'."
        )
    if not decoder.supports(geometry, platform):
        raise UsageError(
            f"Got the engine 'pallas' for blocks of {geometry.lanes} lanes on a {platform}, "
            f"expected at most {decoder.MAX_LANES} lanes and a GPU or CPU."
        )
    return compiled(
        decoder.decode_lanes,
        platform,
        geometry=geometry,
        architecture=architecture,
        block_networks=block_networks,
        interpret=platform == "cpu",
    )
