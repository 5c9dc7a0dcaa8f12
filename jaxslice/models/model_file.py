"""Model files: a network with its architecture and provenance, in one JSON file.

The models that come with jaxslice are in `jaxslice/models/`. Each has a card (`NAME.md`) with its
training data, the command that trained it, and the rates that it reaches.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import os
import secrets
from pathlib import Path
from typing import Any

import numpy as np

from jaxslice.codec import network_bytes
from jaxslice.codec.architecture import Architecture
from jaxslice.codec.network import IntegerNetwork, Model
from jaxslice.codec.versions import MODEL_FILE_VERSION
from jaxslice.core.errors import FormatError, UsageError, VersionError
from jaxslice.core.writable import check_writable
from jaxslice.models.adaptation import NUM_TRAITS, Adaptation

FOLDER = Path(__file__).parent
SUFFIX = ".json"
_KIND = "jaxslice model"


@dataclasses.dataclass(frozen=True)
class ModelFile:
    """The content of a model file.

    Attributes:
      name: name of a shipped model, or the path of the file.
      architecture: architecture of the network.
      network: the network in integers.
      provenance: a JSON object with the recipe, the sources and the software of the training.
      adaptation: the adaptation to volumes; None if the model has none.
    """

    name: str
    architecture: Architecture
    network: IntegerNetwork
    provenance: dict[str, Any]
    adaptation: Adaptation | None = None

    @property
    def model(self) -> Model:
        """The architecture and the network, as `codec` takes them."""
        return Model(self.architecture, self.network)

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the network from `network_bytes.fingerprint`."""
        return network_bytes.fingerprint(network_bytes.pack(self.network))


def names() -> list[str]:
    """Names of the models that come with jaxslice."""
    return sorted(path.stem for path in FOLDER.glob(f"*{SUFFIX}"))


def load(name: str) -> ModelFile:
    """Reads a model.

    Args:
      name: `default`, `medium`, `large`, or the path of a file that `train` wrote.

    Returns:
      The network with its architecture, its provenance and its adaptation.

    Raises:
      UsageError: there is no such model.
      FormatError: the file is damaged or not a model.
      VersionError: the file is of a later version.

    >>> import jaxslice
    >>> model = jaxslice.load_model("default")
    >>> model.architecture.hidden, model.architecture.num_params
    ((24, 12), 1650)
    """
    shipped = name in names()
    path = FOLDER / f"{name}{SUFFIX}" if shipped else Path(name)
    try:
        data = path.read_bytes()
    except OSError:
        raise UsageError(
            f"Got the model {name!r}, expected one of {', '.join(names())} or the path of a file "
            "that `train` wrote."
        ) from None
    return _parse(name, data)


def check_savable(path: str | Path, *, overwrite: bool = False) -> None:
    """Checks before a training that `save` will be able to write the model.

    Args:
      path: path of the file.
      overwrite: whether an existing file may be replaced.

    Raises:
      UsageError: the file exists and may not be replaced, or cannot be written.
    """
    if os.path.isdir(path):
        raise UsageError(f"Got the model's file {str(path)!r}, which is a folder.")
    if os.path.lexists(path) and not overwrite:
        raise UsageError(
            f"Got the model's file {str(path)!r}, which exists, expected a new name or --overwrite."
        )
    check_writable(path)


def save(path: str | Path, model: ModelFile, *, overwrite: bool = False) -> None:
    """Writes a model file atomically.

    Args:
      path: path of the file.
      model: the model to write.
      overwrite: whether an existing file may be replaced.

    Raises:
      UsageError: the file exists and may not be replaced, or cannot be written.
    """
    check_savable(path, overwrite=overwrite)
    value = {
        "kind": _KIND,
        "version": MODEL_FILE_VERSION,
        "architecture": model.architecture.to_json(),
        "network": base64.b64encode(network_bytes.pack(model.network)).decode(),
        "adaptation": _written(model.adaptation),
        "provenance": model.provenance,
    }
    path = Path(path)
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        partial.write_text(json.dumps(value) + "\n")
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise UsageError(f"Got the model's file {str(path)!r}: {error.strerror}.") from None


def _parse(name: str, data: bytes) -> ModelFile:
    try:
        value = json.loads(data)
        if value["kind"] != _KIND:
            raise ValueError(f"the kind {value['kind']!r}")
        version = value["version"]
        if version not in range(1, MODEL_FILE_VERSION + 1):
            raise VersionError(
                f"Got the model {name!r} of version {version!r}, expected 1 to "
                f"{MODEL_FILE_VERSION}: it needs another release of jaxslice."
            )
        architecture = Architecture.from_json(value["architecture"])
        packed = base64.b64decode(value["network"], validate=True)
        provenance = dict(value["provenance"])
        adaptation = _read(value.get("adaptation"), architecture)
    except (LookupError, TypeError, ValueError, RecursionError) as error:
        raise FormatError(
            f"Got {name!r}, which is damaged or not a model ({error!r}), expected a file that "
            "`train` wrote."
        ) from None
    network = network_bytes.unpack(packed, architecture)
    return ModelFile(name, architecture, network, provenance, adaptation)


def _written(adaptation: Adaptation | None) -> list[str] | None:
    """Base64 of little-endian float32: the center, then each map, row by row."""
    if adaptation is None:
        return None
    parts = (adaptation.center, *adaptation.maps)
    return [base64.b64encode(np.asarray(part, "<f4").tobytes()).decode() for part in parts]


def _read(value: list[str] | None, architecture: Architecture) -> Adaptation | None:
    """The inverse of `_written`. Raises ValueError for any other value."""
    if value is None:
        return None
    parts = [np.frombuffer(base64.b64decode(text, validate=True), "<f4") for text in value]
    sizes = [NUM_TRAITS * units for units in (1, *architecture.hidden)]
    if [part.size for part in parts] != sizes or not all(np.isfinite(p).all() for p in parts):
        raise ValueError(f"an adaptation of {[part.size for part in parts]} numbers, not {sizes}")
    maps = (part.reshape(-1, NUM_TRAITS).astype(np.float32) for part in parts[1:])
    return Adaptation(parts[0].astype(np.float32), tuple(maps))
