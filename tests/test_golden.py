"""Golden archives: those that must decode for as long as their format version is read, and those
that must fail. The reference decoder reads the same ones."""

import hashlib
import json

import numpy as np
import pytest
import zarr
from make_golden import BODY, GOLDEN, model_of, padded, volumes
from make_more_damaged import cases
from make_more_golden import HAND_MADE, compressed, made

import jaxslice
from jaxslice import reference
from jaxslice.archive.scales import open_volumes
from jaxslice.archive.store import open_archive
from jaxslice.codec import body, network_difference, payload
from jaxslice.codec.versions import ARCHIVE_VERSION
from jaxslice.reference import sixteen

CHECKSUMS = {
    folder.name: json.loads((folder / "voxels_sha256.json").read_text())
    for folder in sorted(GOLDEN.glob("v*"))
}
ARCHIVES = [
    pytest.param(version, name, id=f"{version}-{name}")
    for version, names in CHECKSUMS.items()
    for name in names
]

LATER = {*compressed(), *made()} - {"wide"}
ON_ENGINES = [
    pytest.param(engine, version, name, id=f"{engine}-{version}-{name}")
    for engine in ("native", "xla")
    for version, names in CHECKSUMS.items()
    for name in names
    if engine == "native" or name not in LATER
]
"""XLA compiles for each of them, so that it gets one of those that were added later."""

NEWEST = f"v{ARCHIVE_VERSION}"
ENCODED = [
    param
    for param in ON_ENGINES
    if param.values[2] not in HAND_MADE
    and (param.values[0] == "native" or param.values[1] == NEWEST)
]
"""Archives are written in the newest version alone: one engine shows that payloads of the others
have not changed."""


def _sha256(voxels: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(voxels).tobytes()).hexdigest()


@pytest.mark.parametrize(("each_engine", "version", "name"), ON_ENGINES, indirect=["each_engine"])
def test_golden_archives_decode(each_engine, version, name):
    archive = GOLDEN / version / f"{name}.zarr"
    assert _sha256(jaxslice.open(str(archive))[...]) == CHECKSUMS[version][name]


@pytest.mark.parametrize(("version", "name"), ARCHIVES)
def test_the_reference_decodes_them(version, name, tmp_path):
    archive = GOLDEN / version / f"{name}.zarr"
    reference.decode_array(archive / "0", tmp_path / "out.npy")
    assert _sha256(np.load(tmp_path / "out.npy")) == CHECKSUMS[version][name]


def test_zarr_reads_networks_of_blocks():
    array = zarr.open_array(GOLDEN / "v2" / "comb.zarr" / "0", mode="r")
    assert _sha256(array[...]) == CHECKSUMS["v2"]["comb"]


def test_the_coarser_scale_of_two():
    """A mean of what the finest scale holds, half up."""
    fine = jaxslice.open(str(GOLDEN / "v4" / "scales.zarr"))[...]
    coarse = open_volumes(GOLDEN / "v4" / "scales.zarr")[1][...]
    z, y, x = coarse.shape
    sums = fine.astype(int).reshape(z, fine.shape[0] // z, y, 2, x, 2).sum((1, 3, 5))
    count = fine.size // coarse.size
    np.testing.assert_array_equal(coarse, (2 * sums + count) // (2 * count))


@pytest.mark.parametrize(("each_engine", "version", "name"), ENCODED, indirect=["each_engine"])
def test_encoding_gives_the_same_bytes(each_engine, version, name):
    """Payloads, not only voxels: an encoder that changes without a reason shows up here."""
    from jaxslice.codec.block import encode_blocks

    opened = open_archive(str(GOLDEN / version / f"{name}.zarr"))
    model = model_of(opened.configuration)
    voxels = jaxslice.open(opened.location)[...]
    for index in opened.blocks():
        data = opened.read_payload(index)
        item, changes = payload.unpack(data, opened.block_shape, opened.dtype), None
        if item.block_network:
            changes = body.split_coded_body(item).difference
            network = network_difference.decode(changes, model.network, model.architecture)
            assert (
                network_difference.encode(model.network, network, model.architecture)[0] == changes
            )
        part = padded(voxels[opened.box_of(index).slices], opened.block_shape)
        own = [changes] if opened.configuration.block_networks else None
        place = opened.place_of(index) if item.place is None else item.place
        again = encode_blocks(
            [part], model, differences=own, places=[place],
            format_version=opened.configuration.format_version,
        )  # fmt: skip
        assert again == [data]


@pytest.mark.parametrize("version", CHECKSUMS)
def test_sizes_are_those_reviewed(version):
    sizes = {
        name: open_archive(str(GOLDEN / version / f"{name}.zarr")).provenance["blocks_bytes"]
        for name in CHECKSUMS[version]
    }
    assert sizes == json.loads((GOLDEN / version / "block_bytes.json").read_text())


def test_they_hold_what_the_script_says():
    """The generator may drift from the goldens with NumPy; within one machine it is the same."""
    assert set(volumes()) == set(CHECKSUMS["v1"])
    assert CHECKSUMS["v2"].items() <= CHECKSUMS["v1"].items() <= CHECKSUMS["v3"].items()


def _starts(version: str) -> set[bytes]:
    """Version, mode and flags of all payloads of a version's archives."""
    archives = [open_archive(str(path)) for path in (GOLDEN / version).glob("*.zarr")]
    data = [archive.read_payload(index) for archive in archives for index in archive.blocks()]
    assert {archive.configuration.format_version for archive in archives} == {int(version[1])}
    flags = 2 if version == "v4" else 3
    return {item[:2] + item[flags : flags + 1] for item in data}


def test_they_hold_payloads_of_both_versions():
    assert _starts("v1") == {b"\1\1\0", b"\1\2\0"}
    assert _starts("v2") == {b"\1\2\0", b"\2\2\1"}
    assert _starts("v3") == {b"\1\1\0", b"\1\2\0", b"\2\2\1"}


def test_version_4_holds_every_mode_with_its_flags():
    starts = {(d[1], d[2]) for d in _starts("v4")}
    assert starts == {(0, 0), (1, 0), (1, 2), (2, 0), (2, 1), (2, 2), (2, 3)}


def test_16_bits_hold_every_shift(monkeypatch, tmp_path):
    """What the shift of differences is, in slices with all levels."""
    predict, shifts = sixteen._predict, set()

    def noted(v, counts, bits, predictor):
        found = predict(v, counts, bits, predictor)
        assert set(bits) == {16}
        shifts.update(found[1].tolist())
        return found

    monkeypatch.setattr(sixteen, "_predict", noted)
    reference.decode_array(GOLDEN / "v4" / "wide.zarr" / "0", tmp_path / "out.npy")
    assert shifts == set(range(9))


def test_the_first_bytes_of_a_network_of_its_own():
    """The record of each tensor, the last of which was left as it was, and the lane's state."""
    data = (GOLDEN / "v2" / "comb.zarr" / "0" / "c" / "0" / "0" / "0").read_bytes()
    assert data[BODY : BODY + 4].hex() == "b8000000"
    records, state = data[BODY + 4 : BODY + 20], data[BODY + 20 : BODY + 28]
    assert records.hex(" ", 3) == "43 7f107f 730c43 7f0c45 7f0b41 7f11ff"
    assert state.hex(" ", 4) == "a8040000 13d7d735"


DAMAGED = sorted((GOLDEN / "damaged").glob("v*/*.zarr"))
OLDER_DAMAGED = [path for path in DAMAGED if f"{path.parent.name}/{path.stem}" not in cases()]


def _id(archive) -> str:
    return f"{archive.parent.stem}-{archive.stem}"


@pytest.mark.parametrize("archive", OLDER_DAMAGED, ids=_id)
def test_damaged_archives_fail(archive):
    with pytest.raises(jaxslice.FormatError) as caught:
        jaxslice.verify(str(archive))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", cases())
def test_they_fail_for_the_reason_that_they_are_there_for(name):
    with pytest.raises(jaxslice.FormatError, match=cases()[name][2]) as caught:
        jaxslice.verify(str(GOLDEN / "damaged" / f"{name}.zarr"))
    assert len(str(caught.value).splitlines()) == 1


def test_zarr_refuses_a_version_that_the_archive_does_not_admit():
    archive = GOLDEN / "damaged" / "v2" / "archive-of-version-1.zarr"
    array = zarr.open_array(archive / "0", mode="r")
    with pytest.raises(jaxslice.FormatError, match="version 2, expected 1 as the archive says"):
        array[...]


@pytest.mark.parametrize("archive", DAMAGED, ids=_id)
def test_the_reference_refuses_them(archive, tmp_path):
    with pytest.raises(jaxslice.FormatError):
        reference.decode_array(archive / "0", tmp_path / "out.npy")
