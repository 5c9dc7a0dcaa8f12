"""Libraries of the optional extra `formats`, loaded when a volume needs them."""

from __future__ import annotations

import importlib
from typing import Any

from jaxslice.core.errors import MissingExtraError


def require(library: str) -> Any:
    """Imports a library of the extra `formats`.

    Raises:
      MissingExtraError: it is not installed.
    """
    try:
        return importlib.import_module(library)
    except ImportError as error:
        raise MissingExtraError(
            f"This volume needs {library}, expected it to be installed: "
            "pip install 'jaxslice[formats]'."
        ) from error
