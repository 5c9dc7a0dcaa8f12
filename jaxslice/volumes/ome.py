"""OME metadata of Zarr groups: scales, axes, units and channels; versions 0.4 and 0.5."""

from __future__ import annotations

import dataclasses
from typing import Any

from jaxslice.core.box import Triple
from jaxslice.core.errors import UsageError
from jaxslice.core.shorten import short_repr
from jaxslice.volumes.details import VoxelSize
from jaxslice.volumes.sources import nm_of, usable_size


@dataclasses.dataclass(frozen=True)
class OmeScale:
    """One array of a multiscale image.

    Attributes:
      path: of the array in its group.
      axes: a letter each, slowest first.
      voxel_size_nm: z,y,x; None if unknown.
      offset: global coordinate of the first voxel, to the nearest voxel.
    """

    path: str
    axes: str
    voxel_size_nm: VoxelSize | None
    offset: Triple


def multiscale_of(attributes: dict[str, Any]) -> dict[str, Any] | None:
    """The first multiscale image of a group's attributes; None if it has none."""
    for document in (attributes.get("ome"), attributes):
        images = document.get("multiscales") if isinstance(document, dict) else None
        if isinstance(images, list) and images and isinstance(images[0], dict):
            return images[0]
    return None


def scales_of(place: str, multiscale: dict[str, Any]) -> list[OmeScale]:
    """The arrays of a multiscale image, as they are listed.

    Raises:
      UsageError: the metadata are damaged.
    """
    try:
        axes = multiscale.get("axes") or "tczyx"
        names = [axis["name"] if isinstance(axis, dict) else axis for axis in axes]
        units = [axis.get("unit") if isinstance(axis, dict) else None for axis in axes]
        letters = "".join(str(name)[:1].lower() for name in names)
        return [_scale(multiscale, item, letters, units) for item in multiscale["datasets"]]
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(
            f"Got OME metadata of {place!r} that cannot be read: {short_repr(error)}."
        ) from None


def channel_names(attributes: dict[str, Any]) -> list[str]:
    """The labels of the channels; empty if there are none."""
    for document in (attributes.get("ome"), attributes):
        channels = (document or {}).get("omero", {}).get("channels")
        if isinstance(channels, list):
            return [str(channel.get("label", "")) for channel in channels]
    return []


def _scale(
    multiscale: dict[str, Any], dataset: dict[str, Any], axes: str, units: list[str | None]
) -> OmeScale:
    scale, translation = [1.0] * len(axes), [0.0] * len(axes)
    known = False
    # What is said of one array comes before what is said of all of them.
    for source in (dataset, multiscale):
        for step in source.get("coordinateTransformations") or []:
            if step["type"] == "scale":
                known = True
                scale = [a * float(b) for a, b in zip(scale, step["scale"], strict=True)]
                translation = [
                    a * float(b) for a, b in zip(translation, step["scale"], strict=True)
                ]
            elif step["type"] == "translation":
                translation = [
                    a + float(b) for a, b in zip(translation, step["translation"], strict=True)
                ]
    size, offset = [], []
    for axis in "zyx":
        at = axes.find(axis)
        if at < 0:
            # An absent axis is as thick as the picture's pixels are high.
            size.append(None)
            offset.append(0)
            continue
        size.append(nm_of(scale[at], units[at]) if known else None)
        offset.append(round(translation[at] / scale[at]) if scale[at] else 0)
    if size[0] is None:
        size[0] = size[1]
    return OmeScale(
        str(dataset["path"]), axes, usable_size(size), (offset[0], offset[1], offset[2])
    )
