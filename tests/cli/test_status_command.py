"""`jaxslice status`."""

import json


def test_status_of_an_archive(jaxslice, small_archive, tmp_path):
    code, out, err = jaxslice("status", small_archive)
    assert (code, err) == (0, "")
    assert "18 of 18 (100.0 %)" in out
    code, out, _ = jaxslice("status", small_archive, "--json")
    assert json.loads(out)["state"] == "sealed"
    assert jaxslice("status", tmp_path / "none.zarr")[0] == 2
