"""Numbers that callers take from NumPy arrays are Python's own inside; others are refused."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from jaxslice.core.errors import UsageError
from jaxslice.core.whole_numbers import three_whole, whole


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3), np.array(3)])
def test_whole(value):
    assert whole(value, "n") == 3
    assert type(whole(value, "n")) is int


@pytest.mark.parametrize("value", [3.0, np.float32(3), "3", None, True, [3]])
def test_what_is_not_whole(value):
    with pytest.raises(UsageError, match=r"^Got n .*, expected a whole number\.$"):
        whole(value, "n")


@pytest.mark.parametrize("values", [(1, 2), (1, 2, 3, 4), 7, (1, 2, 3.5), None])
def test_what_are_not_three(values):
    with pytest.raises(UsageError, match="Got the shape"):
        three_whole(values, "the shape")


SCRIPT = """
import json
import numpy as np
from jaxslice import Box, CompressOptions, RawHeader, SourceOptions, UsageError

numbers = np.array([2, 40, 40])
options = CompressOptions(
    bbox=Box(numbers - 2, numbers), scale=np.int64(0), downsample=np.int32(1),
    block_shape=numbers, shard_shape=list(numbers), effort=np.int64(0), seed=np.uint8(3),
    training_steps=np.int64(1), workers=np.int64(1), batch_blocks=np.int64(1),
)
plain = CompressOptions(
    bbox=Box((0, 38, 38), (2, 40, 40)), scale=0, downsample=1, block_shape=(2, 40, 40),
    shard_shape=(2, 40, 40), effort=0, seed=3, training_steps=1, workers=1, batch_blocks=1,
)
assert options == plain
assert hash(options) == hash(plain)
values = [getattr(options, name) for name in ("downsample", "block_shape", "effort", "seed")]
assert json.dumps([*values, options.bbox.start]) == "[1, [2, 40, 40], 0, 3, [0, 38, 38]]"
source = SourceOptions(
    scale=np.int64(1), channel=np.int64(2), time=np.int8(0), voxel_size_nm=np.array([40, 4, 4]),
    raw=RawHeader(numbers, skip_bytes=np.int64(6)),
)
raw = RawHeader((2, 40, 40), skip_bytes=6)
assert source == SourceOptions(1, channel=2, time=0, voxel_size_nm=(40.0, 4.0, 4.0), raw=raw)
for other in ({"seed": 1.5}, {"block_shape": (4.0, 8, 8)}, {"effort": 1.0}, {"scales": (1.5,)}):
    try:
        CompressOptions(**other)
    except UsageError as error:
        assert "expected a whole number" in str(error)
    else:
        raise AssertionError(other)
"""


def test_options_and_boxes_take_numpys_integers():
    """In a process of its own, where annotations are not checked first."""
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT], check=False, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
