"""Counts of what a compiled program does, read from XLA's optimised HLO.

Each fusion, dot or other instruction that moves or creates data counts as one kernel, times the
known trips of the loops around it. This is a proxy for an accelerator's kernels.
"""

from __future__ import annotations

import dataclasses
import math
import re


@dataclasses.dataclass
class Counts:
    """What one computation does: kernels, bytes they touch, and operations."""

    kernels: float = 0
    bytes: float = 0
    dots: float = 0
    others: float = 0

    def add(self, other: Counts, times: float = 1) -> None:
        """Adds another computation that runs so many times."""
        self.kernels += times * other.kernels
        self.bytes += times * other.bytes
        self.dots += times * other.dots
        self.others += times * other.others


_SIZES = {"pred": 1, "s8": 1, "u8": 1, "s16": 2, "bf16": 2, "s32": 4, "u32": 4, "f32": 4,
          "s64": 8, "u64": 8}  # fmt: skip
_FREE = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all"}
_MOVES = {"broadcast", "reshape", "slice", "concatenate", "transpose", "copy", "iota", "pad",
          "dynamic-slice", "dynamic-update-slice", "gather", "convert",
          "bitcast-convert"}  # fmt: skip
_LINE = re.compile(r"^\s+(?:ROOT )?%(\S+) = (\(.*?\)|\S+) ([a-z][\w-]*)\((.*)$")


def parse(text: str) -> dict[str, list[tuple[str, str, str, str]]]:
    """Computations of an HLO module: name, type, operation and rest of each instruction."""
    computations: dict[str, list[tuple[str, str, str, str]]] = {}
    lines: list[tuple[str, str, str, str]] = []
    for line in text.splitlines():
        line = re.sub(r"/\*index=\d+\*/", "", line)
        if opened := re.match(r"^(?:ENTRY )?%(\S+) \(.*\{$", line):
            lines = computations.setdefault(opened.group(1), [])
        elif found := _LINE.match(line):
            lines.append(found.groups())  # type: ignore[arg-type]
    return computations


def elements(kind: str) -> list[tuple[int, int]]:
    """(elements, bytes of each) of the arrays of a type."""
    found = re.findall(r"(\w+)\[([\d,]*)\]", kind)
    return [(math.prod(int(n) for n in d.split(",") if n), _SIZES[t]) for t, d in found
            if t in _SIZES]  # fmt: skip


def count(computations: dict, name: str, whole: int, inside: bool = False) -> Counts:
    """What one run of a computation does, loops by their known trips; unknown ones once.

    Args:
      computations: from `parse`.
      name: of the computation.
      whole: elements from which on an array is one of the whole block, of which a kernel touches
        only a part; its bytes are left out.
      inside: whether it is the inside of a kernel, which counts as no kernel of its own.
    """
    total = Counts()
    types = {each: kind for each, kind, _, _ in computations[name]}
    for _, kind, operation, rest in computations[name]:
        if operation == "while":
            (body,) = re.findall(r"body=%([\w.-]+)", rest)
            trips = re.search(r'known_trip_count":\{"n":"(\d+)"', rest)
            part = count(computations, body, whole)
            total.add(part, int(trips.group(1)) if trips else 1)
            continue
        if operation in _FREE:
            continue
        called = re.search(r"(?:calls|to_apply)=%([\w.-]+)", rest)
        operands = re.findall(r"%([\w.-]+)", rest.split("), ")[0])
        if not inside:
            total.kernels += 1
            inner = computations.get(called.group(1), []) if called else []
            for place, each in enumerate(operands):
                sliced = slices_of(inner, place) if operation in ("fusion", "call") else []
                for touched in sliced or [types.get(each, "")]:
                    total.bytes += sum(n * size for n, size in elements(touched) if n < whole)
            for touched in updates_of(inner) or [kind]:
                total.bytes += sum(n * size for n, size in elements(touched) if n < whole)
        if operation in ("fusion", "call") and called:
            part = count(computations, called.group(1), whole, inside=True)
            total.add(dataclasses.replace(part, kernels=0, bytes=0))
        elif operation == "dot":
            (dims,) = re.findall(r"\w+\[([\d,]*)\]", types[operands[0]])
            (axis,) = re.findall(r"lhs_contracting_dims=\{(\d+)", rest)
            shared = int(dims.split(",")[int(axis)])
            total.dots += 2 * shared * elements(kind)[0][0]
        elif operation not in _MOVES:
            total.others += sum(n for n, _ in elements(kind))
    return total


def slices_of(kernel: list[tuple[str, str, str, str]], place: int) -> list[str]:
    """Types of what a kernel takes of an operand, if it only takes slices of it or updates some."""
    name = next((n for n, _, op, rest in kernel if op == "parameter"
                 and rest.startswith(f"{place})")), None)  # fmt: skip
    used = [(kind, op, rest) for _, kind, op, rest in kernel if f"%{name}," in rest
            or f"%{name})" in rest]  # fmt: skip
    first = all(rest.startswith(f"%{name}") for _, _, rest in used)
    if (
        not used
        or not first
        or any(op not in ("slice", "dynamic-slice", "dynamic-update-slice") for _, op, _ in used)
    ):
        return []
    return [kind if op != "dynamic-update-slice" else "pred[]" for kind, op, _ in used]


def updates_of(kernel: list[tuple[str, str, str, str]]) -> list[str]:
    """Types of what a kernel writes, if all it does is to update a part of an array in place."""
    types = {name: kind for name, kind, _, _ in kernel}
    if not kernel or kernel[-1][2] != "dynamic-update-slice":
        return []
    return [types[re.findall(r"%([\w.-]+)", kernel[-1][3])[1]]]
