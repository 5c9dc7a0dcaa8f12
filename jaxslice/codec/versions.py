"""Version numbers of all formats that jaxslice writes.

Payloads, archives and model files have separate version numbers. Earlier versions stay readable;
a later version raises `VersionError`.
"""

PAYLOAD_VERSION = 4
"""Version of new payloads, and of all payloads of archives of version 4."""

BARE_PAYLOAD_VERSION = 1
"""Version of payloads without a block network, in archives before version 4."""

BLOCK_NETWORK_PAYLOAD_VERSION = 2
"""Version of payloads with a block network, in archives before version 4."""

ARCHIVE_VERSION = 4
"""Version of new archives. Since version 4 payloads know their place, and archives are sealed."""

CODED_NETWORK_ARCHIVE_VERSION = 3
"""Since this version the architecture includes the shear and the activity offset, the network is
coded, and a field says whether blocks may have block networks."""

BLOCK_NETWORKS_ARCHIVE_VERSION = 2
"""Version of archives with block networks before version 3."""

OLDEST_ARCHIVE_VERSION = 1

MODEL_FILE_VERSION = 3
"""Version of new model files. Version 2 lacks the architecture's shear and activity offset, which
then are 2 and 16. Version 1 also lacks the adaptation."""
