"""Versions of everything that jaxslice writes, in one place.

Payloads, archives and model files count their versions apart. What was written by an earlier
version is read for ever; what was written by a later one is a `VersionError`.
"""

PAYLOAD_VERSION = 1
"""Of payloads that the archive's network decodes."""

BLOCK_NETWORK_PAYLOAD_VERSION = 2
"""Of payloads that carry a network of their own."""

ARCHIVE_VERSION = 3
"""Of archives that are written now: the architecture holds its shear and its activity offset, the
network is coded, and a field says whether blocks may carry networks."""

BLOCK_NETWORKS_ARCHIVE_VERSION = 2
"""Of archives whose blocks may carry networks, before ARCHIVE_VERSION gave that a field."""

OLDEST_ARCHIVE_VERSION = 1

MODEL_FILE_VERSION = 3
"""Of model files that are written now. Version 2 lacks the architecture's shear and activity
offset, which then are 2 and 16; version 1 also lacks the adaptation."""
