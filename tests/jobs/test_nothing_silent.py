"""What goes wrong around a compression is said, and no archive is left that looks whole."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxslice
from jaxslice.archive.store import open_archive
from jaxslice.bench.synthetic import synthetic_volume
from jaxslice.codec import levels
from jaxslice.codec.engines import native
from jaxslice.core.errors import (
    FormatError,
    SourceDataError,
    TrainingError,
    TrainingWarning,
    UsageError,
)
from jaxslice.jobs import second_engine
from jaxslice.jobs.options import CompressOptions
from jaxslice.storage.folder import LocalFolder
from jaxslice.training import train

VOXELS = synthetic_volume((8, 32, 40), seed=4)
FAST = CompressOptions(effort="fast", block_shape=(4, 16, 40))


def refused(place, error, match, source=VOXELS, options=FAST) -> None:
    with pytest.raises(error, match=match):
        jaxslice.compress(source, place / "a.zarr", options)
    assert not (place / "a.zarr").exists()


def changing(change_after: int, change) -> jaxslice.Source:
    """A volume that somebody writes to after so many reads."""
    voxels, reads = VOXELS.copy(), [0]
    source = jaxslice.open_source(voxels)

    def read(box):
        reads[0] += 1
        if reads[0] == change_after:
            change(voxels)
        return voxels[box.slices].copy()

    return dataclasses.replace(source, reader=read)


def invert(voxels) -> None:
    voxels ^= 255


@pytest.mark.parametrize("reads", [12, 20, 25])
def test_a_source_that_changes_meanwhile(reads, tmp_path):
    """In the fit, between fit and coding, and in the coding."""
    refused(tmp_path, SourceDataError, "changed while it was compressed", changing(reads, invert))
    # Nothing is left that a second run would go on with.
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_written_meanwhile(tmp_path):
    """Where no sampled voxel is: its time says it."""
    path = tmp_path / "v.npy"
    np.save(path, VOXELS)
    source = jaxslice.open_source(str(path))
    reads = [0]

    def read(box):
        reads[0] += 1
        if reads[0] == 20:
            stored = np.load(path, mmap_mode="r+")
            stored[5, 3, 33] ^= 1
            stored.flush()
            path.touch()
        return source.read(box)

    watched = dataclasses.replace(source, reader=read)
    refused(tmp_path, SourceDataError, r"\(.*modified_ns\)", watched)


def test_memory_that_changes_between_coding_and_verifying(tmp_path, monkeypatch):
    voxels, real = VOXELS.copy(), native.decode
    source = dataclasses.replace(
        jaxslice.open_source(voxels), reader=lambda box: voxels[box.slices]
    )

    def decode(*arguments, **named):
        if arguments[2] == VOXELS.shape:
            voxels[2, 3, 5] += 1
        return real(*arguments, **named)

    monkeypatch.setattr(native, "decode", decode)
    options = dataclasses.replace(FAST, block_shape=VOXELS.shape)
    refused(tmp_path, FormatError, "If nobody wrote to the source meanwhile", source, options)


def test_a_chunk_that_is_missing(tmp_path):
    def read(box):
        if box.stop[0] > 4:
            raise SourceDataError("Got no chunk 4-8, expected one.")
        return VOXELS[box.slices]

    source = dataclasses.replace(jaxslice.open_source(VOXELS), reader=read)
    refused(tmp_path, SourceDataError, "Got no chunk 4-8", source)


def test_a_level_table_that_lies(tmp_path, monkeypatch):
    """The encoder writes another table than it codes with."""
    packed = levels.pack

    def lies(tables, *others):
        data = bytearray(packed(tables, *others))
        if len(data) > 32:
            data[12], data[13] = data[13], data[12]
        return bytes(data)

    monkeypatch.setattr(levels, "pack", lies)
    few = (VOXELS // 3 * 3)[:4]
    refused(
        tmp_path,
        FormatError,
        "levels|damaged|did not decode",
        few,
        dataclasses.replace(FAST, effort=0),
    )


@pytest.mark.parametrize("shards", [None, (8, 32, 40)])
def test_a_disk_that_returns_other_bytes(shards, tmp_path, monkeypatch):
    real = LocalFolder.read

    def read(self, key, *others, **named):
        data = real(self, key, *others, **named)
        return data[:50] + b"?" + data[51:] if data and "/c/0/" in key else data

    monkeypatch.setattr(LocalFolder, "read", read)
    options = dataclasses.replace(FAST, shard_shape=shards)
    refused(tmp_path, OSError, "than were just written", options=options)
    jaxslice.compress(VOXELS, tmp_path / "b.zarr", dataclasses.replace(options, verify="none"))


def test_a_clock_that_jumps(tmp_path, monkeypatch):
    """The time of day goes back by years in the midst of it; durations stay durations."""
    times = iter(range(10**9, 0, -(10**6)))
    monkeypatch.setattr("time.time", lambda: float(next(times)))
    report = jaxslice.compress(VOXELS, tmp_path / "a.zarr", FAST)
    assert all(seconds >= 0 for seconds in report.seconds.values())
    assert jaxslice.verify(tmp_path / "a.zarr", source=VOXELS).details["verified"]


def test_training_that_gives_no_numbers(tmp_path, monkeypatch):
    """Tuning falls back to what it began with, and says so."""
    real = train._train_some

    def diverges(state, *others, **named):
        state, loss = real(state, *others, **named)
        spoilt = state._replace(params=_spoilt(state.params))
        return spoilt, loss

    monkeypatch.setattr(train, "_train_some", diverges)
    options = CompressOptions(effort=1, training_steps=2, block_shape=(4, 16, 40))
    with pytest.warns(TrainingWarning, match="Training diverged after 0 steps"):
        report = jaxslice.compress(VOXELS, tmp_path / "a.zarr", options)
    assert report.details["tuning_gain_bits_per_voxel"] == 0
    assert jaxslice.verify(tmp_path / "a.zarr", source=VOXELS).details["verified"]


def _spoilt(params):
    return jax.tree.map(lambda leaf: leaf * jnp.nan, params)


@pytest.mark.parametrize("effort", ["fast", 0])
def test_a_fit_that_gives_no_numbers(effort, tmp_path, monkeypatch):
    real = np.linalg.solve

    def solve(*arrays):
        return real(*arrays) * np.nan

    monkeypatch.setattr(np.linalg, "solve", solve)
    options = dataclasses.replace(FAST, effort=effort)
    with np.errstate(all="ignore"):
        refused(tmp_path, TrainingError, "expected finite numbers", options=options)


def test_paranoid_says_which_engine_decoded(tmp_path):
    options = dataclasses.replace(FAST, paranoid=True)
    report = jaxslice.compress(VOXELS, tmp_path / "a.zarr", options)
    engines = {report.details["engine"], report.details["second_engine"]}
    assert engines == {"native", "xla"}
    assert open_archive(tmp_path / "a.zarr").provenance["second_engine"] in engines


def test_paranoid_finds_what_one_engine_does_not_notice(tmp_path, monkeypatch):
    """Both directions of the native engine are wrong in the same way, for whole blocks alone."""
    encode, decode = native.encode, native.decode

    def is_block(shape, extent) -> bool:
        return shape == FAST.block_shape and extent == shape

    def wrong_encode(symbols, shape, *others, **named):
        if is_block(shape, symbols.shape):
            symbols = symbols ^ 1
        return encode(symbols, shape, *others, **named)

    def wrong_decode(message, shape, extent, *others, **named):
        symbols = decode(message, shape, extent, *others, **named)
        return symbols ^ 1 if is_block(shape, extent) else symbols

    monkeypatch.setattr(native, "encode", wrong_encode)
    monkeypatch.setattr(native, "decode", wrong_decode)
    even = (VOXELS & 254) | 128
    options = dataclasses.replace(FAST, effort=0, engine="native")
    jaxslice.compress(even, tmp_path / "wrong.zarr", options)
    options = dataclasses.replace(options, paranoid=True)
    refused(tmp_path, FormatError, "by the engine 'xla'", even, options)


def test_paranoid_needs_two_engines(tmp_path, monkeypatch):
    def alone(name):
        if name in ("auto", "native"):
            return native.ENGINE
        raise UsageError("not here")

    monkeypatch.setattr(second_engine, "engine_named", alone)
    refused(
        tmp_path, UsageError, "expected another engine", VOXELS,
        dataclasses.replace(FAST, paranoid=True),
    )  # fmt: skip
