"""Section 8 of FORMAT.md: the seal."""

import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any

from jaxslice.core.errors import ChecksumError, FormatError
from jaxslice.reference.checks import field, require


def read_seal(group: Any, arrays: Sequence[Any]) -> list[list[bytes]]:
    """The layers of each array, after the metadata and the root were checked.

    Args:
      group: the group's `zarr.json`.
      arrays: the `zarr.json` of each array, in the order of the multiscales.
    """
    attributes = field(group, "attributes", dict)
    own = dict(field(attributes, "jaxslice", dict))
    multiscales = field(field(attributes, "ome", dict), "multiscales", list)
    seal = field(own, "seal", dict)
    del own["seal"]
    covered = {"arrays": list(arrays), "jaxslice": own, "multiscales": multiscales}
    metadata = _digest(field(seal, "metadata", str))
    same = hashlib.sha256(_canonical(covered)).digest() == metadata
    require(same, "Got metadata that are not those that were sealed.", ChecksumError)
    layers = field(seal, "layers", list)
    require(all(type(array) is list for array in layers), "Got layers that are no lists.")
    layers = [[_digest(layer) for layer in array] for array in layers]
    root = hashlib.sha256(metadata + b"".join(b"".join(array) for array in layers)).hexdigest()
    require(field(seal, "root", str) == root, "Got a seal with another root.", ChecksumError)
    return layers


def layer_of(payloads: Sequence[bytes]) -> bytes:
    """The digest of a layer, from its payloads in y, x order."""
    leaves = [hashlib.sha256(payload).digest() for payload in payloads]
    return hashlib.sha256(b"".join(leaves)).digest()


def _digest(text: Any) -> bytes:
    good = type(text) is str and re.fullmatch("[0-9a-f]{64}", text)
    require(good, f"Got the digest {text!r}, expected 64 hex digits.")
    return bytes.fromhex(text)


def _canonical(value: Any) -> bytes:
    try:
        return json.dumps(
            value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        ).encode()
    except ValueError as error:
        raise FormatError(f"Got metadata that are no JSON ({error!r}).") from None
