"""Places as the field writes them are taken apart; a local path that exists is taken literally."""

from __future__ import annotations

from pathlib import Path

import pytest

from jaxslice.core.errors import UsageError
from jaxslice.storage.location import parse_location, public_name
from jaxslice.storage.url import Told, told


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("a/b", Told("a/b")),
        ("precomputed://gs://b/v", Told("gs://b/v", format="precomputed")),
        ("zarr://s3://b/v/", Told("s3://b/v/", format="zarr")),
        ("zarr2:///abs/v", Told("/abs/v", format="zarr2")),
        ("n5://https://h/v", Told("https://h/v", format="n5")),
        ("gs://b/v|neuroglancer-precomputed:", Told("gs://b/v", format="precomputed")),
        ("gs://b/v/|zarr3:a/b/", Told("gs://b/v/", (), "a/b", "zarr3")),
        ("s3://b/v.zip|zip:in/|zarr2:0", Told("s3://b/v.zip", ("zip:in/",), "0", "zarr2")),
        ("file:///v|ocdbt|n5", Told("file:///v", ("ocdbt:",), "", "n5")),
        ("https://h/v?sig=a%2Fb|zarr3:0", Told("https://h/v?sig=a%2Fb", (), "0", "zarr3")),
        ("  /a b/ü.zarr\n", Told("/a b/ü.zarr")),
        ("gs://b/v|auto:", Told("gs://b/v")),
        ("a|b", Told("a|b")),
    ],
)
def test_a_place_is_taken_apart(place: str, expected: Told):
    assert told(place) == expected


def test_an_existing_path_is_taken_literally(tmp_path: Path):
    for name in ("v|zarr3:", " spaces ", "ünïcode|x", "zarr:"):
        (tmp_path / name).mkdir()
        place = str(tmp_path / name)
        assert told(place) == Told(place)
        assert parse_location(place) == tmp_path / name


@pytest.mark.parametrize(
    ("place", "path"),
    [
        ("gs://bucket/v|zarr3:a", "v/a/"),
        ("gs://bucket/v/|zarr3:a", "v/a/"),
        ("gs://bucket|zarr3:a", "a/"),
        ("https://h/v?sig=1|zarr3:a", "/v/a/"),
        ("https://h/v/|zarr3:a", "/v/a/"),
        ("https://h|zarr3:a", "/a/"),
        ("https://h/|zarr3:a", "/a/"),
    ],
)
def test_the_path_inside_is_part_of_the_location(place: str, path: str):
    location = parse_location(place)
    assert isinstance(location, dict)
    assert location["path"] == path


def test_a_signature_stays_with_the_server():
    location = parse_location("zarr://https://h/v?sig=secret")
    assert isinstance(location, dict)
    assert location["base_url"] == "https://h?sig=secret"
    assert public_name("zarr://https://me:pw@h/v?sig=secret|zarr3:0") == "https://h/v"


def test_words_in_a_row_are_for_the_storage_to_refuse():
    for place in ("a|ocdbt|x:n5:y", "a|zip|y", "a|n5|x"):
        told(place)
    with pytest.raises(UsageError):
        parse_location("a|ocdbt|x:n5:y")


def test_what_is_no_utf_8_is_refused():
    with pytest.raises(UsageError, match="no valid URL"):
        parse_location("gs://bucket/\udcff")
