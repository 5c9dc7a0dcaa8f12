"""The corpora of the fuzz targets, and a few inputs like them: nothing is found any more."""

import csv
import importlib
import re
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
CORPUS = EXPERIMENTS / "fuzz" / "corpus"
NATIVE = ("levels_round", "check_linear", "check_network", "linear_round", "network_round")
PYTHON = sorted(path.name for path in CORPUS.iterdir() if path.name not in NATIVE)
MOST_INPUTS = 20
"""Of a corpus that are run here."""


@pytest.fixture(scope="module")
def fuzz():
    """Imports a module of the experiment."""
    sys.path.insert(0, str(EXPERIMENTS))
    yield lambda name: importlib.import_module(f"fuzz.{name}")
    sys.path.remove(str(EXPERIMENTS))


def changed(data: bytes, place: int, bits: int, cut: int) -> bytes:
    """Bytes with one changed, and some left out."""
    place %= len(data)
    return data[:place] + bytes((data[place] ^ bits,)) + data[place + 1 + cut :]


@pytest.mark.parametrize("name", PYTHON)
def test_corpora_find_nothing(fuzz, name):
    target = fuzz("targets").TARGETS[name]
    # What was found comes before the seeds.
    for data in target.corpus()[:MOST_INPUTS]:
        target.check(data)


@pytest.mark.parametrize("name", PYTHON)
def test_inputs_like_them_find_nothing(fuzz, name):
    target, mutated = fuzz("targets").TARGETS[name], fuzz("json_mutator").mutated
    inputs = target.corpus()

    @settings(max_examples=15, deadline=None)
    @given(st.sampled_from(inputs), st.integers(0, 2**20), st.integers(0, 255), st.integers(0, 3))
    def check(data, seed, bits, cut):
        if target.has_json and bits:
            target.check(mutated(data, seed))
        else:
            target.check(changed(data, seed, bits, cut))

    check()


def test_a_seed_always_makes_the_same_document(fuzz):
    mutated = fuzz("json_mutator").mutated
    data = fuzz("targets").TARGETS["metadata"].corpus()[0]
    made = [mutated(data, seed) for seed in range(60)]
    assert made == [mutated(data, seed) for seed in range(60)]
    assert len(set(made)) > 50
    assert mutated(b"no JSON", 1) == b"no JSON"


def test_every_target_has_a_corpus(fuzz):
    assert set(fuzz("targets").TARGETS) == set(PYTHON)
    assert sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()) < 300_000


def test_decoders_that_differ_are_found(fuzz, monkeypatch):
    decoder = fuzz("decoder")
    stored = decoder.TARGETS[0].corpus()[2]
    decoder.check(stored)
    decode = decoder.decode_payloads
    monkeypatch.setattr(decoder, "decode_payloads", lambda *a: [decode(*a)[0] + 1])
    with pytest.raises(AssertionError, match="other voxels"):
        decoder.check(stored)
    monkeypatch.setattr(decoder, "_decoded", lambda *_: None)
    with pytest.raises(AssertionError, match="the decoder found None"):
        decoder.check(stored)


def test_metadata_that_one_parser_takes_is_found(fuzz, monkeypatch):
    metadata = fuzz("metadata")
    alone = next(d for d in metadata.TARGETS[0].corpus() if b"\0" not in d)
    metadata.check(alone)
    monkeypatch.setattr(metadata, "parse", lambda *_: [])
    metadata.check(alone)
    with pytest.raises(AssertionError, match="reference refuses"):
        metadata.check(b"{}")


def test_errors_of_others_are_found(fuzz, monkeypatch):
    readers, server = fuzz("readers"), fuzz("server")
    npy = fuzz("targets").TARGETS["reader_npy"].corpus()[0]
    monkeypatch.setattr(readers, "open_source", lambda _: {}["nothing"])
    with pytest.raises(KeyError):
        readers.TARGETS[0].check(npy)
    request = b"GET /stats HTTP/1.1\r\nHost: h\r\n\r\n"
    server.check(request)
    monkeypatch.setattr(server._server().cache, "kept_bytes", None)
    monkeypatch.setattr(server._server().cache, "counts", None)
    with pytest.raises(AssertionError, match="TypeError"):
        server.check(request)


LOG = """#2	INITED cov: 40 ft: 41 corp: 1/1b exec/s: 0 rss: 90Mb
#500	NEW    cov: 57 ft: 159 corp: 38/369b lim: 256 exec/s: 2732 rss: 388Mb L: 3/4
Done 549233 runs in 201 second(s)
stat::number_of_executed_units: 549233
stat::peak_rss_mb:              391
"""


def test_logs_are_read(fuzz):
    run = fuzz("run")
    row = run.read_log(LOG)
    assert row == {"executions": 549233, "seconds": 201, "edges": 57, "peak_rss_mb": 391}
    stopped = run.read_log(LOG.partition("Done")[0])
    assert (stopped["executions"], stopped["peak_rss_mb"]) == (500, 388)
    stopped = run.read_log(f"{LOG.partition('Done')[0]}stat::average_exec_per_sec: 250\n")
    assert stopped["seconds"] == 2
    before = {"executions": "7", "seconds": "1", "edges": "60", "peak_rss_mb": "1"}
    assert run.added(before, row) == {**row, "executions": 549240, "seconds": 202, "edges": 60}


def test_the_committed_figures():
    with (EXPERIMENTS / "results" / "fuzz.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["target"] for row in rows} == {*PYTHON, *NATIVE}
    assert sum(int(row["executions"]) for row in rows) >= 10_000_000
    for row in rows:
        assert row["unique_crashes"] == "0"
        found = list((CORPUS / row["target"]).glob("found-*"))
        assert int(row["mended"]) == len(found)
    text = (EXPERIMENTS.parent / "docs" / "security.md").read_text()
    millions = re.search(r"([\d.]+) million executions", text)
    assert millions
    total = sum(int(row["executions"]) for row in rows)
    assert float(millions[1]) == round(total / 1e6, 1)
