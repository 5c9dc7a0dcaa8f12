"""The reference decoder: FORMAT.md as slow and simple code, in NumPy and the standard library.

It shares only the errors with the rest of the package. So it can test the other decoders, and
archives stay readable without JAX. There is a file for each section of FORMAT.md. All numbers are
int64.

    python -m jaxslice.reference ARRAY_FOLDER OUTPUT.npy
"""

from jaxslice.reference.archive import decode_array as decode_array
from jaxslice.reference.archive import read_archive_block as read_archive_block
from jaxslice.reference.checks import crc32c as crc32c
from jaxslice.reference.payload import decode_block as decode_block
