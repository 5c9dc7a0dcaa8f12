"""The reference decoder: FORMAT.md as slow and simple code, in NumPy and the standard library.

It shares only the errors with the rest of the package. So it can test the other decoders, and
archives stay readable without JAX. All numbers are int64.

    python -m jaxslice.reference ARRAY_FOLDER OUTPUT.npy
"""

import base64
import bisect
import itertools
import json
import math
import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxslice.core.errors import ChecksumError, FormatError, VersionError

CONSTANT, STORED, CODED = 0, 1, 2
HEADER = struct.Struct("<4B4I")


class Predictor(NamedTuple):
    """A network, its context, and whether payloads may have block networks."""

    context: np.ndarray
    activity_count: int
    fallback: int
    shear: int
    activity_offset: int
    block_networks: bool
    layers: list[tuple[np.ndarray, np.ndarray]]  # weights, biases


def _require(condition: Any, message: str, error: type[FormatError] = FormatError) -> None:
    if not condition:
        raise error(message)


def crc32c(data: bytes) -> int:
    """The Castagnoli checksum of RFC 3720."""
    table = range(256)
    for _ in range(8):
        table = [crc >> 1 ^ 0x82F63B78 * (crc & 1) for crc in table]
    crc = 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 255] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _without_crc(data: bytes, what: str) -> bytes:
    """The bytes without the CRC32C at their end, which is checked."""
    matches = struct.pack("<I", crc32c(data[:-4])) == data[-4:]
    _require(matches, f"Got {what} whose CRC32C does not match its bytes.", ChecksumError)
    return data[:-4]


def _field(value: Any, name: str, kind: type) -> Any:
    """The field `name` of a JSON object, of exactly the type `kind` (a bool is no int)."""
    found = type(value) is dict and type(value.get(name)) is kind
    _require(found, f"Got JSON without the field {name!r}, expected a {kind.__name__}.")
    return value[name]


def _integers(values: Any, low: int, high: int, sizes: Sequence[int], what: str) -> list[int]:
    good = type(values) is list and all(type(n) is int and low <= n <= high for n in values)
    _require(good and len(values) in sizes, f"Got {what} {values!r}, limits are {low} to {high}.")
    return values


def _read_configuration(configuration: Any) -> Predictor:
    version = _field(configuration, "format_version", int)
    known = version in (1, 2, 3)
    _require(known, f"Got format version {version}, expected 1 to 3.", VersionError)
    fields = _field(configuration, "architecture", dict)
    context = _field(fields, "context", list)
    context = [tuple(_integers(offset, -16, 16, [3], "offset")) for offset in context]
    size, distinct = len(context), len(set(context))
    _require(4 <= size == distinct <= 256, f"Got {size} offsets, {distinct} of them distinct.")
    newer = {"shear": 2, "activity_offset": 16}
    if version == 3:
        newer = {name: _field(fields, name, int) for name in newer}
    shear, activity_offset = newer.values()
    causal = all(dz < 0 or (dz == 0 and dx + shear * dy < 0) for dz, dy, dx in context)
    ordered = sorted(context, key=lambda offset: offset[0] < 0) == context
    _require(causal and ordered, "Got a context that is not causal, or with dz = 0 not first.")
    limits = {"activity_count": (1, min(size, 16)), "fallback": (0, size - 1), "components": (1, 8)}
    for name, limit in limits.items():
        _integers([_field(fields, name, int)], *limit, [1], name)
    _integers([shear], 2, 8, [1], "shear")
    _integers([activity_offset], 16, 4096 - 255 * fields["activity_count"], [1], "activity_offset")
    hidden = _integers(_field(fields, "hidden", list), 1, 256, range(1, 5), "hidden units")
    try:
        packed = base64.b64decode(_field(configuration, "network", str), validate=True)
    except ValueError:
        raise FormatError("Got a network that is not base64.") from None
    widths = [size + 2, *hidden, 3 * fields["components"]]
    layers = (_read_coded_network if version == 3 else _read_network)(packed, widths)
    block_networks = _field(configuration, "own_networks", bool) if version == 3 else version == 2
    return Predictor(
        np.array(context), fields["activity_count"], fields["fallback"], shear, activity_offset,
        block_networks, layers,
    )  # fmt: skip


def _read_network(packed: bytes, widths: list[int]) -> list[tuple[np.ndarray, np.ndarray]]:
    packed, layers = _without_crc(packed, "a network"), []
    for inputs, outputs in itertools.pairwise(widths):
        size = outputs * inputs
        _require(len(packed) >= size + 4 * outputs, "Got a network that is too short.")
        weights = np.frombuffer(packed, np.int8, size).astype(np.int64).reshape(outputs, inputs)
        biases = np.frombuffer(packed, "<i4", outputs, size).astype(np.int64)
        packed = packed[size + 4 * outputs :]
        layers.append((weights, biases))
    _require(not packed, "Got a network that is too long.")
    return _safe(layers)


def _read_coded_network(packed: bytes, widths: list[int]) -> list[tuple[np.ndarray, np.ndarray]]:
    shapes = [(outputs, inputs) for inputs, outputs in itertools.pairwise(widths)]
    zeros = [(np.zeros(shape, np.int64), np.zeros(shape[0], np.int64)) for shape in shapes]
    return _read_difference(_without_crc(packed, "a network"), zeros, 256)


def _safe(layers: list[tuple[np.ndarray, np.ndarray]]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns the layers. Raises FormatError if a sum could overflow."""
    for i, (weights, biases) in enumerate(layers):
        row_sums = abs(weights if i else weights[:, :-2]).sum(1)
        safe = row_sums.max() * 255 <= 2**23 and abs(weights).max() <= 127
        _require(safe and abs(biases).max() < 2**22, "Got a network whose sums could overflow.")
    return layers


def _read_difference(
    difference: bytes, base: list[tuple[np.ndarray, np.ndarray]], bias_unit: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Decodes the layers of a network from a base network and a difference (section 7)."""
    tensors = [tensor for layer in base for tensor in layer]
    records = []
    for _ in tensors:
        size = 1 if difference[:1] == b"\xff" else 3
        record, difference = difference[:size], difference[size:]
        good = len(record) == size and (size == 1 or max(record[:2]) <= 127)
        _require(good, f"Got the record {record.hex()!r} in a difference.")
        records.append(record)
    size = len(difference)
    _require(size % 4 == 0 and size >= 8, f"Got a difference's message of {size} bytes.")
    upper, lower, *tail = np.frombuffer(difference, "<u4").tolist()
    state = upper << 32 | lower
    _require(2**31 <= state < 2**63, f"Got the state {state} in a difference.")
    words, own, units = iter(tail), [], itertools.cycle([1, bias_unit])
    for tensor, record, unit in zip(tensors, records, units, strict=False):
        values = []
        if len(record) == 3:
            q, w = np.array([*record[:2]]), record[2]
            mixture = np.array([2048, 2048]), 32 * _power(q), np.array([w, 256 - w])
            table = _cumulative(np.arange(257), 256, *mixture).tolist()
            while len(values) < tensor.size:
                position = state & (2**24 - 1)
                symbol = bisect.bisect_right(table, position) - 1
                start, end = table[symbol : symbol + 2]
                state = (end - start) * (state >> 24) + position - start
                if state < 2**31:
                    word = next(words, None)
                    _require(word is not None, "Got a difference that is too short.")
                    state = state << 32 | word
                values.append(symbol - 128)
        own.append(tensor + unit * np.reshape(values or [0] * tensor.size, tensor.shape))
    ended = next(words, None) is None and state == 2**31
    _require(ended, "Got a difference that does not end where its values do.")
    return _safe(list(zip(own[::2], own[1::2], strict=True)))


def decode_block(payload: bytes, block_shape: Sequence[int], configuration: Any) -> np.ndarray:
    """Decodes one payload to a block, uint8 [z, y, x].

    Args:
      payload: the bytes of one block in the store.
      block_shape: voxels of a block along z, y and x.
      configuration: the JSON object `configuration` of the array's codec.

    Raises:
      FormatError: the payload or the configuration is damaged.
    """
    predictor = _read_configuration(configuration)
    payload = _without_crc(payload, "a payload")
    _require(len(payload) >= HEADER.size, f"Got a payload of only {len(payload)} bytes.")
    version, mode, fill, flags, *extent, block_crc = HEADER.unpack_from(payload)
    body = payload[HEADER.size :]
    latest = 2 if predictor.block_networks else 1
    known = 1 <= version <= latest
    _require(known, f"Got a payload of version {version}, expected up to {latest}.", VersionError)
    own = version == 2
    fields = mode == CODED or (mode < CODED and not own)
    _require(fields and flags == own, f"Got mode {mode}, flags {flags} in version {version}.")
    fits = all(e <= n for e, n in zip(extent, block_shape, strict=True))
    fits &= all((e == 0) == (mode == CONSTANT) for e in extent)
    _require(math.prod(block_shape) < 2**31, f"Got blocks of {block_shape}, beyond 2 GiB.")
    _require(fits, f"Got the extent {extent} in mode {mode}, for blocks of {block_shape}.")
    if own:
        length = int.from_bytes(body[:4], "little")
        _require(len(body) >= 4 + length, f"Got no difference of {length} bytes.")
        layers = _read_difference(body[4 : 4 + length], predictor.layers, 64)
        predictor = predictor._replace(layers=layers)
        body = body[4 + length :]
    if mode == CODED:
        body = _decode_body(body, extent, block_shape[2], predictor)
    _require(len(body) == math.prod(extent), f"Got {len(body)} voxels for the extent {extent}.")
    block = np.full(tuple(block_shape), fill, np.uint8)
    block[tuple(map(slice, extent))] = np.frombuffer(body, np.uint8).reshape(extent)
    _without_crc(block.tobytes() + struct.pack("<I", block_crc), "a block")
    return block


def _read_levels(body: bytes, num_slices: int) -> tuple[list[np.ndarray], bytes]:
    """The ascending levels of each slice, and the bytes after the level tables."""
    kind, bits = body[:1], np.unpackbits(np.frombuffer(body[1:], np.uint8))
    if kind == b"\0":
        return [np.arange(256)] * num_slices, body[1:]
    _require(kind in (b"\1", b"\2"), f"Got level tables of the kind {kind!r}.")
    union = np.flatnonzero(bits[:256])
    size = 256 + (num_slices * len(union) if kind == b"\2" else 0)
    _require(len(bits) >= size, "Got level tables that are too short.")
    _require(not bits[size : -(-size // 8) * 8].any(), "Got level tables with fill bits set.")
    levels = [union] * num_slices
    if kind == b"\2":
        levels = [union[mask] for mask in bits[256:size].reshape(num_slices, len(union)) != 0]
    _require(min(map(len, levels)) > 0, "Got a slice without levels.")
    return levels, body[1 + -(-size // 8) :]


def _decode_body(body: bytes, extent: list[int], width: int, predictor: Predictor) -> bytes:
    """Decodes the voxels of the extent in mode coded; `width` is that of the chunk."""
    num_z, num_y, num_x = extent
    levels, message = _read_levels(body, num_z)
    size = len(message)
    _require(size % 4 == 0 and size >= 8 * num_y, f"Got a message of {size} bytes, {num_y} lanes.")
    words = np.frombuffer(message, "<u4").astype(np.int64)
    upper, lower, tail = words[:num_y], words[num_y : 2 * num_y], words[2 * num_y :]
    states = upper << 32 | lower  # 2**63 and more read as negative
    _require(states.min() >= 2**31, "Got a state that is not within 2**31 .. 2**63 - 1.")
    offsets, shear = predictor.context, predictor.shear
    ahead = max(((dx + shear * dy) // -dz for dz, dy, dx in offsets if dz < 0), default=0)
    pitch = max(width + abs(offsets[:, 2]).max(), ahead + 1)
    # A voxel that is outside reads -1; offsets reach 16 voxels at most, and never to a later slice.
    symbols = np.full((num_z + 16, num_y + 32, num_x + 32), -1, np.int64)
    counts = np.array([len(slice_levels) for slice_levels in levels])
    lanes, taken = np.arange(num_y), 0
    for time in range((num_z - 1) * pitch + shear * (num_y - 1) + num_x):
        z, x = np.divmod(time - shear * lanes, pitch)
        y = np.flatnonzero((z >= 0) & (z < num_z) & (x < num_x))
        at = np.stack([z[y], y, x[y]]) + 16
        context = symbols[tuple(at[:, :, None] + offsets.T[:, None, :])]
        position = states[y] & (2**24 - 1)
        symbol, start, freq = _find_symbol(position, counts[z[y]], _predict(context, predictor))
        symbols[tuple(at)] = symbol
        state = freq * (states[y] >> 24) + position - start
        short = state < 2**31
        new_words = tail[taken : taken + short.sum()]
        _require(len(new_words) == short.sum(), "Got a message that is too short.")
        taken += len(new_words)
        state[short] = state[short] << 32 | new_words
        states[y] = state
    ended = taken == len(tail) and (states == 2**31).all()
    _require(ended, "Got a message that does not end where its voxels do.")
    planes = zip(levels, symbols[16:, 16:-16, 16:-16], strict=True)
    return b"".join(table[plane].astype(np.uint8).tobytes() for table, plane in planes)


def _power(q: np.ndarray) -> np.ndarray:
    return (16 + (q & 15)) << (q >> 4)


def _predict(v: np.ndarray, predictor: Predictor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predicts mean, inverse and weight [voxel, component] from contexts [voxel, context]."""
    a, b, c, d, f = (v[:, i] for i in (0, 1, 2, 3, predictor.fallback))
    f = np.where(f < 0, 128, f)
    a = np.where(a < 0, np.where(b < 0, f, b), a)
    b = np.where(b < 0, a, b)
    c = np.where(c < 0, b, c)
    d = np.where(d < 0, a, d)
    reference = ((3 * a + 3 * b + c + d) >> 3)[:, None]
    difference = np.where(v < 0, 0, v - reference)
    nearest = abs(difference[:, : predictor.activity_count])
    activity = predictor.activity_offset + nearest.sum(1, keepdims=True)
    # Activity is 2**e * (1 + r), so 32 * (2 - r) is (3 * 2**e - activity) / 2**(e - 5).
    e = sum((activity >= 2**i).astype(np.int64) for i in range(1, 13))
    loglevel = 16 * e + ((activity - (1 << e)) * 16 >> e)
    gain_64 = ((3 * (1 << e) - activity) * 32 >> e) << (16 - e)
    (first, first_bias), *further = predictor.layers
    s = np.clip(difference @ first[:, :-2].T, -(2**17 - 1), 2**17 - 1)
    total = (s * gain_64 >> 12) + first[:, -2] * (reference - 128)
    total = total + first[:, -1] * (loglevel - 112) + first_bias
    for weights, bias in further:
        total = np.clip(total >> 6, 0, 255) @ weights.T + bias
    m, t, g = np.split(total, 3, axis=1)
    moved = (np.clip(m >> 4, -32767, 32767) * activity) >> 8
    mean = np.clip(16 * reference + moved, -2048, 6143)
    t, g = (np.clip((n >> 7) + 64, 0, 127) for n in (t, g))
    inverse = np.clip(_power(t) * (gain_64 >> 6) >> 5, 1, 2**17)
    share = _power(g)
    weight = 256 * share // share.sum(1, keepdims=True)
    weight[:, -1] = 256 - weight[:, :-1].sum(1)
    return mean, inverse, weight


def _cumulative(i, n, mean, inverse, weight) -> np.ndarray:
    """C(i) of section 5, for one i [voxel] at each voxel."""
    q = ((16 * i[:, None] - 8 - mean) * inverse) >> 10
    u = np.minimum(abs(q), 2047)
    p = np.maximum(65535 - (((26214 + 20 * u) * u) >> 10), 0)
    for _ in range(3):
        p = (p * p) >> 16
    tail = p >> 1
    f = (weight * np.where(q < 0, tail, 65536 - tail)).sum(1)
    return np.select([i == 0, i == n], [0, 2**24], f - (f >> 10) + 64 * i)


def _find_symbol(position, n, mixture) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Finds symbol, start and freq [voxel] of the interval of each position, by bisection."""
    low, high = np.zeros_like(n), n
    while (high - low > 1).any():
        middle = (low + high) // 2
        reached = _cumulative(middle, n, *mixture) <= position
        low, high = np.where(reached, middle, low), np.where(reached, high, middle)
    start = _cumulative(low, n, *mixture)
    return low, start, _cumulative(high, n, *mixture) - start


def _read_metadata(folder: Path) -> tuple[list[int], list[int], dict]:
    """The array's shape, its chunk shape and the codec's configuration."""
    try:
        metadata = json.loads((folder / "zarr.json").read_bytes())
        grid, keys = metadata["chunk_grid"], metadata["chunk_key_encoding"]
        (codec,) = metadata["codecs"]
        got = [metadata[name] for name in ("zarr_format", "node_type", "data_type")]
        got += [keys.get("configuration", {}).get("separator", "/")]
        got += [grid["name"], keys["name"], codec["name"]]
        chunk_shape, configuration = grid["configuration"]["chunk_shape"], codec["configuration"]
    except (OSError, LookupError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise FormatError(f"Got no array metadata from {folder}/zarr.json ({error!r}).") from None
    expected = [3, "array", "uint8", "/", "regular", "default", "jaxslice"]
    _require(got == expected, f"Got an array with {got}, expected {expected}.")
    shape = _integers(_field(metadata, "shape", list), 1, 2**62, [3], "the shape")
    return shape, _integers(chunk_shape, 1, 2**32 - 1, [3], "the chunk shape"), configuration


def read_archive_block(array_folder: str | Path, index: Sequence[int]) -> np.ndarray:
    """Decodes the block at `index` of the chunk grid. Raises FormatError if it is missing."""
    _, chunk_shape, configuration = _read_metadata(Path(array_folder))
    try:
        payload = Path(array_folder, "c", *map(str, index)).read_bytes()
    except OSError as error:
        raise FormatError(f"Got no block {tuple(index)} ({error!r}).") from None
    return decode_block(payload, chunk_shape, configuration)


def decode_array(array_folder: str | Path, output: str | Path) -> None:
    """Decodes a local array to a new .npy file, which is incomplete after a FormatError."""
    shape, chunk_shape, _ = _read_metadata(Path(array_folder))
    _require(math.prod(shape) < 2**62, f"Got an array of the shape {shape}, larger than any disk.")
    voxels = np.lib.format.open_memmap(output, "w+", np.uint8, tuple(shape))
    for index in np.ndindex(*(-(-n // c) for n, c in zip(shape, chunk_shape, strict=True))):
        place = zip(index, chunk_shape, strict=True)
        part = voxels[tuple(slice(i * c, (i + 1) * c) for i, c in place)]
        part[...] = read_archive_block(array_folder, index)[tuple(map(slice, part.shape))]
    voxels.flush()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m jaxslice.reference ARRAY_FOLDER OUTPUT.npy")
    try:
        decode_array(sys.argv[1], sys.argv[2])
    except (FormatError, OSError) as error:
        sys.exit(f"error: {error}")
