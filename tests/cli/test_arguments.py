"""Flags: each command has its own, values are checked, and errors name the command and its help."""

import json

import pytest

from jaxslice.bench import bench as bench_module
from jaxslice.cli import bench, registry, train
from jaxslice.cli.arguments import parse
from jaxslice.cli.shared_flags import source_options
from jaxslice.core.box import Box
from jaxslice.core.errors import UsageError
from jaxslice.jobs.options import CompressOptions
from jaxslice.jobs.recipe import Recipe
from jaxslice.volumes.interface import SourceOptions

SOURCE = (
    "source_format scale dataset channel time voxel_size missing raw_shape raw_dtype raw_skip_bytes"
)
PLAN = (
    f"bbox {SOURCE} lossy_source scales downsample effort model context block_shape shard_shape "
    "training_steps seed engine workers batch_blocks overwrite resume json"
)
STORES = "store_endpoint store_region store_anonymous store_requester_pays io_timeout io_retries"
WITHOUT_STORES = ("completion", "demo")
FLAGS = {
    "compress": f"{PLAN} verify paranoid follow marker quiet_seconds num_shards shard_index "
    "dry_run executor dask_scheduler multihost jax_coordinator "
    "sample_blocks worker_counts price_per_core_hour price_per_gb_month log_blocks metrics_file",
    "status": "json",
    "plan": PLAN,
    "seal": "engine workers batch_blocks json",
    "decompress": "dest_format dest_encoding dest_sharded bbox scale engine workers batch_blocks "
    "executor dask_scheduler overwrite metrics_file json",
    "extend": "missing verify engine workers batch_blocks resume json",
    "verify": f"source {SOURCE} engine workers batch_blocks executor "
    "dask_scheduler metrics_file json",
    "selftest": "json",
    "scrub": "state expect_root max_seconds max_blocks max_mb_per_s log json",
    "repair": f"from dry_run {SOURCE} json",
    "inspect": f"{SOURCE} json",
    "info": "blocks json",
    "diff": f"{SOURCE} bbox engine workers batch_blocks json",
    "slice": "z y x square_pixels overwrite json",
    "completion": "json",
    "report": "verify source peers overwrite json",
    "page": "overwrite json",
    "train": "architecture init steps augment seed output overwrite checkpoint_dir json",
    "demo": "source seed output json",
    "serve": "port host connections gzip cache_mb json",
    "bench": f"efforts batches peers bbox {SOURCE} model context block_shape training_steps "
    "seed engine workers output plot json",
}
ARGUMENTS = {
    "compress": ["v.npy", "a.zarr"], "decompress": ["a.zarr", "v.npy"], "verify": ["a.zarr"],
    "selftest": [], "scrub": ["a.zarr"], "repair": ["a.zarr"],
    "extend": ["a.zarr", "v.npy"], "inspect": ["v.npy"], "info": ["a.zarr"],
    "diff": ["a.zarr", "v.npy"], "slice": ["a.zarr"], "report": ["a.zarr"],
    "plan": ["v.npy", "a.zarr"], "seal": ["a.zarr"], "status": ["a.zarr"],
    "completion": ["bash"], "train": ["v.npy"], "serve": ["a.zarr"], "demo": [], "bench": [],
    "page": ["viewer"],
}  # fmt: skip
FLAGS = {
    name: names if name in WITHOUT_STORES else f"{names} {STORES}" for name, names in FLAGS.items()
}
EVERY_FLAG = sorted({flag for names in FLAGS.values() for flag in names.split()})


def parsed(command, *words):
    return parse(registry.load(command), [*ARGUMENTS[command], *words])


def test_each_command_has_just_its_flags():
    assert set(FLAGS) == set(registry.SUMMARIES)
    for command, names in FLAGS.items():
        assert set(registry.load(command).flags()) == set(names.split())


@pytest.mark.parametrize("command", FLAGS)
def test_a_flag_of_another_command_is_refused(command):
    for flag in set(EVERY_FLAG) - set(FLAGS[command].split()):
        owners = [other for other in registry.SUMMARIES if flag in FLAGS[other].split()]
        with pytest.raises(UsageError) as caught:
            parsed(command, f"--{flag}=1")
        assert str(caught.value) == (
            f"{command}: Got --{flag}, which is a flag of {', '.join(owners)} and not of "
            f"{command}; see `jaxslice {command} --help`."
        )


def test_the_negation_of_a_flag_of_another_command_is_refused():
    with pytest.raises(UsageError, match="--noaugment, which is a flag of train and not of info"):
        parsed("info", "--noaugment")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--no_such_flag"], "--no_such_flag, which is no flag of compress; see"),
        (["--effrot=2"], "--effrot, which is no flag of compress, expected perhaps --effort"),
        (["--" + "x" * 5000], "which is no flag of compress"),
        (["third"], "['v.npy', 'a.zarr', 'third'], expected SOURCE ARCHIVE"),
        (["--", "--third"], "['v.npy', 'a.zarr', '--third'], expected SOURCE ARCHIVE"),
        (["--seed"], "Missing value for flag --seed"),
        (["--seed=-1"], "-1 is not an integer in the range [0, 4294967295]"),
        ([f"--seed={2**70}"], "is not an integer in the range"),
        (["--seed=one"], "--seed=one"),
        (["--effort=4"], "4 is not one of fast, 0, 1, 2, 3"),
        (["--workers=0"], "--workers=0"),
        (["--workers=100000"], "--workers=100000"),
        (["--batch_blocks=0"], "--batch_blocks=0"),
        (["--batch_blocks=1000000"], "--batch_blocks=1000000"),
        (["--training_steps=0"], "--training_steps=0"),
        (["--bbox=nonsense"], "'nonsense', expected z0:z1,y0:y1,x0:x1"),
        (["--bbox=1:1,0:1,0:1"], "expected every start to be below its stop"),
        (["--block_shape=1,2"], "'1,2', expected z,y,x"),
        (["--missing=black"], "value should be one of <error|zero>"),
        (["--json=maybe"], "--json=maybe"),
        (["--nojson=1"], "does not take an argument"),
    ],
)
def test_what_cannot_be_parsed(words, message):
    with pytest.raises(UsageError) as caught:
        parsed("compress", *words)
    assert message in str(caught.value)
    assert str(caught.value).startswith("compress: ")
    assert str(caught.value).endswith("; see `jaxslice compress --help`.")


@pytest.mark.parametrize("command", FLAGS)
def test_no_flag_takes_an_empty_value(command):
    for flag in FLAGS[command].split():
        with pytest.raises(UsageError, match=f"--{flag}="):
            parsed(command, f"--{flag}=")


def test_empty_arguments_are_refused():
    with pytest.raises(UsageError, match="an empty argument"):
        parse(registry.load("compress"), ["", "a.zarr"])


@pytest.mark.parametrize(
    ("command", "words"),
    [("compress", []), ("compress", ["a"]), ("info", []), ("train", []), ("demo", ["a"]),
     ("bench", ["a", "b"]), ("decompress", ["a", "b", "c"])],
)  # fmt: skip
def test_too_few_or_too_many_arguments(command, words):
    with pytest.raises(UsageError, match=f"^{command}: Got .*, expected "):
        parse(registry.load(command), words)


def test_arguments_and_flags_mix():
    command = registry.load("compress")
    values, arguments = parse(command, ["a", "--effort", "2", "b", "--bbox=0:1,2:3,4:6"])
    assert arguments == ["a", "b"]
    assert (values.effort, values.bbox) == (2, Box((0, 2, 4), (1, 3, 6)))
    values, arguments = parse(command, ["--json", "--", "-a", "--b"])
    assert arguments == ["-a", "--b"]
    assert values.json
    assert parse(registry.load("train"), ["a", "b", "c"])[1] == ["a", "b", "c"]
    assert parse(registry.load("bench"), ["a"])[1] == ["a"]
    values, _ = parse(registry.load("bench"), ["--efforts=fast,0,2", "--batches=1,4"])
    assert (values.efforts, values.batches) == (("fast", 0, 2), (1, 4))


def test_parsing_leaves_nothing_behind():
    assert parsed("compress", "--seed=7")[0].seed == 7
    assert parsed("compress")[0].seed == 0


def test_defaults_are_those_of_the_library():
    values, _ = parsed("compress")
    others = f"{SOURCE} follow marker quiet_seconds num_shards shard_index json dry_run "
    others += "executor dask_scheduler multihost jax_coordinator "
    others += "sample_blocks worker_counts price_per_core_hour price_per_gb_month metrics_file "
    others += STORES
    names = set(FLAGS["compress"].split()) - set(others.split())
    defaults = CompressOptions()
    assert {name: values[name].value for name in names} == {
        name: getattr(defaults, name) for name in names
    }
    reading = source_options(values)
    assert reading == SourceOptions(scale=str(defaults.scale), missing=defaults.missing)


def test_choices_are_those_of_the_library():
    # The library's lists are in modules that load JAX, which parsing must not.
    assert bench.PEER_CHOICES == bench_module.PEER_CHOICES
    assert Recipe().training.steps == train.STEPS


def test_a_flagfile(jaxslice, small_archive, tmp_path):
    (tmp_path / "flags").write_text("# how to print\n--json\n")
    for words in ([f"--flagfile={tmp_path / 'flags'}"], ["--flagfile", tmp_path / "flags"]):
        code, out, _ = jaxslice("info", small_archive, *words)
        assert code == 0
        assert json.loads(out)["num_blocks"] == 18


def test_a_flagfile_with_a_flag_of_another_command(tmp_path):
    (tmp_path / "flags").write_text("--effort=2\n")
    assert parsed("compress", f"--flagfile={tmp_path / 'flags'}")[0].effort == 2
    with pytest.raises(
        UsageError, match="--effort, which is a flag of compress, plan and not of verify"
    ):
        parsed("verify", f"--flagfile={tmp_path / 'flags'}")


def test_flagfiles_that_cannot_be_read(tmp_path):
    (tmp_path / "binary").write_bytes(bytes(range(256)))
    for name, message in (
        ("none", "No such file"),
        ("binary", "not text"),
        (".", "Is a directory"),
    ):
        with pytest.raises(UsageError, match=f"^info: .*--flagfile.*{message}"):
            parsed("info", f"--flagfile={tmp_path / name}")
    for words in (["--flagfile="], ["--flagfile", ""], ["--flagfile"]):
        with pytest.raises(UsageError, match="an empty --flagfile"):
            parsed("info", *words)
