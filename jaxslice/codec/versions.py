"""Version numbers of all formats that jaxslice writes.

Payloads, archives and model files have separate version numbers. Earlier versions stay readable;
a later version raises `VersionError`.
"""

PAYLOAD_VERSION = 1
"""Version of payloads without a block network."""

BLOCK_NETWORK_PAYLOAD_VERSION = 2
"""Version of payloads with a block network."""

ARCHIVE_VERSION = 3
"""Version of new archives. Since version 3 the architecture includes the shear and the activity
offset, the network is coded, and a field says whether blocks may have block networks."""

BLOCK_NETWORKS_ARCHIVE_VERSION = 2
"""Version of archives with block networks before version 3."""

OLDEST_ARCHIVE_VERSION = 1

MODEL_FILE_VERSION = 3
"""Version of new model files. Version 2 lacks the architecture's shear and activity offset, which
then are 2 and 16. Version 1 also lacks the adaptation."""
