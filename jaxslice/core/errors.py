"""What can go wrong, in three kinds.

A caller's mistake is a `UsageError` (a `ValueError`), bytes that cannot be trusted are a
`FormatError`, and a bug of ours is a plain `assert`, never on values that were read from a file.
Messages are one sentence or two and say what was got and what was expected.
"""


class UsageError(ValueError):
    """The caller asked for something that cannot be done; nothing was written."""


class FormatError(Exception):
    """Bytes that were read are damaged, or are not what they claim to be."""


class ChecksumError(FormatError):
    """A checksum stored with the data does not match the data."""


class VersionError(FormatError):
    """The data was written by a format version that this release cannot read."""


class SourceDataError(FormatError):
    """The source volume exists, but some of its voxels cannot be read: a chunk is missing, say."""


class StorageError(OSError):
    """A store cannot be reached, fails or refuses; what was asked for may be right."""


class DeviceError(Exception):
    """The device in use does not compute the integers that the format prescribes."""


class TrainingError(ArithmeticError):
    """A fit or a training gave weights that are no finite numbers."""


class TrainingWarning(UserWarning):
    """A training diverged, and was not used beyond its last finite step."""


class LossySourceWarning(UserWarning):
    """The voxels of a source were changed by lossy compression before."""


class MissingExtraError(ImportError):
    """An optional dependency is not installed; the message names the extra that brings it."""
