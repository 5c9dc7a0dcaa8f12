"""The start-up probes that an archive needs: of its kind of predictor and of its voxels."""

from __future__ import annotations

from jaxslice.codec import linear_probe, probe, wide_probe
from jaxslice.codec.engines.interface import AUTO
from jaxslice.codec.linear import LinearArchitecture
from jaxslice.codec.network import AnyArchitecture


def check_devices(architecture: AnyArchitecture, engine: str = AUTO) -> None:
    """Runs them on every device of an engine, once per device, engine and process.

    Raises:
      DeviceError: a device's results differ.
      UsageError: the engine cannot be used.
    """
    probe.check_devices(engine)
    if isinstance(architecture, LinearArchitecture):
        linear_probe.check_devices(engine)
    if architecture.is_wide:
        wide_probe.check_devices(engine)
