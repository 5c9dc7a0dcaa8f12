"""Architectures: what is accepted, what is refused, and that JSON brings them back."""

import dataclasses
import itertools
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from models_for_tests import EARLIER, IN_SLICE, SHEARED, TINY

from jaxslice.codec.architecture import Architecture
from jaxslice.codec.geometry import Geometry
from jaxslice.core.box import Triple
from jaxslice.core.errors import FormatError
from jaxslice.models.presets import CONTEXTS, FULL, MEDIUM

offsets = st.tuples(st.integers(-16, 0), st.integers(-16, 16), st.integers(-16, 16))


def in_slice_first(*context: Triple) -> tuple[Triple, ...]:
    return tuple(sorted(context, key=lambda offset: offset[0] < 0))


@st.composite
def architectures(draw) -> Architecture:
    shear = draw(st.integers(2, 8))
    causal = offsets.filter(lambda o: o[0] < 0 or o[2] + shear * o[1] < 0)
    context = draw(st.lists(causal, min_size=4, max_size=30, unique=True))
    count = draw(st.integers(1, min(len(context), 16)))
    return Architecture(
        context=in_slice_first(*context),
        activity_count=count,
        fallback=draw(st.integers(0, len(context) - 1)),
        hidden=tuple(draw(st.lists(st.integers(1, 256), min_size=1, max_size=4))),
        components=draw(st.integers(1, 8)),
        shear=shear,
        activity_offset=draw(st.integers(16, 4096 - 255 * count)),
    )


@given(architectures())
def test_json_brings_an_architecture_back(architecture):
    text = json.dumps(architecture.to_json())
    assert Architecture.from_json(json.loads(text)) == architecture


@given(architectures())
def test_parameters_are_counted(architecture):
    widths = [len(architecture.context) + 2, *architecture.hidden, 3 * architecture.components]
    products = sum(a * b for a, b in itertools.pairwise(widths))
    assert architecture.multiply_adds_per_voxel == products
    assert architecture.num_params == products + sum(widths[1:])


def test_a_count_by_hand():
    # 10 context voxels and 2 features; 8 hidden units; 2 components of 3 numbers.
    assert TINY.layer_shapes == ((8, 12), (6, 8))
    assert TINY.multiply_adds_per_voxel == 96 + 48
    assert TINY.num_params == 96 + 8 + 48 + 6


@pytest.mark.parametrize("name", CONTEXTS)
def test_the_presets_are_what_they_say(name):
    architecture = CONTEXTS[name]
    slices = [dz for dz, _, _ in architecture.context]
    if name == "slices":
        assert set(slices) == {-1, -2, -3, -4}
    else:
        assert set(slices) == {0, -1, -2}
    # The fallback is the voxel right before this one, in the slice before.
    assert architecture.context[architecture.fallback] == (-1, 0, 0)
    assert Architecture.from_json(architecture.to_json()) == architecture


def test_the_presets_read_their_nearest_voxels_first():
    assert set(CONTEXTS["full"].context[:4]) == {(0, 0, -1), (0, -1, 0), (0, -1, 1), (0, -1, -1)}
    assert CONTEXTS["slices"].context[:4] == ((-1, 0, 0), (-2, 0, 0), (-3, 0, 0), (-4, 0, 0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"context": TINY.context[:3]}, "Got 3 context voxels, expected 4 to 256"),
        ({"context": ()}, "Got 0 context voxels, expected 4 to 256"),
        ({"activity_count": 0}, "Got 0 activity voxels, expected 1 to 10"),
        ({"activity_count": 11}, "Got 11 activity voxels, expected 1 to 10"),
        ({"fallback": -1}, "Got -1 as the fallback's index, expected 0 to 9"),
        ({"fallback": 10}, "Got 10 as the fallback's index, expected 0 to 9"),
        ({"hidden": ()}, "Got 0 hidden layers, expected 1 to 4"),
        ({"hidden": (1,) * 5}, "Got 5 hidden layers, expected 1 to 4"),
        ({"hidden": (8, 0)}, "Got 0 hidden units, expected 1 to 256"),
        ({"hidden": (8, 257)}, "Got 257 hidden units, expected 1 to 256"),
        ({"components": 0}, "Got 0 mixture components, expected 1 to 8"),
        ({"components": 9}, "Got 9 mixture components, expected 1 to 8"),
        ({"context": TINY.context[::-1]}, "do not all come first"),
        ({"shear": 1}, "Got 1 as the shear, expected 2 to 8"),
        ({"shear": 9}, "Got 9 as the shear, expected 2 to 8"),
        ({"activity_offset": 15}, "Got 15 to add to the activity, expected 16 to 2566"),
        ({"activity_offset": 2567}, "Got 2567 to add to the activity, expected 16 to 2566"),
    ],
)
def test_what_is_out_of_range_is_refused(change, message):
    with pytest.raises(FormatError, match=message):
        dataclasses.replace(TINY, **change)


def test_activity_counts_end_at_16():
    context = tuple((-1, dy, dx) for dy in range(5) for dx in range(5))
    at_most = dataclasses.replace(TINY, context=context, activity_count=16)
    with pytest.raises(FormatError, match="Got 17 activity voxels, expected 1 to 16"):
        dataclasses.replace(at_most, activity_count=17)


@pytest.mark.parametrize(
    "offset",
    [
        *[(0, 0, 0), (0, 0, 1), (0, 1, -2), (0, -1, 2), (0, 1, 0), (1, 0, 0), (1, -1, -1)],
        *[(-17, 0, 0), (-1, 17, 0), (-1, -17, 0), (-1, 0, 17), (0, 0, -17), (0, 0, -1)],
    ],
)
def test_offsets_that_are_not_causal_too_far_or_repeated_are_refused(offset):
    with pytest.raises(FormatError, match="not causal, repeats an offset or reaches further"):
        dataclasses.replace(TINY, context=in_slice_first(offset, *TINY.context))


@pytest.mark.parametrize("offset", [(0, -1, 1), (0, 1, -3), (-1, 16, 16), (-16, -16, 16)])
def test_offsets_at_the_edge_of_causality_are_accepted(offset):
    rest = tuple(other for other in TINY.context if other != offset)
    context = in_slice_first(offset, *rest)
    assert dataclasses.replace(TINY, context=context).context == context


def test_more_shear_reaches_further_to_the_right():
    context = in_slice_first((0, -1, 3), (0, -2, 7), *TINY.context)
    assert dataclasses.replace(TINY, context=context, shear=4).context == context
    with pytest.raises(FormatError, match=r"expected dz < 0, or dz = 0 and dx \+ 3 dy < 0"):
        dataclasses.replace(TINY, context=context, shear=3)


@pytest.mark.parametrize("value", [None, [], "full", 3, {}, True])
def test_json_of_another_type_is_refused(value):
    with pytest.raises(FormatError, match="architecture that cannot be read"):
        Architecture.from_json(value)


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Architecture)])
@pytest.mark.parametrize(
    "value", ["absent", None, "text", [None], [[1, 2]], {"a": 1}, math.inf, math.nan, -1, 2.5, "4"]
)
def test_json_with_a_hostile_field_is_refused(name, value):
    fields = TINY.to_json()
    fields[name] = value
    if value == "absent":
        del fields[name]
        if name in ("shear", "activity_offset", "voxel_bits"):
            assert Architecture.from_json(fields) == TINY, "older files have none of them"
            return
    with pytest.raises(FormatError):
        Architecture.from_json(fields)


@given(architectures(), st.tuples(*[st.integers(1, 12)] * 3))
def test_every_context_voxel_lies_earlier_and_in_its_own_row(architecture, shape):
    geometry = Geometry.of(shape, architecture)
    assert max(geometry.lags) < 0
    assert geometry.lead == max(-min(geometry.lags), geometry.steps_together)
    assert 1 <= geometry.steps_together <= 16
    assert geometry.steps_together % geometry.steps_predicted == 0
    for lag, (dz, _, _) in zip(geometry.lags, architecture.context, strict=True):
        assert dz == 0 or lag <= -geometry.steps_together
    # The gap between two rows of a lane is as wide as any offset.
    assert geometry.pitch - shape[2] >= max(abs(dx) for _, _, dx in architecture.context)


@given(st.sampled_from([TINY, IN_SLICE, EARLIER, SHEARED, *CONTEXTS.values()]), st.integers(1, 3))
def test_narrow_blocks_keep_every_lag_negative(architecture, width):
    assert max(Geometry.of((4, 5, width), architecture).lags) < 0


def test_a_geometry_by_hand():
    # Widest |dx| is 3: pitch 24 + 3. The last voxel (2, 7, 23) has time 2 * 27 + 23 + 2 * 7 = 91.
    geometry = Geometry((3, 8, 24), TINY.context)
    assert (geometry.pitch, geometry.num_steps, geometry.num_rows) == (27, 92, 96)
    # 8 rows are 16 lanes, and the widest |dy| is 2.
    assert (geometry.lanes, geometry.lane_pitch, geometry.row_width) == (16, 20, 20)
    wider = Geometry((3, 33, 24), TINY.context, blocks=3)
    assert (wider.step_width, wider.row_width) == (144, 156)
    # An encoder's lanes: a multiple of 4 but none of 128, unless the network is wide.
    for rows, lanes in ((8, 8), (250, 252), (256, 260), (258, 260), (262, 264), (512, 516)):
        assert Geometry.of_encoder((3, rows, 24), FULL).lanes == lanes
    assert Geometry.of_encoder((3, 256, 24), MEDIUM).lanes == 256
    assert geometry.lags == (-1, -2, -1, -3, -2, -1, -27, -24, -29, -55)
    assert (geometry.lead, geometry.steps_together) == (55, 16)
    assert geometry.steps_for((1, 1, 1)) == 1
    # With a shear of 4 the last voxel has time 2 * 27 + 23 + 4 * 7, and (0, -1, 3) a lag of 3 - 4.
    sheared = Geometry.of((3, 8, 24), SHEARED)
    assert sheared.num_steps == 2 * (24 + 7) + 23 + 4 * 7 + 1
    assert sheared.lags == (-1, -4, -3, -5, -1, -1, -31, -22, -66)
    # One voxel wide: (-1, 2, 2) looks 6 steps ahead, so slices must be 7 steps apart.
    assert Geometry((3, 8, 1), EARLIER.context).pitch == 7
