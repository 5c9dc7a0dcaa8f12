"""Stamps the rows of the experiments' CSVs with where they come from."""

from __future__ import annotations

from pathlib import Path

from jaxslice.bench import provenance
from jaxslice.bench.provenance import COLUMNS

CHECKOUT = Path(__file__).parents[1]
COMMIT = provenance.commit_of(CHECKOUT, "experiments/results")
"""Read at the start: of the code that runs, whatever the checkout holds when a row is written."""


def stamped(rows: list[dict]) -> list[dict]:
    """Rows with the columns of `COLUMNS`, as measured now."""
    stamp = provenance.provenance(COMMIT)
    return [row | stamp for row in rows]


__all__ = ["COLUMNS", "stamped"]
