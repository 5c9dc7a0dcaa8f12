"""The identity of an array: the same for the same run, different for any other."""

import hashlib
import json

from jaxslice.archive.metadata import Metadata
from jaxslice.codec.place import IDENTITY_BYTES


def identity_of(described: Metadata, path: str) -> bytes:
    """The identity of an array: the first bytes of a SHA-256 over all that a run is.

    Args:
      described: what the archive says: shapes, data type, network, placement and provenance.
      path: of the array in the archive.

    Returns:
      8 bytes. The same run gives the same bytes, and another source, option or array gives others.
    """
    configuration = described.configuration
    run = {
        "path": path,
        "shape": described.shape,
        "data_type": described.data_type,
        "block_shape": described.block_shape,
        "architecture": configuration.architecture.to_json(),
        "network": configuration.packed_network.hex(),
        "voxel_size_nm": described.placement.voxel_size_nm,
        "offset_voxels": described.placement.offset_voxels,
        "provenance": described.provenance,
    }
    text = json.dumps(run, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).digest()[:IDENTITY_BYTES]
