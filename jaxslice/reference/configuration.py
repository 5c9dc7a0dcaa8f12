"""Section 1 of FORMAT.md: the configuration of the codec, and the archive's network in it."""

import base64
import itertools
import re
from typing import Any

import numpy as np

from jaxslice.core.errors import FormatError, VersionError
from jaxslice.reference.checks import field, integers, require, without_crc
from jaxslice.reference.difference import read_difference, safe
from jaxslice.reference.linear import read_linear
from jaxslice.reference.prediction import Predictor


def read_configuration(configuration: Any) -> Predictor:
    """Reads the JSON object `configuration` of the codec."""
    version = field(configuration, "format_version", int)
    known = version in (1, 2, 3, 4)
    require(known, f"Got format version {version}, expected 1 to 4.", VersionError)
    fields = field(configuration, "architecture", dict)
    context = field(fields, "context", list)
    context = [tuple(integers(offset, -16, 16, [3], "offset")) for offset in context]
    size, distinct = len(context), len(set(context))
    require(4 <= size == distinct <= 256, f"Got {size} offsets, {distinct} of them distinct.")
    identity, kind, sealed, voxel_bits = b"", "network", version < 4, 8
    if version == 4:
        sealed = field(configuration, "sealed", bool)
        voxel_bits = field(fields, "voxel_bits", int) if "voxel_bits" in fields else 8
        require(voxel_bits in (8, 16), f"Got voxels of {voxel_bits} bits.")
        kind, digits = field(fields, "kind", str), field(configuration, "identity", str)
        known = kind in ("network", "linear")
        require(known, f"Got an architecture of the kind {kind!r}.")
        require(kind == "network" or voxel_bits == 8, "Got linear predictors of 16 bits.")
        require(re.fullmatch("[0-9a-f]{16}", digits), f"Got the identity {digits!r}.")
        identity = bytes.fromhex(digits)
    newer = {"shear": 2, "activity_offset": 16}
    if version >= 3:
        names = newer if kind == "network" else ["shear"]
        newer |= {name: field(fields, name, int) for name in names}
    shear, activity_offset = newer.values()
    causal = all(dz < 0 or (dz == 0 and dx + shear * dy < 0) for dz, dy, dx in context)
    ordered = sorted(context, key=lambda offset: offset[0] < 0) == context
    require(causal and ordered, "Got a context that is not causal, or with dz = 0 not first.")
    integers([field(fields, "fallback", int)], 0, size - 1, [1], "fallback")
    integers([shear], 2, 8, [1], "shear")
    try:
        text = field(configuration, "network", str)
        packed = base64.b64decode(text, validate=True)
    except ValueError:
        raise FormatError("Got a network that is not base64.") from None
    require(base64.b64encode(packed).decode() == text, "Got base64 with unused bits.")
    if kind == "linear":
        own = field(configuration, "own_networks", bool)
        require(not own, "Got own networks of linear predictors.")
        linear = read_linear(fields, packed, size)
        return Predictor(
            np.array(context),
            0,
            fields["fallback"],
            shear,
            0,
            own,
            [],
            version,
            identity,
            sealed,
            linear=linear,
        )
    limits = {"activity_count": (1, min(size, 16)), "components": (1, 8)}
    for name, limit in limits.items():
        integers([field(fields, name, int)], *limit, [1], name)
    integers([activity_offset], 16, 4096 - 255 * fields["activity_count"], [1], "activity_offset")
    hidden = integers(field(fields, "hidden", list), 1, 256, range(1, 5), "hidden units")
    widths = [size + 2, *hidden, 3 * fields["components"]]
    layers = (_read_coded_network if version >= 3 else _read_network)(packed, widths)
    block_networks = field(configuration, "own_networks", bool) if version >= 3 else version == 2
    return Predictor(
        np.array(context), fields["activity_count"], fields["fallback"], shear, activity_offset,
        block_networks, layers, version, identity, sealed, voxel_bits,
    )  # fmt: skip


def _read_network(packed: bytes, widths: list[int]) -> list[tuple[np.ndarray, np.ndarray]]:
    packed, layers = without_crc(packed, "a network"), []
    for inputs, outputs in itertools.pairwise(widths):
        size = outputs * inputs
        require(len(packed) >= size + 4 * outputs, "Got a network that is too short.")
        weights = np.frombuffer(packed, np.int8, size).astype(np.int64).reshape(outputs, inputs)
        biases = np.frombuffer(packed, "<i4", outputs, size).astype(np.int64)
        packed = packed[size + 4 * outputs :]
        layers.append((weights, biases))
    require(not packed, "Got a network that is too long.")
    return safe(layers)


def _read_coded_network(packed: bytes, widths: list[int]) -> list[tuple[np.ndarray, np.ndarray]]:
    shapes = [(outputs, inputs) for inputs, outputs in itertools.pairwise(widths)]
    zeros = [(np.zeros(shape, np.int64), np.zeros(shape[0], np.int64)) for shape in shapes]
    return read_difference(without_crc(packed, "a network"), zeros, 256)
