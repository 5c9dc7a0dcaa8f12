"""Intervals: a partition of 0 .. 2**24 for every mixture and alphabet, and its inverse."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxslice.codec.curve import INVERSE_SCALE_HIGH, MEAN_HIGH, MEAN_LOW, TOTAL
from jaxslice.codec.intervals import (
    Mixture,
    component_cumulative,
    cumulative,
    find_interval,
    interval_of,
)

COMPONENTS = 2
EDGES = 257
"""Edges of an alphabet of 256 symbols; the arrays of all tests here have so many columns."""

jitted_cumulative = jax.jit(cumulative)
jitted_interval_of = jax.jit(interval_of)
jitted_find_interval = jax.jit(find_interval)


@pytest.fixture(autouse=True, scope="module")
def strict():
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        yield


def component_by_the_book(q: int) -> int:
    """FORMAT.md, section 5, S(q)."""
    u = min(abs(q), 2047)
    p = max(65535 - (((26214 + 20 * u) * u) >> 10), 0)
    for _ in range(3):
        p = (p * p) >> 16
    tail = p >> 1
    return tail if q < 0 else 65536 - tail


def cumulative_by_the_book(components: list[tuple[int, int, int]], index: int, limit: int) -> int:
    """FORMAT.md, section 5, C(index), of components (mean, inverse scale, weight)."""
    if index in (0, limit):
        return 0 if index == 0 else 2**24
    total = sum(
        weight * component_by_the_book(((16 * index - 8 - mean) * inverse) >> 10)
        for mean, inverse, weight in components
    )
    return total - (total >> 10) + 64 * index


def corners() -> list[list[tuple[int, int, int]]]:
    """Mixtures at the ends of every range and in between."""
    means = (MEAN_LOW, -8, 2040, 4088, MEAN_HIGH)
    inverses = (1, 700, INVERSE_SCALE_HIGH)
    pairs = itertools.product(itertools.product(means, inverses), repeat=2)
    return [
        [(*first, weight), (*second, 256 - weight)]
        for (first, second) in pairs
        for weight in (0, 1, 128, 256)
    ]


def repeated(components: list[tuple[int, int, int]], count: int = EDGES) -> Mixture:
    columns = np.asarray(components, np.int32).T
    return Mixture(*(jnp.asarray(np.repeat(row[:, None], count, axis=1)) for row in columns))


def integers(values) -> jax.Array:
    return jnp.asarray(values, jnp.int32)


components_of = st.integers(0, 256).flatmap(
    lambda weight: st.tuples(
        *(
            st.tuples(
                st.integers(MEAN_LOW, MEAN_HIGH),
                st.one_of(st.integers(1, 4000), st.integers(1, INVERSE_SCALE_HIGH)),
                st.just(share),
            )
            for share in (weight, 256 - weight)
        )
    )
)


def test_the_component_is_monotone_and_by_the_book_at_every_distance():
    distances = np.arange(-3000, 3001)
    values = np.asarray(component_cumulative(integers(distances)))
    assert values.tolist() == [component_by_the_book(q) for q in distances.tolist()]
    assert np.all(np.diff(values) >= 0)
    assert (values[0], values[-1]) == (0, 65536)
    far = integers([-(2**31) + 1, -(2**20), 2**20, 2**31 - 1])
    assert component_cumulative(far).tolist() == [0, 0, 65536, 65536]


def test_the_component_is_close_to_its_polynomial_and_to_the_normal_distribution():
    deviations = np.linspace(-6, 6, 97)
    size = np.abs(deviations)
    # 26214 and 20 in units of 2**-18 and 2**-10, about 0.1 and 0.02.
    tail = 0.5 * np.maximum(1 - 0.1 * size - 20 / 1024 * size**2, 0) ** 8
    values = component_cumulative(integers(256 * deviations)) / 65536
    expected = np.where(deviations < 0, tail, 1 - tail)
    np.testing.assert_allclose(values, expected, atol=1e-4)
    # As steep as the normal distribution in the middle, with longer tails.
    normal = np.array([0.5 * (1 + math.erf(u / math.sqrt(2))) for u in deviations])
    assert np.abs(expected - normal).max() < 0.025


@pytest.mark.parametrize("limit", [1, 2, 3, 100, 255, 256])
def test_no_mixture_leaves_a_symbol_without_an_interval(limit):
    columns = np.asarray(corners(), np.int32)
    index = np.arange(limit + 1, dtype=np.int32)
    means, inverses, weights = (
        np.repeat(columns[:, :, field].T, len(index), axis=1) for field in range(3)
    )
    edges = np.tile(index, len(columns))
    values = jitted_cumulative(
        Mixture(integers(means), integers(inverses), integers(weights)),
        integers(edges),
        integers(np.full(edges.shape, limit)),
    )
    values = np.asarray(values).reshape(len(columns), limit + 1)
    assert np.all(values[:, 0] == 0)
    assert np.all(values[:, -1] == 2**24)
    assert np.diff(values).min() >= 64
    # The least is reached: this is no loose bound.
    assert limit == 1 or np.diff(values).min() == 64


@pytest.mark.parametrize("components", corners()[:: len(corners()) // 10])
def test_every_alphabet_is_partitioned(components):
    for limit in range(1, 257):
        edges = integers(np.minimum(np.arange(EDGES), limit))
        limits = integers(np.full(EDGES, limit))
        values = np.asarray(jitted_cumulative(repeated(components), edges, limits))[: limit + 1]
        assert values[0] == 0
        assert values[-1] == TOTAL
        assert np.diff(values).min() >= 64


@settings(max_examples=40, deadline=None)
@given(components_of, st.integers(1, 256))
def test_edges_are_by_the_book(components, limit):
    edges = np.minimum(np.arange(EDGES), limit)
    limits = integers(np.full(EDGES, limit))
    values = jitted_cumulative(repeated(components), integers(edges), limits)
    expected = [cumulative_by_the_book(components, edge, limit) for edge in edges.tolist()]
    assert values.tolist() == expected


def test_no_corner_overflows():
    edge_values = (1, 2, 128, 254, 255)
    for components in corners():
        for mean, inverse, _ in components:
            for edge in edge_values:
                assert abs((16 * edge - 8 - mean) * inverse) < 2**31
    cases = [(components, edge) for components in corners() for edge in edge_values]
    columns = np.asarray([components for components, _ in cases], np.int32)
    values = jax.jit(cumulative)(
        Mixture(*(integers(columns[:, :, field].T) for field in range(3))),
        integers([edge for _, edge in cases]),
        integers([256] * len(cases)),
    )
    assert values.tolist() == [cumulative_by_the_book(*case, 256) for case in cases]


@settings(max_examples=40, deadline=None)
@given(components_of, st.integers(1, 256), st.integers(0, 2**24))
def test_a_symbol_is_found_from_every_part_of_its_interval(components, limit, inside):
    mixture = repeated(components)
    symbols = integers(np.arange(EDGES) % limit)
    limits = integers(np.full(EDGES, limit))
    start, freq = jitted_interval_of(mixture, symbols, limits)
    for offset in (jnp.zeros_like(freq), freq - 1, jnp.int32(inside) % freq):
        found = jitted_find_interval(mixture, start + offset, limits)
        for got, expected in zip(found, (symbols, start, freq), strict=True):
            np.testing.assert_array_equal(got, expected)


def test_positions_beside_an_interval_are_another_symbol():
    mixture = repeated([(1000, 900, 200), (2000, 300, 56)])
    symbols, limits = integers(np.arange(EDGES) % 200), integers(np.full(EDGES, 200))
    start, freq = jitted_interval_of(mixture, symbols, limits)
    after, *_ = jitted_find_interval(mixture, jnp.minimum(start + freq, TOTAL - 1), limits)
    np.testing.assert_array_equal(after, np.minimum(np.asarray(symbols) + 1, 199))


def test_an_alphabet_of_one_symbol_takes_no_space():
    mixture = repeated([(1000, 900, 200), (2000, 300, 56)])
    zero, one = integers(np.zeros(EDGES)), integers(np.ones(EDGES))
    start, freq = jitted_interval_of(mixture, zero, one)
    assert set(start.tolist()) == {0}
    assert set(freq.tolist()) == {2**24}
    found = jitted_find_interval(mixture, integers([TOTAL - 1] * EDGES), one)
    assert [set(part.tolist()) for part in found] == [{0}, {0}, {2**24}]


def test_an_interval_by_hand():
    # Standard deviation 1 symbol (2**14) around 100 (1600). The edges of symbol 100 lie at
    # 99.5 and 100.5: q = (-8 * 2**14) >> 10 = -128, and 128. u = 128:
    # p = 65535 - (((26214 + 2560) * 128) >> 10) = 65535 - 3596 = 61939;
    # squares over 2**16: 58539, 52289, 41719; tail 20859.
    # C(100) = F - (F >> 10) + 6400 with F = 256 * 20859 = 5339904: 5341090.
    # C(101) = F - (F >> 10) + 6464 with F = 256 * (65536 - 20859) = 11437312: 11432607.
    mixture = repeated([(1600, 2**14, 256), (0, 1, 0)], 1)
    start, freq = interval_of(mixture, integers([100]), integers([256]))
    assert (start.item(), freq.item()) == (5341090, 11432607 - 5341090)
