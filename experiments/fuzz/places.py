"""What users type, and others may have made up: URLs, paths, boxes, shapes, names of volumes."""

from __future__ import annotations

import re

from fuzz.target import Target, may_refuse
from jaxslice.core.box import Box, parse_shape
from jaxslice.serve.volume import names_for
from jaxslice.storage.location import last_name, parse_location, public_name, without_secrets
from jaxslice.storage.url import told

_SECRET = "s3cr3t"


def check(data: bytes) -> None:
    """Reads one text in all ways."""
    # As arguments of the command line come.
    text = data.decode("utf-8", "surrogateescape")
    assert told(text).url is not None
    with may_refuse():
        last_name(parse_location(text))
    with may_refuse():
        box = Box.parse(text)
        assert box.size > 0
        assert Box.parse(str(box)) == box
    with may_refuse():
        assert len(parse_shape(text)) == 3
    names = names_for([text, text], ["stats"])
    assert len({*names, "stats"}) == 3
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+", name) for name in names), names
    user = re.sub(r"[\s/?#'\"@|]", "", text)
    for url in (f"https://{user}:{_SECRET}@host/path", f"https://host/path?{user}{_SECRET}"):
        assert _SECRET not in public_name(url), url
        assert _SECRET not in without_secrets(url), url


TARGETS = (Target("places", check),)
