"""The counting of kernels, bytes and operations, on programs that a person can check."""

import re
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

EXPERIMENTS = Path(__file__).parents[2] / "experiments"

PROGRAM = """\
%fused (a: f32[2,8], b: f32[2,8]) -> f32[2,8] {
  %a = f32[2,8]{1,0} parameter(0)
  %b = f32[2,8]{1,0} parameter(1)
  %c = f32[2,8]{1,0} add(%a, %b)
  ROOT %d = f32[2,8]{1,0} multiply(%c, %b)
}

%body (t: (s32[], f32[4,8], f32[2,4])) -> (s32[], f32[4,8], f32[2,4]) {
  %t = (s32[], f32[4,8]{1,0}, /*index=2*/f32[2,4]{1,0}) parameter(0)
  %x = f32[4,8]{1,0} get-tuple-element(%t), index=1
  %w = f32[2,4]{1,0} get-tuple-element(%t), index=2
  %p = f32[2,8]{1,0} dot(%w, %x), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  %f = f32[2,8]{1,0} fusion(%p, %p), kind=kLoop, calls=%fused
  ROOT %r = (s32[], f32[4,8]{1,0}, f32[2,4]{1,0}) tuple(%t, %x, %w)
}

ENTRY %main (q: (s32[], f32[4,8], f32[2,4])) -> (s32[], f32[4,8], f32[2,4]) {
  %q = (s32[], f32[4,8]{1,0}, f32[2,4]{1,0}) parameter(0)
  ROOT %l = (s32[], f32[4,8]{1,0}, f32[2,4]{1,0}) while(%q), condition=%c, body=%body, \
backend_config={"known_trip_count":{"n":"5"}}
}
"""


@pytest.fixture
def hlo(monkeypatch):
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    import hlo

    yield hlo
    sys.modules.pop("hlo")


def test_counts_a_loop_by_hand(hlo):
    counts = hlo.count(hlo.parse(PROGRAM), "main", whole=1000)
    assert counts.kernels == 5 * 2
    # The dot reads 8 and 32 numbers and writes 16; the fusion reads 16 twice and writes 16.
    assert counts.bytes == 5 * 4 * ((8 + 32 + 16) + (16 + 16 + 16))
    assert counts.dots == 5 * 2 * 4 * 16
    assert counts.others == 5 * 2 * 16
    # Arrays of the whole block are left out.
    fewer = hlo.count(hlo.parse(PROGRAM), "main", whole=32)
    assert counts.bytes - fewer.bytes == 5 * 4 * 32


def test_reads_what_xla_writes(hlo):
    def steps(left, right):
        return jax.lax.fori_loop(0, 7, lambda _, x: jnp.floor(left @ x), right)

    matrix = jnp.ones((16, 16), jnp.float32)
    text = jax.jit(steps).lower(matrix, matrix).compile().as_text()
    (entry,) = re.findall(r"^ENTRY %(\S+) ", text, flags=re.MULTILINE)
    counts = hlo.count(hlo.parse(text), entry, whole=1 << 30)
    assert counts.dots == 7 * 2 * 16**3
    assert counts.kernels >= 7
    assert counts.bytes >= 7 * 3 * 4 * 16**2


@pytest.mark.parametrize("name", ["counts", "predictions", "training"])
def test_the_document_has_a_place_for_every_table(name):
    text = (EXPERIMENTS / "ROOFLINE.md").read_text()
    assert re.search(rf"<!-- {name} -->\n.*?<!-- end -->", text, flags=re.DOTALL)
