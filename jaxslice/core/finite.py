"""Refuses numbers that are none, before they are rounded to integers that look like any others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from jaxslice.core.errors import TrainingError


def check_finite(parts: Iterable[Any]) -> None:
    """Refuses arrays, of NumPy or JAX, with infinities or what is no number.

    Raises:
      TrainingError: there is one.
    """
    for part in parts:
        bad = int(np.count_nonzero(~np.isfinite(part)))
        if bad:
            raise TrainingError(
                f"Got {bad} of {np.size(part)} weights from a fit that are infinite or no numbers, "
                "expected finite numbers: nothing is written."
            )
