"""Constants of the cumulative distribution of mixtures, as FORMAT.md, section 5, defines them.

All implementations share them. Needs no JAX.
"""

PRECISION = 24
"""Bits of a probability: the widths of all symbols' intervals sum to 2**PRECISION."""

TOTAL = 1 << PRECISION

WEIGHT_TOTAL = 1 << 8
"""Sum of the weights of a mixture's components."""

MINIMUM_WIDTH = 1 << 6
"""Added to the width of every symbol's interval, so that none is empty."""

LOSS_SHIFT = 10
"""Widths from the mixture are reduced by the factor 1 - 2**-LOSS_SHIFT, to make room for
MINIMUM_WIDTH."""

MEAN_LOW, MEAN_HIGH = -2048, 6143
"""Range of a component's mean, in 1/16 symbol."""

INVERSE_SCALE_HIGH = 1 << 17
"""Largest inverse scale of a component: 2**14 / (standard deviation in symbols)."""

CURVE_TOTAL = 1 << 16
"""Largest value of a component's cumulative distribution."""

DISTANCE_HIGH = 2047
"""Distances from the mean, in 1/256 standard deviation, are clipped to this absolute value."""

TAIL_LINEAR, TAIL_SQUARE = 26214, 20
"""Coefficients of the polynomial (1 - 0.1 u - 0.02 u**2)**8 / 2 of a component's tail."""
