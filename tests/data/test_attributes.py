import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssts.data.attributes import Attributes, video_attributes

NONE = Attributes(fast_motion=False, size_change=False, aspect_change=False)
FAST = NONE._replace(fast_motion=True)
SIZE = NONE._replace(size_change=True)
ASPECT = NONE._replace(aspect_change=True)
STILL = [(10.0, 10.0, 20.0, 20.0)] * 3


@pytest.mark.parametrize(("step", "expected"), [(5.99, NONE), (6.01, FAST)])
@pytest.mark.parametrize("direction", [(1.0, 0.0), (0.0, -1.0), (0.6, 0.8)])
def test_motion_by_30_percent_of_the_size_is_fast(
    step: float, expected: Attributes, direction: tuple[float, float]
) -> None:
    moved = (10 + step * direction[0], 10 + step * direction[1], 20.0, 20.0)
    assert video_attributes([[(10.0, 10.0, 20.0, 20.0), moved]]) == expected


def test_motion_by_exactly_30_percent_is_fast_and_ratios_of_exactly_15_are_no_change() -> None:
    assert video_attributes([[(0, 0, 20, 20), (6, 0, 20, 20)]]) == FAST
    # Around one centre: area and aspect ratio change by 1.5.
    assert video_attributes([[(0, 0, 20, 20), (-5, 0, 30, 20)]]) == NONE


def test_the_size_that_motion_is_compared_with_is_the_root_of_the_area_in_the_frame_before() -> None:
    # sqrt(40 * 10) = 20 before, sqrt(40 * 14) = 23.7 after; the centre moves by 6.5: fast from 21.7 pixels down.
    flat, taller = (0, 0, 40, 10), (6.5, -2, 40, 14)
    assert video_attributes([[flat, taller]]) == FAST
    assert video_attributes([[taller, flat]]) == NONE


@pytest.mark.parametrize(("area", "expected"), [(1.49, NONE), (1.51, SIZE)])
@pytest.mark.parametrize("shrinks", [False, True])
def test_size_is_the_area_of_the_box(area: float, expected: Attributes, shrinks: bool) -> None:
    side = 20 * math.sqrt(area)
    boxes = [(10.0, 10.0, 20.0, 20.0), (20 - side / 2, 20 - side / 2, side, side)]
    assert video_attributes([boxes[::-1] if shrinks else boxes]) == expected


@pytest.mark.parametrize(("ratio", "expected"), [(1.49, NONE), (1.51, ASPECT)])
@pytest.mark.parametrize("upright", [False, True])
def test_aspect_ratio_is_that_of_the_box(ratio: float, expected: Attributes, upright: bool) -> None:
    wide, high = 20 * math.sqrt(ratio), 20 / math.sqrt(ratio)
    width, height = (high, wide) if upright else (wide, high)
    assert video_attributes([[(10, 10, 20, 20), (20 - width / 2, 20 - height / 2, width, height)]]) == expected


def test_changes_count_over_the_whole_video_however_slow() -> None:
    sides = [20 * 1.02**frame for frame in range(30)]
    assert video_attributes([[(20 - side / 2, 20 - side / 2, side, side) for side in sides]]) == SIZE


def test_motion_counts_only_between_consecutive_frames_in_which_the_object_is_visible() -> None:
    first, far = (0, 0, 20, 20), (100, 0, 20, 20)
    assert video_attributes([[first, None, far]]) == NONE
    assert video_attributes([[first, (50, 0, 0, 20), far]]) == NONE
    assert video_attributes([[None, first, far]]) == FAST


def test_one_object_is_enough() -> None:
    growing = [(10, 10, 20, 20), (9, 9, 22, 22), (5, 5, 30, 30)]
    fast = [(0, 0, 20, 20), (10, 0, 20, 20), (20, 0, 20, 20)]
    assert video_attributes([STILL, growing]) == SIZE
    assert video_attributes([STILL, fast, growing]) == Attributes(True, True, False)


@pytest.mark.parametrize("objects", [[], [[]], [[None, None]], [[(0, 0, 0, 0)] * 2], [[(5, 5, 9, 9), None]], [STILL]])
def test_nothing_to_compare_shows_nothing(objects: list) -> None:
    assert video_attributes(objects) == NONE


boxes = st.tuples(*[st.floats(0, 200)] * 2, *[st.floats(0.5, 100)] * 2) | st.none()


@given(st.lists(boxes, max_size=6), st.sampled_from([0.25, 4.0]), st.sampled_from([-64.0, 32.0]))
def test_neither_scale_nor_place_of_a_track_matters(track: list, scale: float, shift: float) -> None:
    # Powers of two keep the numbers exact but for the sums.
    changed = [
        box and ((box[0] + shift) * scale, (box[1] + shift) * scale, box[2] * scale, box[3] * scale) for box in track
    ]
    one, other = video_attributes([track]), video_attributes([changed])
    assert (one.size_change, one.aspect_change) == (other.size_change, other.aspect_change)


@given(st.lists(boxes, max_size=6))
def test_changes_do_not_depend_on_the_direction_of_time(track: list) -> None:
    one, other = video_attributes([track]), video_attributes([track[::-1]])
    assert (one.size_change, one.aspect_change) == (other.size_change, other.aspect_change)
