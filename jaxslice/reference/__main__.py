"""Decodes a local array: `python -m jaxslice.reference ARRAY_FOLDER OUTPUT.npy`."""

import sys

from jaxslice.core.errors import FormatError
from jaxslice.reference.archive import decode_array

if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m jaxslice.reference ARRAY_FOLDER OUTPUT.npy")
    try:
        decode_array(sys.argv[1], sys.argv[2])
    except (FormatError, OSError) as error:
        sys.exit(f"error: {error}")
