"""The `zarr.json` documents of archives.

An input of one document is an array in a group that is sound: the metadata parser and the reference
must both take it, or both refuse. One of several is a group and its arrays: what the parser takes
the reference must take too, which does not look at all of the group.
"""

from __future__ import annotations

import json

from fuzz.target import REFUSALS, SEPARATOR, Target, scratch, unpack_network
from jaxslice.archive.keys import KIND
from jaxslice.archive.metadata import parse
from jaxslice.core.errors import FormatError
from jaxslice.reference import archive as reference

_GROUP = {
    "zarr_format": 3,
    "node_type": "group",
    "attributes": {
        "ome": {
            "version": "0.5",
            "multiscales": [
                {
                    "axes": [{"name": axis} for axis in "zyx"],
                    "datasets": [
                        {
                            "path": "0",
                            "coordinateTransformations": [{"type": "scale", "scale": [4, 4, 4]}],
                        }
                    ],
                }
            ],
        },
        "jaxslice": {"offset_voxels": [0, 0, 0]},
    },
}
GROUP = json.dumps(_GROUP).encode()

_FOLDER = scratch()


def check(data: bytes) -> None:
    """Parses the documents twice."""
    group, *arrays = data.split(SEPARATOR)
    alone = not arrays
    if alone:
        group, arrays = GROUP, [group]
    KIND.own_keys(group)
    taken = _is_taken(group, arrays)
    if not taken and not alone:
        return
    referred = _is_referred(group, arrays)
    assert not taken or referred, "the parser took what the reference refuses"
    # A sealed array needs its group.
    assert taken or not referred, "the reference took what the parser refuses"


def _is_taken(group: bytes, arrays: list[bytes]) -> bool:
    try:
        for scale in parse(group, *arrays):
            unpack_network(scale.configuration)
    except REFUSALS:
        return False
    return True


def _is_referred(group: bytes, arrays: list[bytes]) -> bool:
    (_FOLDER / "zarr.json").write_bytes(group)
    paths = [
        d["path"] for d in json.loads(group)["attributes"]["ome"]["multiscales"][0]["datasets"]
    ]
    for path, array in zip(paths, arrays, strict=True):
        (_FOLDER / path).mkdir(exist_ok=True)
        (_FOLDER / path / "zarr.json").write_bytes(array)
    try:
        for path in paths:
            reference._read_array(_FOLDER / path)
    except FormatError:
        return False
    return True


TARGETS = (Target("metadata", check, has_json=True),)
