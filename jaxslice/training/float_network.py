"""The float network for training: the same function as the coder's integer network, with gradients.

The network is a masked causal 3-D convolution over symbols, followed by 1x1x1 convolutions.
Training and the march evaluate it at single voxels, given their context vectors, where it reduces
to a stack of dense layers. It is written as such.

Each rounding in `mixture.mixture_of` is repeated here with a straight-through estimator (Bengio et
al., "Estimating or Propagating Gradients Through Stochastic Neurons", 2013): the forward pass
rounds, the backward pass treats the rounding as the identity. So the loss is the number of bits
that the integer network spends.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxslice.codec import bins, intervals
from jaxslice.codec.architecture import NUM_FEATURES, Architecture
from jaxslice.codec.curve import (
    INVERSE_SCALE_HIGH,
    LOSS_SHIFT,
    MEAN_HIGH,
    MEAN_LOW,
    MINIMUM_WIDTH,
    TOTAL,
    WEIGHT_TOTAL,
)
from jaxslice.codec.features import exp2_sixteenths, features_of
from jaxslice.codec.network import (
    ACTIVATION_HIGH,
    BIAS_ONE,
    MEAN_OFFSET_HIGH,
    SUM_HIGH,
    WEIGHT_HIGH,
    WEIGHT_ONE,
)


class CausalNetwork(nn.Module):
    """Maps contexts float32 [c, n] to a float `intervals.Mixture` [k, n] in the integers' units.

    The sums of each layer can be perturbed (`sums_0`, `sums_1`, ...), and the inputs of each layer
    after the first are recorded in `intermediates` (`inputs_1`, ...), as multiples of 1.0.
    """

    architecture: Architecture

    @nn.compact
    def __call__(self, contexts: jax.Array, limit: jax.Array | None = None) -> intervals.AnyMixture:
        """Predicts a mixture per voxel; see `mixture.mixture_of` for the exact counterpart."""
        features = features_of(contexts, self.architecture, limit)
        activity = features.activity.astype(jnp.float32)[None]
        layers = len(self.architecture.layer_shapes)

        kernel, bias = self._layer(0)
        scaled = kernel[:, :-NUM_FEATURES] @ features.differences
        scaled = _floor(jnp.clip(scaled, -SUM_HIGH, SUM_HIGH) * features.gain[None] / 64)
        scaled += kernel[:, -NUM_FEATURES:] @ features.extras + bias[:, None]
        scaled = self._perturbed("sums_0", scaled)
        for index in range(1, layers):
            kernel, bias = self._layer(index)
            inputs = jnp.clip(_floor(scaled / 64), 0, ACTIVATION_HIGH)
            if not self.is_initializing():
                self.sow("intermediates", f"inputs_{index}", inputs / WEIGHT_ONE)
            scaled = self._perturbed(f"sums_{index}", kernel @ inputs + bias[:, None])
        means, scales, weights = jnp.split(scaled, 3)

        offset = _floor(
            jnp.clip(_floor(means / 16), -MEAN_OFFSET_HIGH, MEAN_OFFSET_HIGH) * activity / 256
        )
        sharpness = _floor(_exp2(scales) * jnp.floor(features.gain)[None] / 32)
        share = _exp2(weights)
        weight = share / share.sum(axis=0, keepdims=True) * WEIGHT_TOTAL
        exact = jnp.floor(weight[:-1])
        exact = jnp.concatenate([exact, WEIGHT_TOTAL - exact.sum(0, keepdims=True)])
        inverse_scale = jnp.clip(sharpness, 1, INVERSE_SCALE_HIGH)
        weight = _straight_through(weight, exact)
        if features.bins is not None:
            mean = bins.offset_mean(offset)
            return intervals.WideMixture(mean, inverse_scale, weight, features.bins)
        mean = 16.0 * features.reference.astype(jnp.float32)[None] + offset
        return intervals.Mixture(jnp.clip(mean, MEAN_LOW, MEAN_HIGH), inverse_scale, weight)

    def _perturbed(self, name: str, value: jax.Array) -> jax.Array:
        return value if self.is_initializing() else self.perturb(name, value)

    def _layer(self, index: int) -> tuple[jax.Array, jax.Array]:
        """The layer's weights, rounded to integers with a straight-through gradient."""
        outputs, inputs = self.architecture.layer_shapes[index]
        last = index == len(self.architecture.layer_shapes) - 1
        spread = nn.initializers.variance_scaling(
            0.02 if last else (0.5 if index == 0 else 2.0),
            "fan_in",
            "normal",
            in_axis=1,
            out_axis=0,
        )
        kernel = self.param(f"kernel_{index}", spread, (outputs, inputs), jnp.float32)
        bias = self.param(f"bias_{index}", _spread_components if last else _zeros, (outputs,))
        kernel = jnp.clip(_round(kernel * WEIGHT_ONE), -WEIGHT_HIGH, WEIGHT_HIGH)
        return kernel, _round(bias * BIAS_ONE)


def bits_of(mixture: intervals.AnyMixture, symbol: jax.Array, limit: jax.Array) -> jax.Array:
    """Bits to code each symbol, differentiable in the mixture.

    Args:
      mixture: float32 [k, n] in the integers' units.
      symbol: int32 [n], below `limit`.
      limit: int32 [n], alphabet size of each voxel.

    Returns:
      float32 [n], the float counterpart of -log2(freq / 2**24) with `intervals.interval_of`, and
      the low bits of 16-bit voxels.
    """
    if isinstance(mixture, intervals.WideMixture):
        return _wide_bits_of(mixture, symbol, limit)
    low = jnp.where(symbol <= 0, 0.0, _cumulative(mixture, symbol))
    high = jnp.where(symbol + 1 >= limit, 1.0, _cumulative(mixture, symbol + 1))
    share = MINIMUM_WIDTH / TOTAL
    return -jnp.log2(jnp.maximum(high - low, share))


def _wide_bits_of(mixture: intervals.WideMixture, symbol: jax.Array, limit: jax.Array) -> jax.Array:
    """`bits_of` of 16-bit voxels."""
    low_bits = bins.low_bits_of(mixture.bins)
    index, count = symbol >> low_bits, bins.count_of(mixture.bins, limit)
    loss, width_bits = bins.widths_of(mixture.bins)
    kept = 1 - jnp.exp2(-loss.astype(jnp.float32))
    share = jnp.exp2(width_bits.astype(jnp.float32)) / TOTAL
    low, high = (
        _mass_below(mixture, bins.edges_of(mixture.bins, i).astype(jnp.float32))
        for i in (index, index + 1)
    )
    low = jnp.where(index <= 0, 0.0, low * kept)
    high = jnp.where(index + 1 >= count, 1.0, high * kept + share)
    return low_bits.astype(jnp.float32) - jnp.log2(jnp.maximum(high - low, share))


def _cumulative(mixture: intervals.Mixture, index: jax.Array) -> jax.Array:
    index = index.astype(jnp.float32)
    share = MINIMUM_WIDTH / TOTAL
    return _mass_below(mixture, index * 16.0 - 8.0) * (1 - 2.0**-LOSS_SHIFT) + index * share


def _mass_below(mixture: intervals.AnyMixture, edge: jax.Array) -> jax.Array:
    """The mixture's cumulative distribution at an edge, in 1/16 symbol."""
    deviations = (edge[None] - mixture.mean) * mixture.inverse_scale / (1 << 18)
    size = jnp.minimum(jnp.abs(deviations), 6.0)
    tail = 0.5 * jnp.maximum(1 - 0.1 * size - 20 / 1024 * size**2, 0.0) ** 8
    value = jnp.where(deviations < 0, tail, 1 - tail) * mixture.weight
    return value.sum(axis=0) / WEIGHT_TOTAL


def _exp2(logit: jax.Array) -> jax.Array:
    exponent = jnp.clip(logit / 128 + 64, 0, 127)
    exact = exp2_sixteenths(jnp.floor(exponent).astype(jnp.int32)).astype(jnp.float32)
    return _straight_through(16 * 2 ** (exponent / 16), exact)


def _straight_through(smooth: jax.Array, exact: jax.Array) -> jax.Array:
    return smooth + jax.lax.stop_gradient(exact - smooth)


def _floor(value: jax.Array) -> jax.Array:
    return _straight_through(value, jnp.floor(value))


def _round(value: jax.Array) -> jax.Array:
    return _straight_through(value, jnp.round(value))


def _zeros(_key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    return jnp.zeros(shape, jnp.float32)


def _spread_components(_key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Biases of the last layer: means and scales that differ between components, equal weights."""
    count = shape[0] // 3
    place = jnp.linspace(-1.0, 1.0, count) if count > 1 else jnp.zeros(1)
    return jnp.concatenate([0.2 * place, -0.5 * place - 0.2, jnp.zeros(count)]).astype(jnp.float32)
