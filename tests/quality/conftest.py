"""Sizes are those of users."""

import pytest

from jaxslice.jobs import base_network


@pytest.fixture(scope="module", autouse=True)
def full_fits(short_fits):
    """Fitting takes as many steps as users' does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base_network, "LEAST_FITTING_STEPS", short_fits)
        yield
