"""Locations as users write them, and what may be recorded of them."""

import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxslice.core.errors import UsageError
from jaxslice.storage.location import last_name, parse_location, public_name


def test_s3_endpoint_variables(monkeypatch: pytest.MonkeyPatch):
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    credentials = {"aws_credentials": {"type": "environment"}}
    plain = {"driver": "s3", "bucket": "volumes", "path": "v/", **credentials}
    assert parse_location("s3://volumes/v") == plain
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://any:1/")
    assert parse_location("s3://volumes/v") == plain | {"endpoint": "http://any:1"}
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://own:2")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-1")
    own = {"endpoint": "http://own:2", "aws_region": "eu-1"}
    assert parse_location("s3://volumes/v") == plain | own
    assert parse_location("gs://volumes/v") == {"driver": "gcs", "bucket": "volumes", "path": "v/"}


def test_query_of_a_url_is_kept():
    spec = parse_location("https://host/v?token=a")
    assert spec == {"driver": "http", "base_url": "https://host?token=a", "path": "/v/"}


def test_paths_are_locations():
    assert parse_location(pathlib.Path("a") / "b") == parse_location("a/b")


@pytest.mark.parametrize("place", ["", "ftp://host/x"])
def test_no_location(place: str):
    with pytest.raises(UsageError, match="expected a path or a URL with one of file://, http://"):
        parse_location(place)


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("/a/b/v.npy", "v.npy"),
        ("s3://bucket/a/v/", "v"),
        ("https://host/a/v?x=1", "v"),
        ("s3://bucket", ""),
    ],
)
def test_last_name(place: str, name: str):
    assert last_name(parse_location(place)) == name


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("default", "default"),
        ("volume.npy", "volume.npy"),
        ("/home/me/data/volume/", "volume"),
        ("../data/volume.npy", "volume.npy"),
        ("C:\\Users\\me\\volume.npy", "volume.npy"),
        ("file:///home/me/volume", "volume"),
        ("precomputed://file:///home/me/volume", "volume"),
        ("s3://bucket/a/v", "s3://bucket/a/v"),
        ("https://host:8080/a/v#here", "https://host:8080/a/v"),
        ("https://me:pw@host/v?X-Amz-Signature=1|neuroglancer-precomputed:", "https://host/v"),
        ("precomputed://https://me@host/v", "https://host/v"),
    ],
)
def test_public_name(place: str, name: str):
    assert public_name(place) == name


_SECRET = "5EcReT"
_TEXT = st.text(st.characters(codec="ascii", exclude_characters="\n\r/?#"), max_size=5)


@given(user=_TEXT, query=_TEXT, fragment=_TEXT, prefix=st.sampled_from(["", "precomputed://"]))
def test_no_secret_is_public(user: str, query: str, fragment: str, prefix: str):
    url = f"{prefix}https://{user}:{_SECRET}@host/a/v?{query}={_SECRET}#{fragment}{_SECRET}"
    assert public_name(url) == "https://host/a/v"
