"""The comparison with other codecs: every peer is lossless, and the check can fail."""

import math
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from jaxslice.bench import delta3d_peer, peer_programs, peers
from jaxslice.bench.peer import cpu_seconds
from jaxslice.bench.synthetic import synthetic_volume
from jaxslice.core.errors import MissingExtraError

NAMES = [
    "PNG", "PNG, general", "JPEG-LS", "WebP", "JPEG 2000", "HTJ2K", "JPEG-XL e1", "JPEG-XL e3",
    "JPEG-XL e7", "zstd -19",
]  # fmt: skip
SLOW_NAMES = ["JPEG-XL e4", "JPEG-XL e9", "xz -9e"]
TOMOZ_NAMES = ["tomoz", "tomoz, slices"]
DELTA3D_NAMES = ["vc-delta3d", "vc-delta3d lpc"]
OPENZL_NAMES = ["OpenZL med", "OpenZL planar"]
BLOSC2_NAMES = ["Blosc2", "Blosc2, bitshuffle"]
VIDEO_NAMES = ["FFV1", "FFV1, context 0", "x264 lossless", "x265 lossless"]
OPTIONAL_NAMES = [*TOMOZ_NAMES, *DELTA3D_NAMES, *OPENZL_NAMES, *BLOSC2_NAMES, *VIDEO_NAMES]
EVERY_NAME = [*NAMES, *SLOW_NAMES, *OPTIONAL_NAMES]
MISSING = peers.missing_peers()
SIXTEEN_BITS = {peer.name for peer in peers.peers_of(np.dtype(np.uint16))}


def measured(volume, names=NAMES):
    return [peers.measure_peer(peers.peer_named(name), volume) for name in names]


def test_without_imagecodecs_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    with pytest.raises(MissingExtraError, match=r"jaxslice\[bench\]"):
        peers.peers()


def test_every_peer_is_lossless_and_smaller_than_raw_on_tissue():
    volume = synthetic_volume((2, 64, 96), seed=3)
    results = measured(volume)
    assert [result.name for result in results] == NAMES
    for result in results:
        assert (result.lossless, result.note) == (True, ""), result
        assert 4 < result.bits_per_voxel < 8, result
        assert result.bits_per_voxel == 8 * result.compressed_bytes / volume.size
        assert result.encode_seconds > 0
        assert result.decode_seconds > 0


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 7), (3, 5, 1)])
def test_degenerate_volumes(shape):
    volume = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    for result in measured(volume):
        assert result.lossless, result
        assert result.compressed_bytes > 0, result


def test_voxels_that_are_not_contiguous():
    volume = synthetic_volume((6, 8, 10)).transpose(2, 0, 1)[::2, ::-1]
    assert all(result.lossless for result in measured(volume))


def test_a_slice_too_large_for_webp_gives_a_note_and_the_others_go_on():
    volume = np.zeros((1, 1, 16384), np.uint8)
    webp, png = measured(volume, ["WebP", "PNG"])
    assert not webp.lossless
    assert math.isnan(webp.bits_per_voxel)
    assert "1 x 16384" in webp.note
    assert png.lossless


def test_a_peer_that_changes_one_voxel_is_not_called_lossless():
    def decode(data: bytes) -> np.ndarray:
        image = np.frombuffer(data, np.uint8).reshape(-1, 4).copy()
        image[0, 0] ^= 1
        return image

    lossy = peers.Peer("lossy", lambda image: np.resize(image, (2, 4)).tobytes(), decode)
    result = peers.measure_peer(lossy, np.arange(16, dtype=np.uint8).reshape(2, 2, 4))
    assert not result.lossless
    assert "same voxels" in result.note


def test_a_peer_that_changes_the_shape_is_not_called_lossless():
    flat = peers.Peer("flat", lambda image: image.tobytes(), lambda d: np.frombuffer(d, np.uint8))
    assert not peers.measure_peer(flat, np.zeros((1, 2, 4), np.uint8)).lossless


@pytest.fixture
def nothing_installed(monkeypatch):
    for package in ("tomoz", "geozl", "blosc2", "imageio_ffmpeg"):
        monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv(delta3d_peer.VARIABLE, "/not/there")


def test_every_peer_is_found_or_reported_missing():
    found = [peer.name for peer in peers.all_peers()]
    missing = peers.missing_peers()
    assert sorted([*found, *missing]) == sorted(EVERY_NAME)
    assert found[: len(NAMES)] == NAMES


@pytest.mark.parametrize(
    "name",
    [*SLOW_NAMES, *(name for name in OPTIONAL_NAMES if name not in MISSING)],
)
def test_every_other_installed_peer_is_lossless(name):
    # 3 x 52 x 90 is no multiple of any block of a video codec.
    volume = synthetic_volume((6, 60, 90), seed=3)[::2, 4:56]
    (result,) = measured(volume, [name])
    assert (result.lossless, result.note) == (True, ""), result
    assert 4 < result.bits_per_voxel < 9, result


@pytest.mark.parametrize("name", [name for name in EVERY_NAME if name in SIXTEEN_BITS])
def test_sixteen_bits_come_back_where_a_peer_takes_them(name):
    volume = synthetic_volume((3, 40, 70), seed=3).astype(np.uint16) * 200 + 77
    volume[0, 0, :2] = 0, 65535
    (result,) = measured(volume, [name])
    assert (result.lossless, result.note) == (True, ""), result
    assert result.bits_per_voxel < 24, result


def test_peers_of_types():
    every = {peer.name for peer in peers.all_peers()}
    assert {peer.name for peer in peers.peers_of(np.dtype(np.uint8))} == every
    assert {"JPEG-XL e7", "zstd -19"} <= SIXTEEN_BITS <= every - {"WebP"}


def test_half_of_the_bytes_of_sixteen_bits_are_not_called_lossless():
    half = peers.Peer(
        "half",
        lambda volume: volume.astype(np.uint8).tobytes(),
        lambda data: np.frombuffer(data, np.uint8),
        whole_volume=True,
    )
    assert peers.measure_peer(half, np.ones((2, 3, 4), np.uint8)).lossless
    assert not peers.measure_peer(half, np.ones((2, 3, 4), np.uint16)).lossless


def test_the_quickest_pass_of_each_slice_counts_and_enough_is_enough():
    steps = [0, 0, 5, 2, 0, 4, 1, 0, 0, 3, 7, 0, 9, 1, 0]
    #       start;  2 slices encoded;  decoded;  once more 3 and 7, 9 and 1;  enough
    ticks = iter(np.cumsum(steps))
    peer = peers.Peer(
        "slow", lambda image: image.tobytes(), lambda data: np.frombuffer(data, np.uint8)[None],
        clock=lambda: next(ticks),
    )  # fmt: skip
    result = peers.measure_peer(peer, np.zeros((2, 1, 4), np.uint8), 9, enough_seconds=30)
    assert (result.encode_seconds, result.decode_seconds) == (3 + 2, 4 + 1)
    assert next(ticks, None) is None


def test_what_is_not_installed_is_reported_by_name(nothing_installed):
    assert [peer.name for peer in peers.all_peers()] == [*NAMES, *SLOW_NAMES]
    missing = peers.missing_peers()
    assert list(missing) == OPTIONAL_NAMES
    for name in OPTIONAL_NAMES:
        needed = "pip install vc-delta3d" if name in DELTA3D_NAMES else "jaxslice[peers]"
        assert needed in missing[name]
        with pytest.raises(MissingExtraError):
            peers.peer_named(name)


def program(folder: Path, script: str) -> str:
    """Something on PATH that is called ffmpeg."""
    path = folder / "ffmpeg"
    path.write_text(f"#!{sys.executable}\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_an_ffmpeg_without_an_encoder_is_reported(nothing_installed, monkeypatch, tmp_path):
    found = program(tmp_path, "print(' V....D ffv1   FFmpeg video codec #1, not libx264')")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert peer_programs.find_encoders([found, "/not/there"]) == {"ffv1": found}
    missing = peers.missing_peers()
    assert "FFV1" not in missing
    assert "none with the encoder libx264" in missing["x264 lossless"]


def test_a_program_that_fails_gives_its_complaint_as_a_note(tmp_path):
    broken = program(tmp_path, "import sys; sys.exit('no such option')")
    assert peer_programs.find_encoders([broken]) == {}
    codec = peer_programs.VIDEO_CODECS[0]
    peer = peers.Peer(
        "broken",
        lambda volume: peer_programs.encode_video(broken, codec, volume),
        lambda data: peer_programs.decode_video(broken, codec, data),
        whole_volume=True,
    )
    result = peers.measure_peer(peer, np.zeros((1, 2, 2), np.uint8))
    assert "Got exit code 1" in result.note
    assert "no such option" in result.note


FAKE_FFMPEG = """
import sys, zlib
if "-encoders" in sys.argv:
    for name in ("ffv1", "libx264", "libx265"):
        print(" V....D", name)
elif "-c:v" in sys.argv:
    sys.stdout.buffer.write(zlib.compress(sys.stdin.buffer.read()))
else:
    sys.stdout.buffer.write(zlib.decompress(sys.stdin.buffer.read()))
"""
"""A program with the arguments of ffmpeg that codes by zlib."""


@pytest.fixture
def fake_ffmpeg(nothing_installed, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    return program(tmp_path, FAKE_FFMPEG)


@pytest.mark.parametrize("name", VIDEO_NAMES)
def test_voxels_go_through_the_program_and_come_back(fake_ffmpeg, name):
    volume = synthetic_volume((6, 60, 90), seed=3)[::2, 4:56]
    (result,) = measured(volume, [name])
    assert (result.lossless, result.note) == (True, ""), result


def test_a_damaged_video_does_not_pass(fake_ffmpeg):
    codec = peer_programs.VIDEO_CODECS[0]

    def encode(voxels: np.ndarray) -> bytes:
        data = bytearray(peer_programs.encode_video(fake_ffmpeg, codec, voxels))
        data[len(data) // 2] ^= 255
        return bytes(data)

    def decode(data: bytes | bytearray) -> np.ndarray:
        return peer_programs.decode_video(fake_ffmpeg, codec, data)

    result = peers.measure_peer(
        peers.Peer("FFV1", encode, decode, True), np.eye(8, dtype=np.uint8)[None]
    )
    assert not result.lossless
    assert "exit code 1" in result.note


FAKE_DELTA3D = """
import time, zlib
class Delta3D:
    def __init__(self, predictor="delta"):
        self.predictor = predictor
    def encode(self, volume):
        return zlib.compress(f"{self.predictor}{volume.shape}{volume.dtype}:".encode()
                             + volume.tobytes())
    def decode(self, data):
        return zlib.decompress(data).partition(b":")[2]
"""
"""A module with the names of vc-delta3d that codes by zlib."""


@pytest.fixture
def fake_delta3d(monkeypatch, tmp_path):
    (tmp_path / "vc_delta3d.py").write_text(FAKE_DELTA3D)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv(delta3d_peer.VARIABLE, sys.executable)


@pytest.mark.parametrize("name", DELTA3D_NAMES)
def test_voxels_go_through_the_other_python_and_come_back(fake_delta3d, name):
    assert name not in peers.missing_peers()
    peer, volume = peers.peer_named(name), synthetic_volume((2, 20, 30))
    before, spent = peer.clock(), cpu_seconds()
    result = peers.measure_peer(peer, volume)
    assert (result.lossless, result.note) == (True, ""), result
    # Starting Python does not count.
    assert 0 < peer.clock() - before < cpu_seconds() - spent
    told = zlib.decompress(peer.encode(volume)).partition(b":")[0]
    predictor = "lpc" if name.endswith("lpc") else "delta"
    assert told == f"{predictor}(2, 20, 30)uint8".encode()


def test_damaged_bytes_give_the_complaint_of_the_other_python(fake_delta3d):
    with pytest.raises(RuntimeError, match="Got exit code 1"):
        peers.peer_named("vc-delta3d").decode(b"nothing")
