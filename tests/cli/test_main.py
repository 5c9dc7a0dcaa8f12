"""The command line as a user meets it: exit codes, one clear line, JSON on stdout."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from absl.testing import flagsaver

from jaxslice.cli import main

ROOT = Path(__file__).parents[2]


@pytest.fixture
def jaxslice(capsys, monkeypatch, tmp_path):
    """Runs a command in this process: (exit code, stdout, stderr)."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    # The compilation cache is a global setting, which must not leak into other tests.
    monkeypatch.setattr(main, "_prepare_jax", lambda: None)

    def run(*words):
        with flagsaver.flagsaver():
            code = main.run(["jaxslice", *map(str, words)])
        out, err = capsys.readouterr()
        return code, out, err

    return run


FIELDS = (
    "raw_bytes", "compressed_bytes", "bits_per_voxel", "compression_ratio", "num_blocks",
    "block_shape", "num_params", "multiply_adds_per_voxel", "seconds",
)  # fmt: skip


def test_compress_verify_info_decompress(jaxslice, small_volume, tmp_path):
    archive = tmp_path / "a.zarr"
    code, out, err = jaxslice(
        "compress", small_volume.path, archive, "--block_shape=4,16,32", "--training_steps=50",
        "--json",
    )  # fmt: skip
    assert code == 0, err
    report = json.loads(out)
    assert all(field in report for field in FIELDS)
    parts = {"compile", "read", "adapt", "train", "encode", "verify", "write", "total"}
    assert set(report["seconds"]) == parts
    assert "train" in err
    assert "18 of 18" in err

    code, out, _ = jaxslice("verify", archive, f"--source={small_volume.path}", "--json")
    assert code == 0
    assert json.loads(out)["verified"] is True

    code, out, _ = jaxslice("info", archive, "--json")
    assert code == 0
    described = json.loads(out)
    assert all(described[field] == report[field] for field in FIELDS if field != "seconds")

    code, out, _ = jaxslice("decompress", archive, tmp_path / "b.npy", "--json")
    assert code == 0
    assert set(json.loads(out)["seconds"]) == {"compile", "read", "decode", "write", "total"}
    np.testing.assert_array_equal(np.load(tmp_path / "b.npy"), small_volume.voxels)


def test_train_then_compress_with_the_model(jaxslice, small_volume, tmp_path):
    model, archive = tmp_path / "m.json", tmp_path / "a.zarr"
    code, out, err = jaxslice(
        "train", small_volume.path, small_volume.path, f"--output={model}", "--steps=50",
        "--noaugment", "--seed=3", f"--checkpoint_dir={tmp_path / 'states'}", "--json",
    )  # fmt: skip
    assert code == 0, err
    report = json.loads(out)
    assert report["model"] == str(model)
    assert report["seed"] == 3
    assert report["recipe"]["training"]["steps"] == 50
    assert "train" in err
    code, out, err = jaxslice(
        "compress", small_volume.path, archive, f"--model={model}", "--effort=0", "--json",
        "--block_shape=4,16,32",
    )  # fmt: skip
    assert code == 0, err
    assert json.loads(out)["model"] == model.name
    code, out, _ = jaxslice("info", archive, "--json")
    provenance = json.loads(out)["provenance"]
    assert provenance["model_fingerprint"] == report["fingerprint"]


def test_flagfile(jaxslice, small_archive, tmp_path):
    (tmp_path / "flags").write_text("--json\n")
    code, out, _ = jaxslice("info", small_archive, f"--flagfile={tmp_path / 'flags'}")
    assert code == 0
    assert json.loads(out)["num_blocks"] == 18


def test_a_table_for_people(jaxslice, small_archive):
    code, out, _ = jaxslice("info", small_archive)
    assert code == 0
    assert "bits per voxel" in out


def test_help(jaxslice):
    code, out, _ = jaxslice("--help")
    assert code == 0
    assert "compress SOURCE ARCHIVE" in out
    assert "--block_shape" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no command, expected one of compress"),
        (["shrink"], "the command 'shrink'"),
        (["compress", "only-one"], "expected SOURCE ARCHIVE"),
        (["info", "{archive}", "--no_such_flag"], "no_such_flag"),
        (["compress", "{missing}", "{new}"], "no such file"),
        (["compress", "{volume}", "{archive}"], "exists"),
        (["compress", "{volume}", "{new}", "--bbox=0:1,0:1,0:1"], "bbox 0:1,0:1,0:1, expected"),
        (["compress", "{volume}", "{new}", "--bbox=nonsense"], "'nonsense', expected z0:z1"),
        (["compress", "{volume}", "{new}", "--scale=7"], "scale '7', expected an index"),
        (["compress", "{volume}", "{new}", "--block_shape=1,2"], "'1,2', expected z,y,x"),
        (["compress", "{volume}", "{new}", "--effort=4"], "effort 4, expected 0 to 3"),
        (["compress", "{volume}", "{new}", "--model=huge"], "the model 'huge', expected one of"),
        (["compress", "{volume}", "{new}", "--effort=0", "--context=slices"], "with effort 0"),
        (["train"], "expected SOURCE..."),
        (["train", "{volume}"], "without --output"),
        (["train", "{volume}", "--output={new}", "--architecture=huge"], "architecture"),
        (["train", "{volume}", "--output={new}", "--steps=0"], "Got 0 steps"),
        (["train", "{missing}", "--output={new}"], "no such file"),
        (["decompress", "{archive}", "{volume}"], "exists"),
        (["decompress", "{archive}", "{new}", "--bbox=0:1,0:1,0:1"], "bbox 0:1,0:1,0:1"),
        (["verify", "{missing}"], "there is no zarr.json"),
        (["info", "{volume}"], "there is no zarr.json"),
    ],
)
def test_usage_errors(jaxslice, small_volume, small_archive, tmp_path, words, message):
    names = {
        "archive": small_archive,
        "volume": small_volume.path,
        "missing": tmp_path / "missing",
        "new": tmp_path / "new",
    }
    code, out, err = jaxslice(*(word.format(**names) for word in words))
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "new").exists()


def test_damage_exits_with_3(jaxslice, archive_copy, tmp_path):
    path = archive_copy / "0" / "c" / "0" / "1" / "0"
    path.write_bytes(path.read_bytes()[:50])
    for words in (["verify", archive_copy], ["decompress", archive_copy, tmp_path / "new"]):
        code, out, err = jaxslice(*words)
        assert (code, out) == (3, "")
        *progress, message = err.splitlines()
        assert message.startswith("jaxslice: In block (0, 1, 0)")
        assert all(line.startswith("decode: ") for line in progress)
        assert not (tmp_path / "new").exists()


def test_damaged_metadata_exit_with_3(jaxslice, archive_copy):
    (archive_copy / "0" / "zarr.json").write_text("{")
    code, _, err = jaxslice("info", archive_copy)
    assert code == 3
    assert "Cannot read the metadata" in err


def test_run_py_and_no_jax_for_info(small_archive):
    program = (
        "import sys; sys.argv = ['run.py', 'info', sys.argv[1], '--json']\n"
        "from jaxslice.cli import main\n"
        "assert main.run(sys.argv) == 0\n"
        "assert 'jax' not in sys.modules and 'tensorstore' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program, small_archive], check=True, cwd=ROOT)
    done = subprocess.run(
        [sys.executable, ROOT / "run.py", "info", small_archive, "--json"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["num_blocks"] == 18
