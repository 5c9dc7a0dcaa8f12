"""The features in NumPy are those in JAX, whatever the contexts."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from models_for_tests import EARLIER, IN_SLICE, SHEARED, TINY, random_contexts

from jaxslice.codec.features import features_of
from jaxslice.codec.numpy_features import numpy_features_of

COUNT = 4000


@pytest.mark.parametrize("voxel_bits", [8, 16])
@pytest.mark.parametrize("architecture", [TINY, IN_SLICE, EARLIER, SHEARED])
def test_the_same_as_in_jax(architecture, voxel_bits):
    architecture = dataclasses.replace(architecture, voxel_bits=voxel_bits)
    contexts = random_contexts(architecture, COUNT, seed=3).astype(np.int32)
    limits = np.full(COUNT, 256, np.int32)
    if architecture.is_wide:
        limits = np.random.default_rng(0).choice([1, 2, 300, 65536], COUNT).astype(np.int32)
        contexts = np.where(contexts < 0, contexts, contexts * (limits - 1) // 255)
    ours = numpy_features_of(contexts, architecture, limits)
    theirs = features_of(jnp.asarray(contexts, jnp.float32), architecture, jnp.asarray(limits))
    for name in ("differences", "reference", "activity", "gain", "extras"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name), err_msg=name)
        assert getattr(ours, name).dtype == np.float32
    shift = 0 if theirs.bins is None else theirs.bins.shift[0]
    np.testing.assert_array_equal(ours.shift, shift)
    assert (ours.shift.max() > 5) == architecture.is_wide


def test_no_voxels():
    none = numpy_features_of(
        np.zeros((len(TINY.context), 0), np.int16), TINY, np.zeros(0, np.int32)
    )
    assert none.differences.shape == (len(TINY.context), 0)
    assert none.gain.shape == (0,)
