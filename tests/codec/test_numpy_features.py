"""The features in NumPy are those in JAX, whatever the contexts."""

import jax.numpy as jnp
import numpy as np
import pytest
from models_for_tests import EARLIER, IN_SLICE, SHEARED, TINY, random_contexts

from jaxslice.codec.features import features_of
from jaxslice.codec.numpy_features import numpy_features_of


@pytest.mark.parametrize("architecture", [TINY, IN_SLICE, EARLIER, SHEARED])
def test_the_same_as_in_jax(architecture):
    contexts = random_contexts(architecture, 4000, seed=3)
    ours = numpy_features_of(contexts.astype(np.int16), architecture)
    theirs = features_of(jnp.asarray(contexts), architecture)
    for name in ours._fields:
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name), err_msg=name)
        assert getattr(ours, name).dtype == np.float32


def test_no_voxels():
    none = numpy_features_of(np.zeros((len(TINY.context), 0), np.int16), TINY)
    assert none.differences.shape == (len(TINY.context), 0)
    assert none.gain.shape == (0,)
