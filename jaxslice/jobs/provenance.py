"""What an archive keeps of how it was made."""

from __future__ import annotations

import importlib.metadata
from typing import Any

from jaxslice.archive.store import BLOCKS_BYTES
from jaxslice.jobs.base_network import BaseNetwork
from jaxslice.jobs.encoding import EncodeStats
from jaxslice.jobs.plan import Plan
from jaxslice.jobs.second_engine import second_engine
from jaxslice.volumes.source import Source

SECOND_ENGINE = "second_engine"
"""Field of the provenance: what also decoded every block before it was written."""

REPORTED = (
    "effort", "model", "adaptation_gain_bits_per_voxel", "tuning_gain_bits_per_voxel",
    "own_networks", "own_networks_bytes",
)  # fmt: skip
"""Fields of an archive's provenance that the report repeats."""


def complete_provenance(
    provenance: dict[str, Any], stats: EncodeStats, missing_chunks: int
) -> None:
    """Adds what is known only when all blocks of a scale are there."""
    provenance["missing_chunks"] = missing_chunks
    provenance[BLOCKS_BYTES] = stats.payload_bytes
    provenance["own_networks"] = stats.block_networks
    provenance["own_networks_bytes"] = stats.block_networks_bytes


def provenance_of(
    source: Source, planned: Plan, base: BaseNetwork, traces: dict[str, Any]
) -> dict[str, Any]:
    """What an archive keeps of how it was made."""
    return {
        "software": f"jaxslice {importlib.metadata.version('jaxslice')}",
        "source": source.description,
        "source_format": {**_recorded(source), **traces},
        "missing": planned.options.missing,
        "effort": planned.options.effort,
        "context": planned.options.context,
        "seed": planned.options.seed,
        **second_engine_of(planned),
        **base.provenance,
        BLOCKS_BYTES: 0,
    }


def second_engine_of(planned: Plan) -> dict[str, str]:
    """Which engine decodes every block beside the one that encodes, if that is requested."""
    options = planned.options
    if not options.paranoid:
        return {}
    return {SECOND_ENGINE: second_engine(options.engine, planned.architecture)}


def _recorded(source: Source) -> dict[str, Any]:
    """What an archive keeps of its source's format."""
    details = source.details.to_json()
    names = ("format", "encoding", "lossy", "scale", "dataset", "selected", "chunk_shape")
    return {name: details[name] for name in names if name in details}
