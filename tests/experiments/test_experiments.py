"""The experiments run on a tiny volume, draw from their CSVs alone, and measure what they say."""

import ast
import csv
import importlib
import math
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from jaxslice.bench import peers, provenance
from jaxslice.bench.synthetic import synthetic_volume
from jaxslice.codec.march import OUTSIDE
from jaxslice.models.presets import FULL

ROOT = Path(__file__).parents[2]
EXPERIMENTS = ROOT / "experiments"
DRAWN = ("figure2", "noise_floor", "ablation", "block_size")
STATED = (
    "browser", "figure1", "frontier", "native_roofline", "sixteen_bits", "speed", "scaling",
    "utilisation", *DRAWN,
)  # fmt: skip


@pytest.fixture
def experiment(monkeypatch):
    """Imports a script of experiments/ as a module."""
    monkeypatch.syspath_prepend(EXPERIMENTS)
    return importlib.import_module


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def pictures_of(name: str, folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob(f"{name}*.png"))


def smoke(experiment, name: str, folder: Path, *arguments: str) -> list[dict[str, str]]:
    """Runs an experiment on the synthetic volume; its rows."""
    output = folder / f"{name}.csv"
    experiment(name).main(["--smoke", f"--output={output}", *arguments])
    assert pictures_of(name, folder)
    rows = rows_of(output)
    assert {row["volume"] for row in rows} == {"synthetic"}
    return rows


def test_figure1_smoke(experiment, tmp_path):
    rows = smoke(experiment, "figure1", tmp_path)
    spent = {row["context"]: float(row["spent_bits"]) for row in rows}
    assert set(spent) == {"slices", "full"}
    assert spent["full"] < spent["slices"]


def test_figure1_keeps_pictures_of_given_volumes_out(experiment, tmp_path):
    np.save(tmp_path / "given.npy", synthetic_volume((8, 40, 48)))
    arguments = ["--training_steps=2", f"--output={tmp_path / 'figure1.csv'}"]
    experiment("figure1").main([str(tmp_path / "given.npy"), *arguments])
    assert not pictures_of("figure1", tmp_path)
    chosen = tmp_path / "chosen"
    experiment("figure1").main([str(tmp_path / "given.npy"), *arguments, f"--pictures={chosen}"])
    assert pictures_of("figure1", chosen) == ["figure1_given.png"]


def test_speed_smoke(experiment, tmp_path):
    output = tmp_path / "speed.csv"
    experiment("speed").main(["--smoke", f"--output={output}"])
    rows = rows_of(output)
    assert [row["codec"] for row in rows] == [
        "jaxslice effort 0, native",
        "jaxslice effort 0, xla",
        *(name for name in experiment("speed").PEERS if name not in peers.missing_peers()),
    ]
    for row in rows:
        assert float(row["encode_mb_per_cpu_s"]) > 0
        assert all(row[column] for column in provenance.COLUMNS)
    with pytest.raises(SystemExit):
        experiment("speed").main(["--plot-only"])


@pytest.mark.slow
def test_sixteen_bits_smoke(experiment, tmp_path):
    output = tmp_path / "sixteen_bits.csv"
    arguments = ["--smoke", "--kinds=times_16", "--efforts=0", f"--output={output}"]
    experiment("sixteen_bits").main(arguments)
    (ours,) = [row for row in rows_of(output) if row["codec"].startswith("jaxslice")]
    assert ours["kind"] == "times_16"
    assert 0 < float(ours["bits_per_voxel"]) < 16
    assert int(ours["levels"]) <= 4096


@pytest.mark.parametrize("kind", ["12", "saturated", "times_257", "quiet"])
def test_kinds_are_what_they_say(experiment, kind):
    module = experiment("sixteen_bits")
    described, voxels = module.KINDS[kind], synthetic_volume((4, 40, 48))
    brought = module.brought_to(described, voxels)
    assert brought.dtype == np.uint16
    assert not np.any(brought % described.factor)
    most = described.factor * ((1 << described.bits) - 1)
    assert brought.max() <= most
    assert (np.count_nonzero(brought == most) > 10) == (kind == "saturated")


def test_native_roofline_smoke(experiment, tmp_path):
    output = tmp_path / "native_roofline.csv"
    experiment("native_roofline").main(["--smoke", f"--output={output}"])
    rows = rows_of(output)
    assert {row["network"] for row in rows} == {"default", "medium", "large"}
    assert {"portable", "xla"} <= {row["engine"] for row in rows}
    for row in rows:
        assert all(row[column] for column in provenance.COLUMNS)
        clock = float(row["cycles_per_voxel"]) * float(row["mb_per_cpu_s"]) / 1e3
        assert clock == pytest.approx(float(row["clock_ghz"]), rel=1e-3)
        done = float(row["giga_multiply_adds_per_s"])
        rate = float(row["multiply_adds_per_voxel"]) * float(row["mb_per_cpu_s"]) / 1e3
        assert done == pytest.approx(rate, rel=1e-3)
        if row["share_of_own_peak"]:
            assert 0 < float(row["share_of_own_peak"]) < 1
    shown = output.with_suffix(".md").read_text()
    assert len(re.findall(r"^\| (?:avx512|avx2|portable|xla) ", shown, flags=re.M)) == len(rows)


def test_noise_floor_smoke(experiment, tmp_path):
    (row,) = smoke(experiment, "noise_floor", tmp_path)
    assert float(row["surrounded_bits"]) < float(row["jaxslice_bits"])


@pytest.mark.slow
def test_figure2_smoke(experiment, tmp_path):
    rows = smoke(experiment, "figure2", tmp_path)
    assert [row["codec"] for row in rows][-2:] == ["the paper's context", "jaxslice"]


@pytest.mark.slow
def test_ablation_smoke(experiment, tmp_path):
    rows = smoke(experiment, "ablation", tmp_path, "--groups=order,precision")
    assert {row["group"] for row in rows} == {"order", "precision"}
    assert len({row["bits_per_voxel"] for row in rows if row["measured"] == "expected"}) > 1
    # Only the rows that were measured again are replaced.
    again = smoke(experiment, "ablation", tmp_path, "--groups=precision")
    for row in [*rows, *again]:
        assert row.pop("date")
    assert sorted(map(str, again)) == sorted(map(str, rows))


@pytest.mark.slow
def test_block_size_smoke(experiment, tmp_path):
    smaller, larger = smoke(experiment, "block_size", tmp_path, "--efforts=1")
    assert (smaller["block_shape"], larger["block_shape"]) == ("4x20x24", "8x40x48")
    assert float(larger["bits_per_voxel"]) < float(smaller["bits_per_voxel"])


@pytest.mark.parametrize("name", DRAWN)
def test_pictures_come_from_the_committed_csv_alone(experiment, monkeypatch, tmp_path, name):
    source = EXPERIMENTS / "results" / f"{name}.csv"
    (tmp_path / source.name).write_bytes(source.read_bytes())
    monkeypatch.setattr(np, "load", None)
    experiment(name).main(["--plot-only", f"--output={tmp_path / source.name}"])
    drawn = pictures_of(name, tmp_path)
    assert drawn
    assert drawn == pictures_of(name, source.parent)


@pytest.mark.parametrize("name", DRAWN)
def test_the_command_line_says_what_it_expects(experiment, capsys, name):
    for arguments in ([], ["--smoke"], ["--smoke", "--plot-only", "--output=x.csv"]):
        with pytest.raises(SystemExit):
            experiment(name).main(arguments)
        assert "expected" in capsys.readouterr().err


def docstring(path: Path) -> str:
    """The docstring of a script, on one line."""
    return " ".join((ast.get_docstring(ast.parse(path.read_text())) or "").split())


def test_every_script_is_listed():
    listed = (EXPERIMENTS / "README.md").read_text()
    for path in EXPERIMENTS.glob("*.py"):
        assert f"`{path.name}`" in listed, path.name


@pytest.mark.parametrize("name", STATED)
def test_an_experiment_states_command_cost_and_expectation(name):
    said = docstring(EXPERIMENTS / f"{name}.py")
    for part in (f"python experiments/{name}.py", "--smoke", "Cost:", "Expected"):
        assert part in said


def test_costs_are_the_same_in_the_readme_and_in_docstrings():
    text = " ".join((EXPERIMENTS / "README.md").read_text().split())
    costs = re.findall(r"- \*\*`(\w+)\.py`\*\*: .*? Cost: (.*?)\. Expected", text)
    assert {name for name, _ in costs} >= {*STATED, "leave_one_out", "train_shipped"}
    for name, cost in costs:
        assert f"Cost: {cost}." in docstring(EXPERIMENTS / f"{name}.py"), name


def test_rows_of_other_volumes_stay(experiment, tmp_path):
    common, path = experiment("common"), tmp_path / "deep" / "a.csv"
    columns = ("volume", "effort", "bits")

    def put(rows, **more):
        common.replace_volume(
            path, columns, [dict(zip(columns, r, strict=True)) for r in rows], **more
        )
        return [(row["volume"], row["effort"], row["bits"]) for row in rows_of(path)]

    put([("a", 1, 5.0), ("a", 2, 4.0), ("b", 1, 6.0)])
    assert put([("a", 2, 3.5)], key=("volume", "effort")) == [
        ("a", "1", "5"), ("b", "1", "6"), ("a", "2", "3.5"),
    ]  # fmt: skip
    assert put([("a", 1, 2.0)]) == [("b", "1", "6"), ("a", "1", "2")]
    assert [p.name for p in path.parent.iterdir()] == ["a.csv"]


def test_bits_are_those_of_coding(experiment):
    from jaxslice.codec.block import encode_block
    from jaxslice.codec.message import LOWER_BOUND
    from jaxslice.codec.network import Model

    common = experiment("common")
    block = synthetic_volume((3, 16, 40))
    network = common.train_on(block, FULL, 50)
    every = common.random_places(block.shape, block.size, seed=0)
    assert len({tuple(place) for place in every}) == block.size
    bits = float(common.bits_at(block, FULL, network, every).sum())
    coded = 8 * len(encode_block(block, Model(FULL, network)))
    heads = block.shape[1] * math.log2(LOWER_BOUND)
    # Beside the voxels a payload holds heads, a level table and its own header.
    assert bits < coded < bits + heads + 8 * 100 + 64 * block.shape[1]


def test_contexts_are_read_where_they_should_be(experiment):
    common = experiment("common")
    block = np.arange(4 * 5 * 6, dtype=np.uint8).reshape(4, 5, 6) * 2
    places = np.array([[1, 2, 3], [0, 0, 1], [3, 4, 5]])
    contexts, symbols, limits = common.contexts_at(block, [(-1, 0, 0), (1, 1, 0)], places)
    # A level table would not pay for itself on so few voxels, so that symbols are levels.
    assert limits.tolist() == [256, 256, 256]
    assert symbols.tolist() == [block[1, 2, 3], block[0, 0, 1], block[3, 4, 5]]
    assert contexts.tolist() == [
        [block[0, 2, 3], OUTSIDE, block[2, 4, 5]],
        [block[2, 3, 3], block[1, 1, 1], OUTSIDE],
    ]


def test_the_surrounded_network_sees_all_but_the_voxel(experiment):
    module = experiment("noise_floor")
    context = module.all_sides().context
    assert (0, 0, 0) not in context
    assert {(-z, -y, -x) for z, y, x in context} == set(context)
    with pytest.raises(ValueError, match="voxel itself"):
        module.Surrounded(((0, 0, 0), *context), 12, 0, (8,), 1)


def test_percentages_compare_like_with_like(experiment):
    plot = experiment("ablation_plot")

    def row(variant, base, bits):
        return {"variant": variant, "compared_with": base, "bits_per_voxel": str(bits)}

    rows = [row("a", "a", 4), row("b", "a", 5), row("x", "x", 2), row("y", "x", 1)]
    assert plot.percent_more(rows) == {"b": 25, "y": -50}
    with pytest.raises(ValueError, match="without 'a'"):
        plot.percent_more(rows[1:])


def test_changes_of_a_variant_end_with_it(experiment):
    from jaxslice.codec import features, levels, mixture
    from jaxslice.training import float_network

    module, block = experiment("ablation"), synthetic_volume((3, 16, 16))
    before = (
        levels.choose,
        float_network.features_of,
        mixture.features_of,
        float_network._straight_through,
    )
    for change in (module.without_level_tables(block), module.without_activity(block)):
        with change:
            during = levels.choose, float_network.features_of, mixture.features_of
            assert during != before[:3]
    with module.without_rounding():
        assert float_network._straight_through(1.5, 1.0) == 1.5
    assert before[1] is features.features_of
    after = (
        levels.choose,
        float_network.features_of,
        mixture.features_of,
        float_network._straight_through,
    )
    assert after == before


def test_correlations_by_axis(experiment):
    ramp = np.broadcast_to(np.arange(9)[None, None], (4, 5, 9))
    noise = np.random.default_rng(0).normal(0, 1e-6, ramp.shape)
    found = experiment("figure2").correlations(ramp + noise)
    assert found["correlation_x"] == pytest.approx(1)
    flipped = np.where(np.arange(4)[:, None, None] % 2, -ramp, ramp)
    assert experiment("figure2").correlations(flipped + noise)["correlation_z"] < 0


def test_half_slices_of_the_interlaced_order(experiment):
    order = experiment("ablation_order")
    block = np.arange(2 * 6 * 3).reshape(2, 6, 3).astype(np.uint8)
    halves = order.interlaced(block)
    assert halves.shape == (4, 3, 3)
    np.testing.assert_array_equal(halves[0], block[0, ::2])
    np.testing.assert_array_equal(halves[3], block[1, 1::2])
    even, odd = order.architectures()
    assert len(even.context) == len(odd.context) == len(FULL.context)
    # Right above and right below an odd row, in the half before.
    assert {(-1, 0, 0), (-1, 1, 0)} < set(odd.context[:4])


def test_serve_smoke(experiment, tmp_path):
    output = tmp_path / "serve.csv"
    experiment("serve").main(["--smoke", f"--output={output}"])
    rows = {row["what"]: row for row in rows_of(output)}
    assert set(rows) == {"first image", "cold", "warm"}
    # Without a cache each request has its block decoded; with one none has.
    assert int(rows["cold"]["blocks_decoded"]) == int(rows["cold"]["requests"]) == 20
    assert int(rows["warm"]["blocks_decoded"]) == 0
    assert all(float(rows[what]["megabytes_per_second"]) > 0 for what in ("cold", "warm"))


def test_browser_smoke(experiment, tmp_path):
    if shutil.which("chromium") is None:
        pytest.skip("there is no Chromium here")
    output = tmp_path / "browser.csv"
    experiment("browser").main(["--smoke", f"--output={output}"])
    (row,) = rows_of(output)
    speeds = ("simd128", "plain_wasm", "native_portable", "native")
    assert all(float(row[f"{name}_mb_per_second"]) > 0 for name in speeds)
    assert 20 < float(row["wasm_kilobytes"]) < 100
