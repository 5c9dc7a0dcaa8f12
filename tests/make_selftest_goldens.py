"""Packs some golden archives for `jaxslice selftest`: python tests/make_selftest_goldens.py"""

import json
import zipfile

from make_golden import CHECKSUMS, GOLDEN

from jaxslice.selftest import goldens

NAMES = (
    "v1/noise", "v1/bordered", "v2/comb", "v3/comb",
    "v4/constant", "v4/linear", "v4/repeats", "v4/sixteen",
)  # fmt: skip
"""One or more of each version; of mode constant, stored and coded; own networks, 16 bits."""

_THE_SAME_TIME = (1980, 1, 1, 0, 0, 0)


def members() -> dict[str, bytes]:
    """What the zip file holds, by name."""
    checksums, found = {}, {}
    for name in NAMES:
        version, archive = name.split("/")
        checksums[name] = json.loads((GOLDEN / version / CHECKSUMS).read_text())[archive]
        folder = GOLDEN / f"{name}.zarr"
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            found[f"{name}.zarr/{path.relative_to(folder).as_posix()}"] = path.read_bytes()
    found[goldens.CHECKSUMS] = json.dumps(checksums, indent=1).encode()
    return found


def main() -> None:
    with zipfile.ZipFile(goldens.FILE, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        for name, data in members().items():
            packed.writestr(zipfile.ZipInfo(name, _THE_SAME_TIME), data, zipfile.ZIP_DEFLATED)


if __name__ == "__main__":
    main()
