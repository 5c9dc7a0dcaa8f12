"""`bench` and `demo`: flags become arguments of the library, reports become tables."""

import json

import numpy as np

from jaxslice.bench import bench, demo


def test_bench(jaxslice, monkeypatch, tmp_path):
    seen = {}

    def measured(source, **given):
        seen.update(given, source=source)
        return {"rows": []}

    monkeypatch.setattr(bench, "bench", measured)
    code, out, _ = jaxslice("bench", "--json", "--peers=none")
    assert (code, json.loads(out)) == (0, {"rows": []})
    assert (seen["source"], seen["efforts"], seen["batches"]) == (None, ("fast", 0, 1), None)
    words = ("--batches=1,4", f"--output={tmp_path}/b.csv", "--workers=2", "--block_shape=4,8,8")
    np.save(tmp_path / "v.npy", np.zeros((4, 8, 8), np.uint8))
    code, _, err = jaxslice("bench", f"{tmp_path}/v.npy", "--json", *words)
    assert code == 0, err
    assert seen["source"].description.endswith("v.npy")
    assert (seen["batches"], seen["with_peers"]) == ((1, 4), "quick")
    assert (seen["options"].workers, seen["options"].block_shape) == (2, (4, 8, 8))
    assert seen["output"] == f"{tmp_path}/b.csv"


def test_the_table_of_bench_takes_no_markup(jaxslice, monkeypatch):
    report = {
        "rows": [{"codec": "a [red]b[/x]", "note": "[/y] is not installed"}],
        "exactness": {"probe": "passed", "same_bytes": ["one"], "coded_blocks": 1},
        "skipped": {"3": "no [/z]"},
        "device": "cpu", "cores": 1, "jax": "0", "csv": "a[b].csv", "plot": None,
    }  # fmt: skip
    monkeypatch.setattr(bench, "bench", lambda *_, **__: report)
    code, out, _ = jaxslice("bench")
    assert code == 0
    for text in ("a [red]b[/x]", "[/y] is not installed", "no [/z]", "csv: a[b].csv"):
        assert text in out


def test_demo(jaxslice, monkeypatch, tmp_path):
    peer = {"name": "PNG", "bits_per_voxel": 5.0, "encode_mb_per_s": 1.0, "decode_mb_per_s": 2.0}
    seen = []

    def shown(*arguments):
        seen.extend(arguments[:3])
        return {"peers": [{**peer, "lossless": False}], "verified": True}

    monkeypatch.setattr(demo, "demo", shown)
    words = ("demo", f"--output={tmp_path / 'out'}", "--source=v.npy", "--seed=2")
    code, out, _ = jaxslice(*words)
    assert code == 0
    assert seen == [str(tmp_path / "out"), "v.npy", 2]
    _title, headings, row, *_ = out.splitlines()
    assert headings.split("  ")[0] == "codec"
    assert row.split() == ["PNG", "5.000", "1.0", "2.0", "NO"]
    assert "verified  yes" in out
    assert json.loads(jaxslice(*words, "--json")[1])["verified"] is True
