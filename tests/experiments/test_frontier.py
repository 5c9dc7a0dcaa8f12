"""The frontier: the run goes on where it stopped, means are right, the picture can be read."""

import csv
import importlib
import itertools
from pathlib import Path

import numpy as np
import pytest

from jaxslice.bench import peers, provenance
from jaxslice.bench.synthetic import synthetic_volume
from jaxslice.core.errors import MissingExtraError

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture
def experiment(monkeypatch):
    """Imports a script of experiments/ as a module."""
    monkeypatch.syspath_prepend(EXPERIMENTS)
    return importlib.import_module


@pytest.fixture
def volume(tmp_path):
    np.save(tmp_path / "v.npy", synthetic_volume((4, 30, 40)))
    return str(tmp_path / "v.npy")


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def row(codec: str, volume: str = "a", rate: float = 5.0, speed: float = 1.0) -> dict[str, str]:
    return {
        "volume": volume, "codec": codec, "model": "left out", "bits_per_voxel": str(rate),
        "encode_mb_per_cpu_s": str(speed), "decode_mb_per_cpu_s": str(2 * speed),
    }  # fmt: skip


def only(*names: str) -> list[str]:
    return [f"--only={name}" for name in names]


def test_efforts_and_peers_side_by_side_and_those_that_cannot_run_by_name(
    experiment, tmp_path, monkeypatch, capsys
):
    def missing() -> peers.Peer:
        raise MissingExtraError("Needs the package x.")

    monkeypatch.setitem(peers._ENTRIES, "tomoz", missing)
    output = tmp_path / "frontier.csv"
    chosen = only("jaxslice effort 9", "jaxslice effort 0", "PNG", "zstd -19", "tomoz")
    experiment("frontier").main(["--smoke", f"--output={output}", "--efforts=9,0", *chosen])
    rows = rows_of(output)
    assert [row["codec"] for row in rows] == ["jaxslice effort 0", "PNG", "zstd -19"]
    assert [row["model"] for row in rows] == ["shipped", "", ""]
    for measured in rows:
        assert (measured["volume"], measured["shape"]) == ("synthetic", "8x40x48")
        assert measured["lossless"] == "True"
        assert 0 < float(measured["bits_per_voxel"]) < 16
        assert float(measured["encode_mb_per_cpu_s"]) > 0
        assert float(measured["decode_mb_per_cpu_s"]) > 0
        assert all(measured[column] for column in provenance.COLUMNS)
    told = capsys.readouterr().err
    assert "jaxslice effort 9: skipped: Got effort 9" in told
    assert "tomoz: skipped: Needs the package x." in told
    for name in ("frontier.png", "frontier_dark.png"):
        assert (tmp_path / name).read_bytes()[:4] == b"\x89PNG"


def test_a_run_goes_on_where_it_stopped(experiment, tmp_path, volume, monkeypatch):
    measured = []
    whole = peers.measure_peer

    def count(peer, *arguments):
        measured.append(peer.name)
        return whole(peer, *arguments)

    monkeypatch.setattr(peers, "measure_peer", count)
    output = tmp_path / "frontier.csv"
    common = [volume, f"--output={output}", "--efforts="]
    main = experiment("frontier").main
    main([*common, *only("PNG")])
    main([*common, *only("PNG", "JPEG-LS")])
    assert measured == ["PNG", "JPEG-LS"]
    main([*common, *only("PNG"), "--again"])
    assert measured == ["PNG", "JPEG-LS", "PNG"]
    assert [row["codec"] for row in rows_of(output)] == ["JPEG-LS", "PNG"]
    # Another volume of the same name is measured.
    np.save(volume, synthetic_volume((5, 30, 40)))
    main([*common, *only("PNG")])
    assert measured[3:] == ["PNG"]
    assert [row["shape"] for row in rows_of(output)] == ["4x30x40", "5x30x40"]


def test_a_peer_that_is_not_lossless_has_no_row(experiment, tmp_path, volume, monkeypatch, capsys):
    lossy = peers.Peer("PNG", lambda image: b"?", lambda data: np.zeros((30, 40), np.uint8))
    monkeypatch.setitem(peers._ENTRIES, "PNG", lambda: lossy)
    output = tmp_path / "frontier.csv"
    arguments = [volume, f"--output={output}", "--efforts=", *only("PNG", "JPEG-LS")]
    experiment("frontier").main(arguments)
    assert [row["codec"] for row in rows_of(output)] == ["JPEG-LS"]
    assert "did not give back the same voxels" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [([], "expected either volumes"), (["--smoke"], "expected one with --smoke")],
)
def test_command_lines_that_say_too_little(experiment, capsys, arguments, expected):
    with pytest.raises(SystemExit):
        experiment("frontier").main(arguments)
    assert expected in capsys.readouterr().err


def test_means_by_hand(experiment):
    shares = experiment("shares")
    rows = [
        row("PNG", "fib25_a", 4.0, 1.0), row("PNG", "fib25_b", 4.0, 4.0), row("PNG", "c", 6.0, 2.0),
        row("WebP", "fib25_a", 5.0, 1.0), row("WebP", "fib25_b", 7.0, 1.0),
        row("WebP", "c", 5.0, 1.0),
        row("jaxslice effort 0", "fib25_a", 3.0, 8.0),
    ]  # fmt: skip
    ours, png, webp = shares.summaries(rows)
    assert shares.best_peers(rows) == {
        "fib25_a": (4.0, "PNG"), "fib25_b": (4.0, "PNG"), "c": (5.0, "WebP"),
    }  # fmt: skip
    # Both volumes of fib25 together weigh as much as c.
    assert (png.codec, png.share) == ("PNG", pytest.approx((1 + 1.2) / 2))
    assert webp.share == pytest.approx(((1.25 + 1.75) / 2 + 1) / 2)
    assert (png.encode, png.decode) == (pytest.approx(2), pytest.approx(4))
    assert (ours.share, ours.volumes, ours.ours) == (0.75, 1, True)
    with pytest.raises(ValueError, match="no peer on d"):
        shares.summaries([*rows, row("jaxslice effort 0", "d")])


def test_a_peer_is_fair_that_is_a_quarter_as_fast_both_ways(experiment):
    shares = experiment("shares")

    def codec(name, share, encode, decode):
        return shares.Summary(name, share, encode, decode, 1)

    effort = codec("jaxslice effort 0", 0.97, 40, 40)
    slow = codec("slow", 0.98, 9, 50)
    decodes_slowly = codec("decodes slowly", 0.985, 50, 9)
    fair, larger = codec("fair", 1.0, 10, 10), codec("larger", 1.1, 90, 90)
    assert shares.fair_peer(effort, [effort, slow, decodes_slowly, larger, fair]) == fair
    assert shares.fair_peer(effort, [effort, slow]) is None


def test_the_frontier_by_hand(experiment):
    points = [(1.0, 0.9), (2.0, 1.0), (3.0, 1.2), (2.5, 1.3), (3.0, 1.1), (0.5, 0.95)]
    assert experiment("shares").frontier(points) == [(3.0, 1.1), (2.0, 1.0), (1.0, 0.9)]


def test_tables_by_hand_take_their_places(experiment, tmp_path, monkeypatch):
    table, common = experiment("table"), experiment("common")
    rows = [
        row("JPEG-XL e3", "c", 5.0, 20), row("PNG", "c", 6.0, 90), row("slow", "c", 4.0, 1),
        row("jaxslice effort 0", "c", 4.8, 40),
    ]  # fmt: skip
    common.write_rows(tmp_path / "frontier.csv", tuple(rows[0]), rows)
    left_out = {"volume": "c", "effort": "0", "bits_per_voxel": "4.9"}
    common.write_rows(tmp_path / "leave_one_out.csv", tuple(left_out), [left_out])
    engine = row("jaxslice effort 0, native", "c", 4.8, 50)
    common.write_rows(tmp_path / "speed.csv", tuple(engine), [engine])
    monkeypatch.setattr(common, "RESULTS", tmp_path)
    assert table.fair_speeds().splitlines()[2:] == [
        "| jaxslice effort 0 | 1.200 | 40 / 80 | JPEG-XL e3 | 20 / 40 | 4.2 % more bits |"
    ]
    assert "| c | 4.900 (1.225) | 4.000 slow |" in table.shares_by_volume()
    assert table.all_rates().splitlines()[2:4] == [
        "| jaxslice effort 0 | 4.900 |",
        "| slow | 4.000 |",
    ]
    assert "| slow | 1.000 | 1.0 | 2.0 |" in table.all_speeds()
    assert "| c | 50.0 / 100.0 |" in table.engines("speed")
    places = "".join(f"<!-- {name} -->\nold\n<!-- end -->\nkept\n" for name in ("a", "b"))
    written = experiment("roofline").replaced(places, "b", "| new |")
    assert written.count("old") == 1
    assert written.endswith("<!-- b -->\n\n| new |\n\n<!-- end -->\nkept\n")
    with pytest.raises(AssertionError):
        experiment("roofline").replaced(places, "c", "| new |")


def crowd() -> list[dict[str, str]]:
    """Twenty codecs as close to one another as they come."""
    theirs = [row(f"codec number {n}", "a", 5 + 0.05 * (n % 5), 1 + 0.4 * n) for n in range(15)]
    ours = [row(f"jaxslice effort {n}", "a", 4.9 - 0.04 * n, 3 - 0.4 * n) for n in range(5)]
    return [*theirs, *ours]


def test_no_label_covers_another(experiment, tmp_path, monkeypatch):
    module = experiment("frontier_plot")
    monkeypatch.setattr(module, "DPI", 60)
    monkeypatch.setattr(module, "LOOKS", dict([*module.LOOKS.items()][:1]))
    for rows in (crowd()[::3], rows_of(EXPERIMENTS / "results" / "frontier.csv")):
        panels = module.draw(rows, tmp_path / "frontier.csv")
        assert len(panels) == 2  # encoding and decoding
        for labels in panels:
            assert len(labels) == len({row["codec"] for row in rows})
            for one, other in itertools.combinations(labels, 2):
                apart = np.maximum(one[:2], other[:2]) > np.minimum(one[2:], other[2:])
                assert apart.any()


def test_names_of_efforts(experiment, tmp_path):
    module = experiment("leave_one_out")
    assert module.efforts_of("fast,0,12") == ["fast", 0, 12]
    assert module.efforts_of("") == []
    assert module.starts_from_model(0)
    assert not module.starts_from_model("fast")
    np.save(tmp_path / "v.npy", np.zeros((2, 3, 4), np.uint8))
    volume = str(tmp_path / "v.npy")
    assert module.model_of_effort(volume, [], "fast", tmp_path / "nowhere", None) is None


def test_volumes_left_out_stand_beside_their_best_peer(experiment):
    module, common = experiment("leave_one_out"), experiment("common")
    measured = common.read_rows(common.RESULTS / "frontier.csv")
    best = experiment("shares").best_peers(measured)
    rows = common.read_rows(common.RESULTS / "leave_one_out.csv")
    assert rows
    for row in rows:
        assert row == common.as_text(module.beside_best_peer(row, best))
