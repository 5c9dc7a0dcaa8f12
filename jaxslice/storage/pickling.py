"""Values that hold a handle of this process and pickle without it."""

from __future__ import annotations

import dataclasses
from typing import Any


class PicklesFields:
    """Base of frozen dataclasses that keep open handles in a `functools.cached_property`.

    A pickle holds the dataclass's fields and nothing else, so that another process opens a handle
    of its own when it first needs one.
    """

    def __getstate__(self) -> dict[str, Any]:
        fields: Any = dataclasses.fields(self)  # type: ignore[arg-type]
        return {field.name: getattr(self, field.name) for field in fields}
