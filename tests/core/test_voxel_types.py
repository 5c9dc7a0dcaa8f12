"""Types of voxels that are refused say what to use instead."""

import numpy as np
import pytest

from jaxslice.core.errors import UsageError
from jaxslice.core.voxel_types import check_voxel_type


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_can_be_compressed(dtype):
    assert check_voxel_type(np.dtype(dtype), "a block") == dtype


@pytest.mark.parametrize(
    ("dtype", "advice"),
    [
        (np.bool_, "masks as uint8"),
        (np.int8, "add 128"),
        (np.int16, "add 32768"),
        (np.int32, "uint16 if the values fit"),
        (np.int64, "uint16 if the values fit"),
        (np.uint32, "compressed_segmentation"),
        (np.uint64, "compressed_segmentation"),
        (np.float16, "scale to uint16"),
        (np.float32, "scale to uint16"),
        (np.float64, "scale to uint16"),
        (np.complex64, "apart"),
    ],
)
def test_what_cannot(dtype, advice):
    name = np.dtype(dtype).name
    with pytest.raises(UsageError, match=f"Got a block of {name}, expected uint8 or uint16: .*"):
        check_voxel_type(np.dtype(dtype), "a block")
    with pytest.raises(UsageError, match=advice):
        check_voxel_type(name, "a block")


def test_what_nobody_thought_of():
    with pytest.raises(UsageError, match=r"Got a file of datetime64\[ns\], expected uint8 or"):
        check_voxel_type(np.dtype("datetime64[ns]"), "a file")
