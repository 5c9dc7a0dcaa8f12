"""Arrays as sources: NumPy's and its memmaps, dask's, Zarr's, HDF5's, TensorStores.

No library is imported for them: whoever has such an array has its library.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from jaxslice.core.box import Box
from jaxslice.core.errors import SourceDataError
from jaxslice.storage.location import one_line
from jaxslice.volumes.axes import View, axes_named, view_of
from jaxslice.volumes.details import Details
from jaxslice.volumes.interface import Source, SourceOptions
from jaxslice.volumes.sources import source_of


@dataclasses.dataclass(frozen=True, eq=False)
class ArrayReader:
    """Reads boxes of an array that is sliced as NumPy's are. It pickles if the array does.

    Attributes:
      array: to read.
      view: of the array.
      offset: global coordinate of the first voxel.
    """

    array: Any = dataclasses.field(repr=False)
    view: View
    offset: tuple[int, int, int]

    def __call__(self, box: Box) -> np.ndarray:
        try:
            part = self.array[self.view.index(box.relative_to(self.offset))]
            # Lazy arrays: dask's, and TensorStore's.
            if hasattr(part, "compute"):
                part = part.compute()
            elif hasattr(part, "read"):
                part = part.read().result()
            voxels = self.view.arrange(np.asarray(part))
        except (OSError, ValueError, RuntimeError) as error:
            message = f"Cannot read the box {box} of the array: {one_line(error)}."
            raise SourceDataError(message) from error
        return np.array(voxels, voxels.dtype.newbyteorder("="), order="C")


def is_array(value: Any) -> bool:
    """Whether a value looks like an array, rather than like a place."""
    return all(hasattr(value, name) for name in ("shape", "dtype", "__getitem__"))


def source_of_array(array: Any, options: SourceOptions) -> Source:
    """The source of an array in memory, or of a lazy one.

    Raises:
      UsageError: it has other axes, or several channels or times of which none is chosen.
    """
    kind = type(array)
    place = f"{kind.__module__.partition('.')[0]}.{kind.__name__}"
    domain = getattr(array, "domain", None)
    if domain is None:
        origin = None
        names = getattr(getattr(array, "metadata", None), "dimension_names", None)
    else:
        # A TensorStore, whose indices need not begin at 0.
        origin, names = domain.origin, domain.labels
        array = array[tuple(slice(None) for _ in origin)].translate_to[(0,) * len(origin)]
    view = view_of(place, axes_named(names), [int(n) for n in array.shape], options)
    offset = view.triple(origin, absent=0) if origin else (0, 0, 0)
    dtype = np.dtype(getattr(array.dtype, "numpy_dtype", array.dtype))
    reader = ArrayReader(array, view, offset)
    details = Details("array", "none", axes=view.axes, selected=view.several())
    return source_of(place, view, dtype, reader, details, None, offset)
