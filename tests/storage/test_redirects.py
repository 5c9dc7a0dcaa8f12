"""Redirects are followed to another host, without what is secret, and never in a circle."""

import numpy as np
import pytest
from fault_server import faulty_server
from volumes_for_tests import BOX, make_volume

import jaxslice
from jaxslice.core.errors import StorageError
from jaxslice.storage import redirects
from jaxslice.storage.store_options import StoreOptions, options_for_now


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    voxels = make_volume(folder / "v")
    jaxslice.compress(voxels[:4, :8, :8].copy(), str(folder / "a.zarr"), FAST)
    with faulty_server(folder) as first, faulty_server(folder) as second:
        yield first, second, voxels


FAST = jaxslice.CompressOptions(effort="fast")


@pytest.fixture
def redirected(servers, monkeypatch):
    monkeypatch.setattr(redirects, "_found", {})
    first, second, voxels = servers
    first.kind, first.leads_to = "redirect", second.url
    yield first, second, voxels
    first.clear()
    second.clear()


def test_a_volume_is_read_from_where_it_is(redirected):
    first, second, voxels = redirected
    place = first.url.replace("//", "//me:secret@") + "/v?sig=secret"
    np.testing.assert_array_equal(jaxslice.open_source(place).read(BOX), voxels)
    assert first.authorized
    assert second.requests
    assert not second.authorized
    assert sum(first.requests.values()) <= 3


def test_an_archive_is_read_from_where_it_is(redirected):
    first, second, voxels = redirected
    np.testing.assert_array_equal(jaxslice.open(f"{first.url}/a.zarr")[:], voxels[:4, :8, :8])
    assert any("/c/" in path for path in second.requests)


def test_circles_and_signed_objects_are_named(redirected):
    first, second, _ = redirected
    second.kind, second.leads_to = "redirect", first.url
    with pytest.raises(StorageError, match=rf"circle: {first.url}/v/info to {second.url}"):
        jaxslice.open_source(f"{first.url}/v")
    second.clear()
    first.signed = "?sig=secret"
    with pytest.raises(StorageError, match="no folder of all objects") as caught:
        jaxslice.open_source(f"{first.url}/v")
    assert "secret" not in str(caught.value)
    second.kind = "silent"
    first.signed = ""
    quick = options_for_now(StoreOptions(timeout_seconds=0.2))
    with quick, pytest.raises(StorageError, match="timed out"):
        jaxslice.open_source(f"{first.url}/v")
    first.leads_to = "file:///etc"
    with pytest.raises(StorageError, match="not followed"):
        jaxslice.open_source(f"{first.url}/v")
