"""Changes JSON as documents: the fuzzer would rarely make a document of another by its bytes."""

from __future__ import annotations

import base64
import copy
import json
import random
from typing import Any

from fuzz.target import SEPARATOR

STRANGE: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 255, 65536, 2**31, -(2**31), 2**53 + 1, 2**63, 2**64, 10**400,
    0.0, -0.5, 1.5, 1e308, 5e-324, "", "0", "a", "é", "\ud800", "..", "../x", "/", "jaxslice", [],
    {}, [0], [[]], [1, 1, 1], {"a": 1}, "A" * 5000,
)  # fmt: skip
"""Values that fields may be replaced by."""

_RAW = (b"NaN", b"Infinity", b"1e999", b"\xff", b"\xef\xbb\xbf", b"[" * 3000, b'{"a":' * 200)
"""What JSON does not have, or not everywhere."""


def mutated(data: bytes, seed: int) -> bytes:
    """Changes one of the documents of an input; other inputs come back as they are.

    Args:
      data: documents, with separators between them.
      seed: of all choices.
    """
    rng = random.Random(seed)
    parts = data.split(SEPARATOR)
    places = list(range(len(parts)))
    rng.shuffle(places)
    for place in places:
        try:
            document = json.loads(parts[place])
        except (ValueError, RecursionError):
            continue
        if isinstance(document, dict | list):
            parts[place] = _dumped(_changed(document, rng), rng)
            return SEPARATOR.join(parts)
    return data


def _changed(document: Any, rng: random.Random) -> Any:
    holder = {"root": document}
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        spots = _spots(holder)
        parent, key = rng.choice(spots)
        action, value = rng.randrange(6), parent[key]
        if action == 0 and parent is not holder:
            del parent[key]
        elif action == 1:
            other, other_key = rng.choice(spots)
            parent[key] = json.loads(json.dumps(other[other_key]))
        elif isinstance(value, bool | None) or action == 2:
            parent[key] = copy.deepcopy(rng.choice(STRANGE))
        else:
            parent[key] = _near(copy.deepcopy(value), rng)
    return holder["root"]


def _spots(document: Any) -> list[tuple[Any, Any]]:
    """Every value of a document, as its holder and its key there."""
    found, rest = [], [document]
    while rest:
        value = rest.pop()
        keys = list(value) if isinstance(value, dict) else range(len(value))
        found += [(value, key) for key in keys]
        rest += [value[key] for key in keys if isinstance(value[key], dict | list)]
    return found


def _near(value: Any, rng: random.Random) -> Any:
    """A value much like another."""
    if isinstance(value, int | float):
        return rng.choice(
            (value + 1, value - 1, -value, value / 2 if abs(value) < 2**60 else 1, str(value))
        )
    if isinstance(value, list):
        return rng.choice((value + value[:1], value[:-1], value[::-1], [value], value * 3))
    if isinstance(value, dict):
        return rng.choice(({**value, "x": 1}, [value], {k: [v] for k, v in value.items()}))
    if len(value) > 40:
        return _other_base64(value, rng)
    return rng.choice((value + "x", value[:-1], value.upper(), f"{value}/{value}", [value]))


def _other_base64(text: str, rng: random.Random) -> str:
    try:
        data = bytearray(base64.b64decode(text, validate=True))
    except ValueError:
        return text[1:]
    if not data:
        return "=="
    for _ in range(rng.choice((1, 1, 3))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    kept = bytes(data)[: rng.randrange(len(data))] if rng.randrange(8) == 0 else bytes(data)
    return base64.b64encode(kept).decode()


def _dumped(document: Any, rng: random.Random) -> bytes:
    # Half a pair of surrogates stays an escape, which JSON allows.
    data = json.dumps(document).encode()
    if rng.randrange(30) == 0 and data:
        place = rng.randrange(len(data))
        data = data[:place] + rng.choice(_RAW) + data[place:]
    return data
