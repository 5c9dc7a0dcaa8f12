"""slice, diff, info --blocks, completion, and what notebooks show."""

import base64
import io
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image
from small_volume import OFFSET, SHAPE, VOXEL_SIZE_NM

import jaxslice as library
from jaxslice.cli import registry
from jaxslice.core.box import Box


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_slice_is_the_volumes(jaxslice, small_archive, small_volume, tmp_path, axis):
    picture = tmp_path / "p.png"
    position = OFFSET[axis] + 7
    code, out, err = jaxslice("slice", small_archive, picture, f"--{'zyx'[axis]}={position}")
    assert (code, err) == (0, "")
    assert str(picture) in out
    expected = small_volume.voxels.take(7, axis)
    np.testing.assert_array_equal(np.asarray(Image.open(picture)), expected)


def test_a_slice_needs_neither_plane_nor_name(
    jaxslice, small_archive, small_volume, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert jaxslice("slice", small_archive)[0] == 0
    (picture,) = tmp_path.iterdir()
    z = SHAPE[0] // 2
    assert picture.name == f"small_z{OFFSET[0] + z}.png"
    np.testing.assert_array_equal(np.asarray(Image.open(picture)), small_volume.voxels[z])
    code, _, err = jaxslice("slice", small_archive)
    assert code == 2
    assert "--overwrite" in err
    assert jaxslice("slice", small_archive, "--overwrite")[0] == 0


def test_square_pixels(jaxslice, small_archive, small_volume, tmp_path):
    picture = tmp_path / "p.png"
    jaxslice("slice", small_archive, picture, f"--x={OFFSET[2]}", "--square_pixels")
    # z is 40 nm and y 4 nm: ten rows for each.
    assert VOXEL_SIZE_NM[:2] == (40, 4)
    expected = small_volume.voxels[:, :, 0].repeat(10, axis=0)
    np.testing.assert_array_equal(np.asarray(Image.open(picture)), expected)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--z=1", "--y=2"], "Got --z and --y, expected one"),
        (["--z=0"], "Got z = 0, expected 30 to 39"),
        (["--x=150"], "Got x = 150, expected 100 to 149"),
        (["s3://bucket/p.png"], "expected a local path"),
    ],
)
def test_no_such_slice(jaxslice, small_archive, words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = jaxslice("slice", small_archive, *words)
    assert (code, out) == (2, "")
    assert message in err
    assert not list(tmp_path.iterdir())


def test_no_difference(jaxslice, small_archive, small_volume):
    code, out, _ = jaxslice("diff", small_archive, small_volume.path)
    assert code == 0
    assert re.search(r"equal +yes", out)
    assert "Blocks that differ" not in out


def test_differences_are_found_where_they_are(jaxslice, small_archive, small_volume, tmp_path):
    changed = small_volume.voxels.copy()
    changed[1, 2, 3] += 5
    changed[2, 10, 20] -= 9
    changed[9, 39, 49] ^= 255
    path = tmp_path / "changed.npy"
    np.save(path, changed)
    # A .npy file has no offset, so it is compared with an archive that has none.
    archive = str(tmp_path / "plain.zarr")
    plain = tmp_path / "plain.npy"
    np.save(plain, small_volume.voxels)
    options = library.CompressOptions(effort=0, block_shape=(4, 16, 32))
    library.compress(str(plain), archive, options)
    code, out, _ = jaxslice("diff", archive, path, "--json")
    report = json.loads(out)
    assert (code, report["equal"]) == (3, False)
    largest = abs(int(changed[9, 39, 49]) - int(small_volume.voxels[9, 39, 49]))
    assert report["voxels_different"] == 3
    assert report["largest_difference"] == max(largest, 9)
    assert report["mean_difference"] == round((5 + 9 + largest) / 3, 3)
    assert report["differences"] == [
        {"block": [0, 0, 0], "box": str(Box((1, 2, 3), (3, 11, 21))), "voxels": 2, "largest": 9},
        {
            "block": [2, 2, 1],
            "box": str(Box((9, 39, 49), (10, 40, 50))),
            "voxels": 1,
            "largest": largest,
        },
    ]
    code, out, _ = jaxslice("diff", archive, path)
    assert code == 3
    assert "1:3,2:11,3:21" in out
    code, out, _ = jaxslice("diff", archive, path, "--bbox=4:8,0:40,0:50")
    assert code == 0


def test_info_of_each_block(jaxslice, small_archive):
    code, out, _ = jaxslice("info", small_archive, "--blocks", "--json")
    report = json.loads(out)
    assert code == 0
    assert len(report["blocks"]) == report["num_blocks"] == 18
    total = sum(block["bytes"] for block in report["blocks"])
    assert total == report["provenance"]["blocks_bytes"]
    first = report["blocks"][0]
    assert first["block"] == [0, 0, 0]
    assert first["box"] == "30:34,200:216,100:132"
    assert first["bits_per_voxel"] == round(8 * first["bytes"] / 2048, 4)
    _, out, _ = jaxslice("info", small_archive, "--blocks")
    assert "38:40,232:240,132:150" in out
    assert "blocks" not in json.loads(jaxslice("info", small_archive, "--json")[1])


def test_a_notebook_shows_a_table_and_a_picture(small_archive, small_volume):
    text = library.open(small_archive)._repr_html_()
    assert "(10, 40, 50)" in text
    (data,) = re.findall("base64,([^']+)'", text)
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    # The block in the middle alone is decoded: y from 16, x from 0.
    np.testing.assert_array_equal(shown, small_volume.voxels[5, 16:32, :32])
    assert "z = 35, y from 216, x from 100" in text


def test_a_notebook_shows_a_damaged_archive(archive_copy):
    for path in (archive_copy / "0" / "c").rglob("*"):
        if path.is_file():
            path.write_bytes(b"damaged")
    text = library.open(archive_copy)._repr_html_()
    assert "No picture: " in text
    assert "(10, 40, 50)" in text


def complete_in_bash(script: str, *words: str) -> list[str]:
    line = " ".join(f"'{word}'" for word in ("jaxslice", *words))
    program = (
        f"{script}\ncompopt() {{ :; }}\nCOMP_WORDS=({line}); COMP_CWORD={len(words)}; _jaxslice;"
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


def test_completion_in_bash(jaxslice):
    _, script, _ = jaxslice("completion", "bash")
    assert complete_in_bash(script, "de") == ["decompress", "demo"]
    assert set(registry.SUMMARIES) < set(complete_in_bash(script, ""))
    assert complete_in_bash(script, "compress", "--eff") == ["--effort="]
    assert complete_in_bash(script, "compress", "--effort", "=")[-4:] == ["0", "1", "2", "3"]
    assert complete_in_bash(script, "compress", "--missing", "=", "z") == ["zero"]
    assert set(complete_in_bash(script, "info", "--no")) >= {"--noblocks", "--nojson"}
    assert complete_in_bash(script, "info", "volume") == []


@pytest.mark.skipif(shutil.which("fish") is None, reason="there is no fish here")
def test_completion_in_fish(jaxslice, tmp_path):
    (tmp_path / "c.fish").write_text(jaxslice("completion", "fish")[1])

    def complete(line):
        program = f"source {tmp_path / 'c.fish'}; complete -C '{line}'"
        done = subprocess.run(
            ["fish", "--no-config", "-c", program], capture_output=True, text=True
        )
        assert done.stderr == ""
        return [found.split("\t")[0] for found in done.stdout.splitlines()]

    assert complete("jaxslice decom") == ["decompress"]
    assert complete("jaxslice compress --eff") == ["--effort"]
    assert complete("jaxslice compress --missing=") == ["--missing=error", "--missing=zero"]


@pytest.mark.skipif(shutil.which("zsh") is None, reason="there is no zsh here")
def test_completion_in_zsh(jaxslice, tmp_path):
    script = tmp_path / "_jaxslice"
    script.write_text(jaxslice("completion", "zsh")[1])
    program = (
        "autoload -Uz compinit; compinit -u -D; "
        # What zsh itself would show is replaced by what it is told.
        "_describe() { print -l -- ${(P)2} }; _arguments() { print -l -- $@ }; "
        f"source {script}; words=(jaxslice {{}}); CURRENT={{}}; _jaxslice"
    )

    def complete(words, current):
        command = program.replace("{}", words, 1).replace("{}", str(current), 1)
        done = subprocess.run(["zsh", "-f", "-c", command], capture_output=True, text=True)
        assert done.stderr == ""
        return done.stdout.splitlines()

    assert [line.split(":")[0] for line in complete("''", 2)] == list(registry.SUMMARIES)
    assert "0 1 2 3)" in next(line for line in complete("compress ''", 3) if "--effort=" in line)


def test_completion_of_an_unknown_shell(jaxslice):
    code, _, err = jaxslice("completion", "csh")
    assert code == 2
    assert "expected bash, zsh, fish" in err
