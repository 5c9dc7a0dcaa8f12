"""The seal of an archive: digests of its metadata and of all payloads (FORMAT.md, section 8).

Who writes an archive gives the leaf of each payload to a `Leaves`, in any order, and hands that to
`create_archive`. Who reads whole layers does the same and compares the layers with the seal's.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import threading
from collections.abc import Iterable, Sequence
from typing import Any

from jaxslice.core.box import Triple
from jaxslice.core.errors import FormatError
from jaxslice.core.shorten import short_repr

NOT_SEALED = "not sealed"
"""What `info` and `verify` say instead of a root."""

_DIGEST = re.compile("[0-9a-f]{64}")


def leaf_of(payload: bytes) -> bytes:
    """The leaf of a block: the SHA-256 of its payload."""
    return hashlib.sha256(payload).digest()


def layer_of(leaves: Iterable[bytes]) -> bytes:
    """The digest of a layer, from the leaves of all its blocks, x fastest."""
    return hashlib.sha256(b"".join(leaves)).digest()


class Leaves:
    """The leaves of one array's blocks; layers that are complete keep 32 bytes. Safe for threads.

    An array that grows along z begins with the layers that it has: `Leaves(grid, done=layers)`.
    """

    def __init__(self, grid_shape: Triple, done: Sequence[bytes] = ()) -> None:
        """Without leaves.

        Args:
          grid_shape: blocks along z, y and x.
          done: the first layers, which get no leaves any more.
        """
        self._grid_shape = grid_shape
        self._layers: dict[int, bytes] = dict(enumerate(done))
        self._leaves: dict[int, dict[Triple, bytes]] = {}
        self._lock = threading.Lock()

    def add(self, index: Triple, leaf: bytes) -> None:
        """Takes the leaf of a block, once for each block, in any order."""
        depth, height, width = self._grid_shape
        assert 0 <= index[0] < depth, "the grid has no such layer"
        assert index[0] not in self._layers, "the layer is complete"
        with self._lock:
            layer = self._leaves.setdefault(index[0], {})
            layer[index] = leaf
            if len(layer) == height * width:
                del self._leaves[index[0]]
                self._layers[index[0]] = layer_of(layer[key] for key in sorted(layer))

    def add_all(self, leaves: Iterable[tuple[Triple, bytes]]) -> None:
        """Takes the leaves of several blocks."""
        for index, leaf in leaves:
            self.add(index, leaf)

    def complete(self) -> dict[int, bytes]:
        """The layers that are complete, by z index."""
        with self._lock:
            return dict(self._layers)

    def layers(self) -> list[bytes]:
        """All layers in ascending z. Every leaf must be there."""
        found = self.complete()
        assert len(found) == self._grid_shape[0], "every block adds its leaf"
        return [found[z] for z in range(self._grid_shape[0])]


@dataclasses.dataclass(frozen=True)
class Seal:
    """The seal of an archive.

    Attributes:
      metadata: digest of the metadata, from `metadata_digest`.
      layers: of each array, in the order of the multiscales: the digests of its layers.
    """

    metadata: bytes
    layers: tuple[tuple[bytes, ...], ...]

    @property
    def root(self) -> str:
        """What identifies the archive in a line: the digest of all other digests, in hex."""
        parts = [self.metadata, *(layer for array in self.layers for layer in array)]
        return hashlib.sha256(b"".join(parts)).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """The JSON object of FORMAT.md, section 8."""
        layers = [[layer.hex() for layer in array] for array in self.layers]
        return {"metadata": self.metadata.hex(), "layers": layers, "root": self.root}

    @classmethod
    def from_json(cls, value: Any) -> Seal:
        """Reads the JSON object.

        Raises:
          FormatError: it is no seal, or its root is not that of its digests.
        """
        if not isinstance(value, dict) or not isinstance(value.get("layers"), list):
            raise FormatError(f"Got the seal {short_repr(value)}, expected an object with layers.")
        layers = []
        for array in value["layers"]:
            if not isinstance(array, list):
                raise FormatError(f"Got the layers {short_repr(array)}, expected a list.")
            layers.append(tuple(_digest(layer) for layer in array))
        seal = cls(_digest(value.get("metadata")), tuple(layers))
        if value.get("root") != seal.root:
            raise FormatError("Got a seal whose root is not that of its digests: damaged.")
        return seal


def metadata_digest(group: dict[str, Any], arrays: Sequence[dict[str, Any]]) -> bytes:
    """The digest of an archive's metadata.

    Args:
      group: the `zarr.json` of the group; the seal in it is left out.
      arrays: the `zarr.json` of each array, in the order of the multiscales.

    Raises:
      FormatError: a number is not finite.
    """
    attributes = group["attributes"]
    own = {key: value for key, value in attributes["jaxslice"].items() if key != "seal"}
    multiscales = attributes["ome"]["multiscales"]
    covered = {"arrays": list(arrays), "jaxslice": own, "multiscales": multiscales}
    return hashlib.sha256(canonical(covered)).digest()


def canonical(value: Any) -> bytes:
    """Canonical JSON: sorted keys, no white space, UTF-8.

    Raises:
      FormatError: a number is not finite, or a text has no UTF-8.
    """
    try:
        return json.dumps(
            value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        ).encode()
    except ValueError as error:
        raise FormatError(f"Got metadata that are no JSON: {short_repr(error)}.") from None


def _digest(value: Any) -> bytes:
    if not isinstance(value, str) or not _DIGEST.fullmatch(value):
        raise FormatError(f"Got the digest {short_repr(value)}, expected 64 hex digits.")
    return bytes.fromhex(value)
