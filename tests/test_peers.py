"""The comparison with other codecs: every peer is lossless, and the check can fail."""

import math
import sys

import numpy as np
import pytest

from jaxslice import peers
from jaxslice.errors import MissingExtraError, UsageError
from jaxslice.synthetic import synthetic_volume

NAMES = ["PNG", "PNG, general", "JPEG-LS", "WebP", "JPEG 2000", "JPEG-XL e7", "zstd -19"]


def test_without_imagecodecs_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    with pytest.raises(MissingExtraError, match=r"jaxslice\[bench\]"):
        peers.peers()


def test_every_peer_is_lossless_and_smaller_than_raw_on_tissue():
    pytest.importorskip("imagecodecs")
    volume = synthetic_volume((2, 64, 96), seed=3)
    results = peers.measure_peers(volume)
    assert [result.name for result in results] == NAMES
    for result in results:
        assert (result.lossless, result.note) == (True, ""), result
        assert 4 < result.bits_per_voxel < 8, result
        assert result.bits_per_voxel == 8 * result.compressed_bytes / volume.size
        assert result.encode_seconds > 0
        assert result.decode_seconds > 0


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 7), (3, 5, 1)])
def test_degenerate_volumes(shape):
    pytest.importorskip("imagecodecs")
    volume = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    for result in peers.measure_peers(volume):
        assert result.lossless, result
        assert result.compressed_bytes > 0, result


def test_voxels_that_are_not_contiguous():
    pytest.importorskip("imagecodecs")
    volume = synthetic_volume((6, 8, 10)).transpose(2, 0, 1)[::2, ::-1]
    assert all(result.lossless for result in peers.measure_peers(volume))


def test_a_slice_too_large_for_webp_gives_a_note_and_the_others_go_on():
    pytest.importorskip("imagecodecs")
    webp, png = peers.measure_peers(np.zeros((1, 1, 16384), np.uint8), ["WebP", "PNG"])
    assert not webp.lossless
    assert math.isnan(webp.bits_per_voxel)
    assert "1 x 16384" in webp.note
    assert png.lossless


def test_a_peer_that_changes_one_voxel_is_not_called_lossless():
    def decode(data: bytes) -> np.ndarray:
        image = np.frombuffer(data, np.uint8).reshape(-1, 4).copy()
        image[0, 0] ^= image.size > 1  # the warm-up sees a single voxel
        return image

    lossy = peers.Peer("lossy", lambda image: np.resize(image, (2, 4)).tobytes(), decode)
    result = peers.measure_peer(lossy, np.arange(16, dtype=np.uint8).reshape(2, 2, 4))
    assert not result.lossless
    assert "same voxels" in result.note


def test_a_peer_that_changes_the_shape_is_not_called_lossless():
    flat = peers.Peer("flat", lambda image: image.tobytes(), lambda d: np.frombuffer(d, np.uint8))
    assert not peers.measure_peer(flat, np.zeros((1, 2, 4), np.uint8)).lossless


@pytest.mark.parametrize(
    "volume",
    [np.zeros((2, 2), np.uint8), np.zeros((1, 2, 2), np.int16), np.zeros((0, 2, 2), np.uint8)],
)
def test_other_arrays_are_refused(volume):
    with pytest.raises(UsageError, match="expected uint8 voxels"):
        peers.measure_peers(volume)


def test_unknown_names_are_refused():
    pytest.importorskip("imagecodecs")
    with pytest.raises(UsageError, match="GIF"):
        peers.measure_peers(np.zeros((1, 2, 2), np.uint8), ["PNG", "GIF"])
