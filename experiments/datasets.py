"""The volumes that the experiments use: where they are published, and how they were cut.

    python experiments/datasets.py
    python experiments/datasets.py --check FOLDER
    python experiments/datasets.py --make vnc_a --published groundtruth-drosophila-vnc/stack1/raw \
        --output FOLDER

The first command lists the volumes. `--check` compares the files FOLDER/NAME.npy with the SHA-256
of their voxels (z, y, x order, uint8, without the header of the `.npy` file). `--make` reads a
published volume (a folder of PNG or TIFF slices, a TIFF file of many pages, or a `.npy` file), cuts
it, compares the SHA-256 and writes FOLDER/NAME.npy. Volumes are public research data under the
terms of their publishers. They are not part of this repository.

Where the position of a cut was not recorded, this file says so. The numbers of such a volume can be
repeated only by those who have the cut itself.

Cost: 1 second for each volume. Expected: "matches" for each.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxslice.core.box import Triple

NOT_RECORDED = "cut not recorded"


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A volume of the experiments.

    Attributes:
      name: of the file, without `.npy`.
      shape: z, y, x.
      voxel_size_nm: z, y, x; a range where the publisher gives one.
      what: was imaged, and how.
      published: where the volume comes from.
      path: of the published files, below the place that `published` names; "" if not known.
      sha256: of the voxels.
      start: z, y, x of the first voxel in the published volume; None if that was not recorded.
      compared: whether the published files were compared with this volume.
    """

    name: str
    shape: Triple
    voxel_size_nm: str
    what: str
    published: str
    path: str
    sha256: str
    start: Triple | None = None
    compared: bool = False

    @property
    def cut(self) -> str:
        """How it was cut, for people."""
        if self.start is None:
            return NOT_RECORDED
        source = "compared with the published files" if self.compared else "not compared"
        return f"from {self.start} of {self.path}; {source}"


_FIB25 = (
    "FIB-SEM, Drosophila optic lobe (medulla), FlyEM FIB-25",
    "https://github.com/janelia-flyem/neuroproof_examples at "
    "ce839e17deaf4c01153827c6d028dfecfbb4b958; Takemura et al. 2015, doi:10.1073/pnas.1509820112",
)
DATASETS = (
    Dataset(
        "fib25_a", (250, 250, 250), "10, 10, 10", *_FIB25,
        "training_sample1/grayscale_maps",
        "78cf8163c0b93d892efbea9ed66d3de17c4f2fafa28751efaabb4ed81688463d",
        (0, 0, 0), compared=True,
    ),
    Dataset(
        "fib25_b", (250, 250, 250), "10, 10, 10", *_FIB25,
        "training_sample2/grayscale_maps",
        "6660e2270cb80a92cb3317f53e2fe8c664508da3c70a7d56393f0de319fbeda0",
        (0, 0, 0), compared=True,
    ),
    Dataset(
        "hotknife", (128, 262, 262), "8 or 10, isotropic",
        "FIB-SEM with a seam of hot-knife sections (method: Hayworth et al. 2015, "
        "doi:10.1038/nmeth.3292)",
        "source file not recorded", "",
        "8692d1eeac2d549d7eb4131e95575e0abd484ec464c0325d12f9264e68c2f314",
    ),
    Dataset(
        "isbi_train", (30, 512, 512), "50, 4, 4",
        "Serial-section TEM, Drosophila ventral nerve cord, training stack of ISBI 2012",
        "http://brainiac2.mit.edu/isbi_challenge; Arganda-Carreras et al. 2015, "
        "doi:10.3389/fnana.2015.00142",
        "train-volume.tif",
        "200da3d452d726e6c9ca1ce04b869d4edb727320d23b516d01cce707dc8c4760",
        (0, 0, 0),
    ),
    Dataset(
        "sbem_mito", (20, 768, 768), "40, 5.9, 5.9 (about)",
        "Serial block-face SEM, neuropil, unfiltered",
        "source file not recorded", "",
        "e1406c14d52825cd752f3b18d7a169d19fcd1229e179df8d1ea53ef15cc41003",
    ),
    Dataset(
        "snemi_ac4", (64, 768, 768), "30, 6, 6",
        "Serial-section SEM (ATUM), mouse cortex, volume AC4, training stack of SNEMI3D",
        "https://snemi3d.grand-challenge.org; Kasthuri et al. 2015, "
        "doi:10.1016/j.cell.2015.06.054",
        "",
        "33beb2b28eca774be0f813c5aa066d38fa41c86e5dffe77799688daa49c76e87",
    ),
    Dataset(
        "vnc_a", (20, 1024, 1024), "45 to 50, 4.6, 4.6",
        "Serial-section TEM, Drosophila larva ventral nerve cord",
        "https://github.com/unidesigner/groundtruth-drosophila-vnc at "
        "4a5f051466d24d8dc1e855ab55658bb1b1dcd6bf; Gerhard et al. 2013, "
        "doi:10.6084/m9.figshare.856713",
        "stack1/raw",
        "b845f8b459993f5ca6135daba76a4069bdddca65770f5171f4c3518765f391da",
        (0, 0, 0), compared=True,
    ),
)  # fmt: skip


def sha256_of(voxels: np.ndarray) -> str:
    """SHA-256 of the voxels of a volume, in hexadecimal."""
    return hashlib.sha256(np.ascontiguousarray(voxels).tobytes()).hexdigest()


def check(dataset: Dataset, voxels: np.ndarray) -> None:
    """Raises ValueError if voxels are not those of a data set."""
    if (found := (voxels.shape, str(voxels.dtype))) != (dataset.shape, "uint8"):
        raise ValueError(f"Got {found} for {dataset.name}, expected {dataset.shape} of uint8.")
    if (digest := sha256_of(voxels)) != dataset.sha256:
        raise ValueError(f"Got SHA-256 {digest} for {dataset.name}, expected {dataset.sha256}.")


def read_published(path: Path) -> np.ndarray:
    """Reads a published volume [z, y, x]: slices in the order of the numbers in their names."""
    if path.is_dir():
        files = [file for file in path.iterdir() if file.suffix in (".png", ".tif", ".tiff")]
        if not files:
            raise ValueError(f"Got no slices in {path}, expected PNG or TIFF files.")
        files.sort(key=lambda file: [int(number) for number in re.findall(r"\d+", file.name)])
        return np.stack([_read_image(file) for file in files])
    return np.load(path) if path.suffix == ".npy" else _read_image(path)


def _read_image(path: Path) -> np.ndarray:
    import imagecodecs

    data = path.read_bytes()
    if path.suffix == ".png":
        return imagecodecs.png_decode(data)
    return imagecodecs.tiff_decode(data, index=None)


def make(dataset: Dataset, published: np.ndarray) -> np.ndarray:
    """Cuts a data set out of a published volume, and checks it."""
    if dataset.start is None:
        raise ValueError(f"Got {dataset.name}, expected a recorded cut: {NOT_RECORDED}.")
    part = tuple(slice(a, a + n) for a, n in zip(dataset.start, dataset.shape, strict=True))
    voxels = np.ascontiguousarray(published[part])
    check(dataset, voxels)
    return voxels


def check_folder(folder: Path) -> bool:
    """Prints for each data set whether its file in a folder matches; whether all do."""
    good = True
    for dataset in DATASETS:
        path = folder / f"{dataset.name}.npy"
        try:
            check(dataset, np.load(path, mmap_mode="r"))
            print(f"{dataset.name}: matches")
        except (OSError, ValueError) as error:
            good = False
            print(f"{dataset.name}: {error}")
    return good


def main(arguments: Sequence[str] | None = None) -> None:
    """Reads the command line; lists, checks or makes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", type=Path, help="folder of the volumes")
    parser.add_argument("--make", choices=[d.name for d in DATASETS], help="the volume to make")
    parser.add_argument("--published", type=Path, help="what the publisher offers")
    parser.add_argument("--output", type=Path, help="folder for the volume")
    given = parser.parse_args(arguments)
    if given.check:
        raise SystemExit(not check_folder(given.check))
    if given.make:
        if not (given.published and given.output):
            parser.error("got --make alone, expected --published and --output with it")
        (dataset,) = [dataset for dataset in DATASETS if dataset.name == given.make]
        voxels = make(dataset, read_published(given.published))
        given.output.mkdir(parents=True, exist_ok=True)
        np.save(given.output / f"{dataset.name}.npy", voxels)
        return
    for dataset in DATASETS:
        print(f"{dataset.name} {dataset.shape}, voxels of {dataset.voxel_size_nm} nm (z, y, x)")
        print(f"  {dataset.what}\n  {dataset.published}\n  {dataset.cut}\n  {dataset.sha256}")


if __name__ == "__main__":
    main()
