"""Text for messages: short whatever was read, and the same where it is short anyway."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxslice.core.shorten import short_repr, shortened

NESTED = st.recursive(
    st.none() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(NESTED)
def test_any_value_is_short(value):
    assert len(short_repr(value)) < 350


@pytest.mark.parametrize(
    "value",
    [10**100_000, "x" * 10**6, b"\xff" * 10**6, [[["x"] * 99] * 99] * 99, ValueError("x" * 10**6)],
    ids=["integer", "text", "bytes", "lists", "error"],
)
def test_large_values(value):
    assert len(short_repr(value)) < 350


def test_what_is_short_stays():
    assert short_repr([1, "a", None]) == "[1, 'a', None]"
    assert shortened("a" * 300) == "a" * 300
    assert shortened("a" * 200 + "b" * 200) == "a" * 150 + " ... " + "b" * 150
