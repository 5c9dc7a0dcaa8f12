"""A few golden archives of all format versions, which the package brings as one zip file."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

FILE = Path(__file__).with_name("goldens.zip")
CHECKSUMS = "voxels_sha256.json"
"""Member of the file: SHA-256 of the voxels of each archive."""


def extract(folder: Path) -> Iterator[tuple[str, Path, str]]:
    """Unpacks the archives.

    Args:
      folder: to write to.

    Yields:
      The name of each archive, such as v4/linear, its path, and the SHA-256 of its voxels.
    """
    with zipfile.ZipFile(FILE) as packed:
        packed.extractall(folder)
        checksums = json.loads(packed.read(CHECKSUMS))
    for name, checksum in checksums.items():
        yield name, folder / f"{name}.zarr", checksum
