"""The command line as a user meets it: whole commands, exit codes, one clear line."""

import errno
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from fresh_python import modules_after

from jaxslice.cli import main
from jaxslice.core.errors import DeviceError

ROOT = Path(__file__).parents[2]

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
    words = [
        "train", small_volume.path, small_volume.path, f"--output={model}", "--steps=1",
        "--noaugment", "--seed=3", f"--checkpoint_dir={tmp_path / 'states'}", "--json",
    ]  # fmt: skip
    code, out, err = jaxslice(*words)
    assert code == 0, err
    report = json.loads(out)
    assert report["model"] == str(model)
    assert report["seed"] == 3
    assert report["recipe"]["training"]["steps"] == 1
    assert re.search(r"train \(.*\): (1 of 1,|done)", err)

    code, out, err = jaxslice(*words)
    assert (code, out) == (2, "")
    assert "exists, expected a new name or --overwrite" in err

    code, out, err = jaxslice(
        "compress", small_volume.path, archive, f"--model={model}", "--effort=0", "--json",
        "--block_shape=4,16,32",
    )  # fmt: skip
    assert code == 0, err
    assert json.loads(out)["model"] == model.name
    code, out, _ = jaxslice("info", archive, "--json")
    provenance = json.loads(out)["provenance"]
    assert provenance["model_fingerprint"] == report["fingerprint"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no command, expected one of compress"),
        (["shrink"], "the command 'shrink', expected one of compress"),
        (["--json", "info"], "'--json' before the command"),
        (["compress", "{missing}", "{new}"], "no such file"),
        (["compress", "{volume}", "{archive}"], "exists, expected a new name or --overwrite"),
        (["compress", "{volume}", "{new}", "--bbox=0:1,0:1,0:1"], "bbox 0:1,0:1,0:1, expected"),
        (["compress", "{volume}", "{new}", "--scale=7"], "scale '7', expected an index"),
        (["compress", "{volume}", "{new}", "--block_shape=1,0,2"], "block shape (1, 0, 2)"),
        (["compress", "{volume}", "{new}", "--model=huge"], "the model 'huge', expected one of"),
        (["compress", "{volume}", "{new}", "--effort=0", "--context=slices"], "with effort 0"),
        (["compress", "{volume}", "http://localhost/a"], "read only, expected a path, gs://"),
        (["train", "{volume}"], "no --output, expected the file to write the model to"),
        (["train", "{missing}", "--output={new}"], "no such file"),
        (["decompress", "{archive}", "{volume}"], "exists, expected a new name or --overwrite"),
        (["decompress", "{archive}", "{new}", "--bbox=0:1,0:1,0:1"], "bbox 0:1,0:1,0:1"),
        (["verify", "{missing}"], "there is no zarr.json"),
        (["verify", "{archive}", "--missing=zero"], "--missing without --source"),
        (["info", "{volume}"], "there is no zarr.json"),
        (["info", "x" * 300], "File name too long"),
        (["info", "{loop}"], "Too many levels of symbolic links"),
        (["bench", "--plot=a.png"], "--plot without --output"),
        (["bench", "--plot=a.tiff", "--output={new}"], "ends in .png"),
    ],
)
def test_usage_errors(jaxslice, small_volume, small_archive, tmp_path, words, message):
    (tmp_path / "loop").symlink_to("loop")
    names = {
        "archive": small_archive,
        "volume": small_volume.path,
        "missing": tmp_path / "missing",
        "new": tmp_path / "new",
        "loop": tmp_path / "loop",
    }
    code, out, err = jaxslice(*(word.format(**names) for word in words))
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["loop"]


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


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (DeviceError("another integer"), 1, "another integer"),
        (OSError(28, "No space left on device"), 1, "No space left on device."),
        (OSError(5, "Input/output error", "a.zarr"), 1, "Input/output error: 'a.zarr'."),
        *(
            (OSError(number, "No use", "a.zarr"), 2, "No use: 'a.zarr'.")
            for number in (
                errno.EACCES,
                errno.EPERM,
                errno.EROFS,
                errno.ELOOP,
                errno.ENAMETOOLONG,
                errno.ENOTDIR,
            )
        ),
        (OSError("Cannot write 'x'."), 1, "Cannot write 'x'."),
        (MemoryError(), 1, "Out of memory; fewer --workers"),
        (RecursionError("maximum recursion depth"), 3, "nested too deeply"),
    ],
)
def test_errors_become_one_line(jaxslice, monkeypatch, error, code, message):
    def fail(_archive, **_):
        raise error

    monkeypatch.setattr("jaxslice.info", fail, raising=False)
    got, out, err = jaxslice("info", "a.zarr")
    assert (got, out) == (code, "")
    assert message in err
    assert len(err.splitlines()) == 1


def test_a_full_disk_names_the_place(jaxslice, monkeypatch, small_volume, tmp_path):
    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("jaxslice.compress", fail, raising=False)
    code, _, err = jaxslice("compress", small_volume.path, tmp_path / "a.zarr")
    assert code == 1
    assert err == f"jaxslice: No space left on device while '{tmp_path / 'a.zarr'}' was written.\n"


def test_an_error_of_jax_is_one_line_and_a_bug_is_not(jaxslice, monkeypatch):
    import jax

    def fail(_archive, **_):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory\nallocating 3 bytes")

    monkeypatch.setattr("jaxslice.info", fail, raising=False)
    code, _, err = jaxslice("info", "a.zarr")
    assert code == 1
    assert err == "jaxslice: JAX failed: RESOURCE_EXHAUSTED: Out of memory allocating 3 bytes\n"

    def bug(*_, **__):
        raise RuntimeError("a bug")

    monkeypatch.setattr("jaxslice.info", bug, raising=False)
    with pytest.raises(RuntimeError, match="a bug"):
        jaxslice("info", "a.zarr")


def test_run_py(small_archive):
    done = subprocess.run(
        [sys.executable, ROOT / "run.py", "info", small_archive, "--json"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["num_blocks"] == 18


@pytest.mark.parametrize("words", [["info", "{archive}"], ["--help"], ["info", "a", "--bbox=1"]])
def test_what_needs_no_jax_starts_none(small_archive, words):
    argv = ["jaxslice", *(word.format(archive=small_archive) for word in words)]
    loaded = modules_after(f"from jaxslice.cli import main; main.run({argv})")
    assert "jaxslice.cli.registry" in loaded
    assert not loaded & {"jax", "jaxlib", "tensorstore"}


def test_the_entry_point_is_main():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"jaxslice": f"{main.__name__}:{main.main.__name__}"}


def test_main_exits_with_the_code(monkeypatch):
    prepared = []
    for name in ("_open_missing_streams", "Interrupter", "keep_memory"):
        monkeypatch.setattr(main, name, lambda name=name: prepared.append(name))
    with pytest.raises(SystemExit) as caught:
        main.main(["jaxslice", "--version"])
    assert caught.value.code == 0
    assert prepared == ["_open_missing_streams", "Interrupter", "keep_memory"]
    monkeypatch.setattr(os, "_exit", lambda code: prepared.append(code))
    main.main(["jaxslice", "shrink"])
    assert prepared[-1] == 2
