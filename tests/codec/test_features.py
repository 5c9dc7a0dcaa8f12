"""Features of a context: by hand, and against whole numbers in Python for every activity."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models_for_tests import TINY

from jaxslice.codec.features import Features, exp2_sixteenths, features_of, log2_sixteenths


@pytest.fixture(autouse=True, scope="module")
def strict():
    with jax.numpy_dtype_promotion("strict"):
        yield


def features_by_hand(*context: int) -> Features:
    column = jnp.asarray([context], jnp.float32).T
    return features_of(column, TINY)


@pytest.mark.parametrize(
    ("context", "reference"),
    [
        # (3 * 10 + 3 * 20 + 30 + 40) / 8 = 20.
        ((10, 20, 30, 40, 0, 0, 99, 0, 0, 0), 20),
        # (3 * 10 + 3 * 20 + 31 + 46) / 8 = 20.875, floored.
        ((10, 20, 31, 46, 0, 0, 99, 0, 0, 0), 20),
        # First outside: the second for it, and for the fourth only where that is outside.
        ((-1, 20, 30, 40, 0, 0, 99, 0, 0, 0), (3 * 20 + 3 * 20 + 30 + 40) // 8),
        ((10, -1, -1, 40, 0, 0, 99, 0, 0, 0), (3 * 10 + 3 * 10 + 10 + 40) // 8),
        ((10, 20, -1, -1, 0, 0, 99, 0, 0, 0), (3 * 10 + 3 * 20 + 20 + 10) // 8),
        # First two outside: the fallback for both.
        ((-1, -1, -1, -1, 0, 0, 99, 0, 0, 0), 99),
        ((-1, -1, 3, 2, 0, 0, 99, 0, 0, 0), (6 * 99 + 3 + 2) // 8),
        # Nothing inside.
        ((-1,) * 10, 128),
        ((255,) * 10, 255),
        ((0,) * 10, 0),
    ],
)
def test_the_reference_by_hand(context, reference):
    features = features_by_hand(*context)
    assert features.reference.tolist() == [reference]
    differences = [0 if value < 0 else value - reference for value in context]
    assert features.differences[:, 0].tolist() == differences
    assert features.activity.tolist() == [16 + sum(map(abs, differences[:6]))]


def test_the_activity_reaches_its_bounds():
    # The reference of 0, 0, 0, 0 is 0; 2 more voxels count.
    assert features_by_hand(0, 0, 0, 0, 255, 255, 9, 9, 9, 9).activity.tolist() == [16 + 510]
    assert features_by_hand(*[7] * 10).activity.tolist() == [16]


def of_activity(activity: np.ndarray) -> Features:
    values = jnp.asarray(activity, jnp.int32)
    return Features(jnp.zeros((1, len(activity))), jnp.zeros_like(values), values)


def test_the_gain_of_every_activity():
    activities = np.arange(16, 4097)
    gains = np.asarray(of_activity(activities).gain)
    for activity, gain in zip(activities.tolist(), gains.tolist(), strict=True):
        exponent = activity.bit_length() - 1
        rest = Fraction(activity, 2**exponent) - 1
        expected = Fraction(2 ** (16 - exponent))
        if rest:
            step = Fraction(2) ** (10 - exponent)
            expected = Fraction(2) ** (15 - exponent) * (2 - rest) // step * step
        assert Fraction(gain) == expected
        # 64 of it is a whole number of at most 6 significant bits.
        sixty_fourths = Fraction(gain) * 64
        assert sixty_fourths.denominator == 1
        assert (sixty_fourths.numerator >> 6) << 6 == sixty_fourths or sixty_fourths < 2**16
        assert 0.94 * 2**16 / activity <= gain <= 1.13 * 2**16 / activity
    # 16: 2**12. 24 = 16 * 1.5: 2**11 * (2 - 0.5). 4096: 2**4.
    assert gains[[0, 8, -1]].tolist() == [4096, 3072, 16]
    assert not np.all(gains == np.floor(gains))


def test_the_logarithm_of_every_activity():
    activities = np.arange(16, 4097)
    logs = np.asarray(log2_sixteenths(jnp.asarray(activities, jnp.int32)))
    for activity, log in zip(activities.tolist(), logs.tolist(), strict=True):
        exponent = activity.bit_length() - 1
        assert log == 16 * exponent + (16 * (activity - 2**exponent)) // 2**exponent
    extras = np.asarray(of_activity(activities).extras)
    np.testing.assert_array_equal(extras[0], np.full(len(activities), -128))
    np.testing.assert_array_equal(extras[1], logs - 112)
    # 16 log2(128) is 112.
    assert extras[1, 128 - 16] == 0


def test_logarithms_of_large_numbers():
    values = [1, 2, 3, 2**23 + 1, 2**24 - 1]
    logs = log2_sixteenths(jnp.asarray(values, jnp.int32)).tolist()
    assert logs == [0, 16, 24, 16 * 23, 16 * 23 + 15]


def test_powers_by_hand_and_against_the_logarithm():
    exponents = jnp.arange(128, dtype=jnp.int32)
    powers = exp2_sixteenths(exponents)
    assert powers[:3].tolist() == [16, 17, 18]
    assert powers[16:18].tolist() == [32, 34]
    assert powers[127].tolist() == 31 * 2**7
    # 16 log2(16) is 64.
    np.testing.assert_array_equal(log2_sixteenths(powers), exponents + 64)
    assert np.all(np.diff(powers) > 0)
