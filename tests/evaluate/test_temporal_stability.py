"""Temporal stability of tracks whose masks change in a known way."""

import numpy as np
import pytest
from track_cases import HEIGHT, WIDTH, MaskTrack, TrackCase, box, to_results, to_set

from mssts.data.video_set import Video
from mssts.evaluate.temporal_stability import STABILITY_NAMES, TemporalStability, evaluate_temporal_stability

VIDEO = Video(1, HEIGHT, WIDTH, ("a", "b", "c", "d"))
UNDEFINED = dict.fromkeys(STABILITY_NAMES, -1.0)


def track(*masks: np.ndarray | None, category_id: int = 5) -> MaskTrack:
    return MaskTrack(VIDEO.id, category_id, list(masks))


def evaluate(truths: list[MaskTrack], found: list[MaskTrack]) -> TemporalStability:
    case = TrackCase([VIDEO], truths, found)
    return evaluate_temporal_stability(to_set(case), to_results(case))


def moving(*lefts: int) -> MaskTrack:
    return track(*[box(0, left, 10, left + 10) for left in lefts])


def test_a_mask_that_moves_with_its_object_does_not_flicker():
    truth = moving(0, 2, 4, 6)
    numbers = evaluate([truth], [moving(1, 3, 5, 7)]).numbers
    # Of 10 columns 8 are shared, and 12 are in either.
    assert numbers == pytest.approx({"flicker": 0.0, "found_step_iou": 8 / 12, "true_step_iou": 8 / 12})


def test_a_mask_that_jumps_on_a_still_object_flickers():
    numbers = evaluate([moving(10, 10, 10, 10)], [moving(10, 12, 10, 12)])
    expected = {"flicker": 4 / 12, "found_step_iou": 8 / 12, "true_step_iou": 1.0}
    assert numbers.numbers == numbers.per_video[1] == numbers.per_category[5] == pytest.approx(expected)
    assert numbers.per_category[9] == UNDEFINED


def test_a_frozen_mask_on_a_moving_object_differs_too():
    assert evaluate([moving(0, 2, 0, 2)], [moving(1, 1, 1, 1)]).numbers["flicker"] == pytest.approx(4 / 12)


def test_a_frame_without_mask_is_a_step_to_nothing_and_back():
    """Of three steps two have an IoU of 0; where the object itself is away, nothing counts."""
    masks = [box(0, 0, 10, 10)] * 4
    assert evaluate([track(*masks)], [track(masks[0], None, *masks[2:])]).numbers["flicker"] == pytest.approx(2 / 3)
    gone = track(masks[0], None, *masks[2:])
    assert evaluate([gone], [gone]).numbers == {"flicker": 0.0, "found_step_iou": 1.0, "true_step_iou": 1.0}


def test_only_tracks_that_were_found_are_judged():
    """A video IoU of 0.5 is enough, a little less is not; the class does not matter."""
    truth = track(*[box(0, 0, 10, 10)] * 4)
    half, less = track(*[box(0, 0, 10, 5)] * 4, category_id=9), track(*[box(0, 0, 10, 4)] * 4)
    assert evaluate([truth], [half]).numbers["flicker"] == 0.0
    for found in ([less], []):
        assert evaluate([truth], found).numbers == UNDEFINED


def test_a_video_of_one_frame_has_no_step():
    case = TrackCase([VIDEO._replace(file_names=("a",))], [track(box(0, 0, 10, 10))], [track(box(0, 0, 10, 10))])
    assert evaluate_temporal_stability(to_set(case), to_results(case)).numbers == UNDEFINED
