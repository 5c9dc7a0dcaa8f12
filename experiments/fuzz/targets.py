"""All targets that are written in Python, by name."""

from __future__ import annotations

from fuzz import archives, decoder, metadata, notes, places, readers, server, zarr_path
from fuzz.target import Target

TARGETS: dict[str, Target] = {
    target.name: target
    for module in (archives, decoder, metadata, notes, places, readers, server, zarr_path)
    for target in module.TARGETS
}
