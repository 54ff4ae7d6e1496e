"""HOTA of tracks whose numbers follow from its definition by hand; agreement with TrackEval is in test_peers.py."""

import math

import numpy as np
import pytest
from track_cases import HEIGHT, WIDTH, MaskTrack, TrackCase, box, to_results, to_set

from mssts.data.video_set import Video
from mssts.errors import BadInputError
from mssts.evaluate.hota import ALPHAS, HOTA_NAMES, Hota, evaluate_hota
from mssts.evaluate.results_file import Result

VIDEO = Video(1, HEIGHT, WIDTH, ("a", "b", "c", "d"))
LEFT, RIGHT = box(2, 2, 12, 12), box(2, 22, 12, 32)
UNDEFINED = dict.fromkeys(HOTA_NAMES, -1.0)
PERFECT = dict.fromkeys(HOTA_NAMES, 1.0)


def track(*masks: np.ndarray | None, category_id: int = 5, score: float = 1.0, is_crowd: bool = False) -> MaskTrack:
    return MaskTrack(VIDEO.id, category_id, list(masks), score, is_crowd)


def hota(truths: list[MaskTrack], found: list[MaskTrack], min_score: float = 0.4) -> Hota:
    case = TrackCase([VIDEO], truths, found)
    return evaluate_hota(to_set(case), to_results(case), min_score)


def test_perfect_tracks():
    truths = [track(LEFT, LEFT, None, RIGHT), track(RIGHT, RIGHT, RIGHT, None, category_id=9)]
    numbers = hota(truths, truths)
    assert numbers.class_averaged == numbers.detection_averaged == numbers.per_video[1] == PERFECT
    assert numbers.per_category == {5: PERFECT, 9: PERFECT, 700: UNDEFINED}
    assert all(curve.tolist() == [1.0] * len(ALPHAS) for curve in numbers.per_alpha.values())


def test_an_identity_switch_halfway_halves_the_association():
    truths = [track(LEFT, LEFT, LEFT, LEFT)]
    found = [track(LEFT, LEFT, None, None), track(None, None, LEFT, LEFT)]
    numbers = hota(truths, found).class_averaged
    # Of each hit's true track, half of the frames have the same found track, which has no other frames.
    assert (numbers["DetA"], numbers["AssA"], numbers["AssRe"], numbers["AssPr"]) == (1.0, 0.5, 0.5, 1.0)
    assert numbers["HOTA"] == pytest.approx(math.sqrt(0.5))


def test_two_tracks_that_swap():
    truths = [track(LEFT, LEFT, LEFT, LEFT), track(RIGHT, RIGHT, RIGHT, RIGHT)]
    found = [track(LEFT, LEFT, RIGHT, RIGHT), track(RIGHT, RIGHT, LEFT, LEFT)]
    numbers = hota(truths, found).class_averaged
    # Each pair shares 2 frames of the 6 that either has.
    assert (numbers["DetA"], numbers["AssRe"], numbers["AssPr"]) == (1.0, 0.5, 0.5)
    assert numbers["AssA"] == pytest.approx(1 / 3)


def test_masks_that_are_half_right_hit_up_to_their_iou():
    numbers = hota([track(*[box(0, 0, 20, 10)] * 4)], [track(*[box(0, 0, 10, 10)] * 4)])
    is_hit = ALPHAS < 0.5 + 1e-9
    assert numbers.per_alpha["DetA"] == pytest.approx(is_hit.astype(float))
    # Where nothing is hit, LocA is 1, as in TrackEval.
    assert numbers.per_alpha["LocA"] == pytest.approx(np.where(is_hit, 0.5, 1.0))
    assert numbers.class_averaged["HOTA"] == pytest.approx(10 / 19)


def test_misses_and_false_alarms():
    """One of two tracks is found in half of its frames, beside one that is nothing."""
    truths = [track(LEFT, LEFT, LEFT, LEFT), track(RIGHT, RIGHT, None, None)]
    found = [track(LEFT, LEFT, None, None), track(None, box(30, 0, 36, 9), None, None)]
    numbers = hota(truths, found).class_averaged
    assert numbers["DetRe"] == pytest.approx(2 / 6)
    assert numbers["DetPr"] == pytest.approx(2 / 3)
    assert numbers["DetA"] == pytest.approx(2 / 7)


def test_a_wrong_class_is_a_miss_and_a_false_alarm():
    numbers = hota([track(LEFT, LEFT, LEFT, LEFT)], [track(LEFT, LEFT, LEFT, LEFT, category_id=9)])
    assert numbers.class_averaged["HOTA"] == numbers.detection_averaged["DetPr"] == 0.0
    assert numbers.per_category[9] == UNDEFINED


def test_classes_weigh_the_same_or_masks_do():
    truths = [track(LEFT, LEFT, LEFT, LEFT), track(None, RIGHT, None, None, category_id=9)]
    numbers = hota(truths, truths[:1])
    assert numbers.class_averaged["DetA"] == 0.5
    assert numbers.detection_averaged["DetA"] == pytest.approx(4 / 5)


def test_the_threshold_includes_its_score():
    truths = [track(LEFT, LEFT, LEFT, LEFT)]
    found = [truths[0]._replace(score=0.6), track(RIGHT, RIGHT, RIGHT, RIGHT, score=0.59)]
    assert hota(truths, found, min_score=0.6).class_averaged == PERFECT
    assert hota(truths, found, min_score=0.59).class_averaged["DetPr"] == 0.5
    assert hota(truths, found, min_score=0.61).class_averaged["DetRe"] == 0.0


def test_no_results_and_no_truth():
    tracks = [track(LEFT, None, None, None)]
    numbers = hota(tracks, []).class_averaged
    assert numbers == dict.fromkeys(HOTA_NAMES, 0.0) | {"LocA": 1.0}
    nothing = hota([], tracks)
    assert nothing.class_averaged == nothing.detection_averaged == nothing.per_video[1] == UNDEFINED
    assert nothing.per_alpha == {}


def test_a_track_that_is_never_visible_is_none():
    truths = [track(LEFT, LEFT, LEFT, LEFT)]
    unseen = track(None, box(0, 0, 0, 0), None, None)
    assert hota([*truths, unseen], [*truths, unseen]).class_averaged == PERFECT


def test_a_crowd_is_neither_missed_nor_a_false_alarm():
    truths = [track(LEFT, LEFT, LEFT, LEFT), track(RIGHT, RIGHT, RIGHT, None, is_crowd=True)]
    assert hota(truths, truths[:1]).class_averaged == PERFECT
    inside = track(*[box(2, 22, 12, 26)] * 3, None)
    assert hota(truths, [truths[0], inside]).class_averaged == PERFECT
    # The crowd is gone in the last frame; half of the second is outside; the third is of another class.
    beyond = track(None, None, None, box(2, 22, 12, 26))
    half = track(box(2, 27, 12, 37), None, None, None)
    other = track(box(2, 22, 12, 26), None, None, None, category_id=9)
    numbers = hota(truths, [truths[0], beyond, half, other]).detection_averaged
    assert numbers["DetPr"] == pytest.approx(4 / 7)


def test_a_hit_counts_though_it_lies_in_a_crowd():
    truths = [track(LEFT, LEFT, LEFT, LEFT), track(*[box(0, 0, 20, 20)] * 4, is_crowd=True)]
    assert hota(truths, truths[:1]).class_averaged == PERFECT


@pytest.mark.parametrize(
    ("result", "fault"),
    [
        (Result(99, 5, 1.0, (None,) * 4), "results: result 0: unknown video_id 99"),
        (
            Result(1, 5, 1.0, ({"size": [9, 9], "counts": [81]}, None, None, None)),
            "results: result 0, frame 0: RLE size",
        ),
    ],
)
def test_results_of_another_set_are_refused(result: Result, fault: str):
    truth = to_set(TrackCase([VIDEO], [track(LEFT, LEFT, LEFT, LEFT)], []))
    with pytest.raises(BadInputError, match=fault):
        evaluate_hota(truth, [result])
