"""J&F of tracks whose numbers are known by hand; agreement with TrackEval is in test_peers.py."""

import numpy as np
import pytest
from track_cases import HEIGHT, WIDTH, MaskTrack, TrackCase, box, ellipse, to_results, to_set

from mssts.data.video_set import Video
from mssts.evaluate.boundary import boundary_accuracy, tolerance_pixels, trace
from mssts.evaluate.region_boundary import (
    MAX_TRACKS,
    REGION_BOUNDARY_NAMES,
    RegionBoundary,
    evaluate_region_boundary,
)

VIDEO = Video(1, HEIGHT, WIDTH, ("a", "b", "c", "d"))
LEFT, RIGHT = box(2, 2, 12, 12), box(2, 22, 12, 32)
UNDEFINED = dict.fromkeys(REGION_BOUNDARY_NAMES, -1.0)
PERFECT = dict.fromkeys(REGION_BOUNDARY_NAMES, 1.0)


def track(*masks: np.ndarray | None, category_id: int = 5, score: float = 1.0, is_crowd: bool = False) -> MaskTrack:
    return MaskTrack(VIDEO.id, category_id, list(masks), score, is_crowd)


def evaluate(truths: list[MaskTrack], found: list[MaskTrack], min_score: float = 0.4) -> RegionBoundary:
    case = TrackCase([VIDEO], truths, found)
    return evaluate_region_boundary(to_set(case), to_results(case), min_score)


def naive_boundary(mask: np.ndarray) -> set[tuple[int, int]]:
    """Pixels whose neighbour to the right, below or right below differs; there are none beyond the border."""
    height, width = mask.shape
    return {
        (row, column)
        for row in range(height)
        for column in range(width)
        for down, right in ((0, 1), (1, 0), (1, 1))
        if mask[row, column] != mask[min(row + down, height - 1), min(column + right, width - 1)]
    }


def naive_accuracy(found: np.ndarray, true: np.ndarray) -> float:
    """F by looking at all pairs of pixels."""
    radius = tolerance_pixels(*true.shape)
    outlines = naive_boundary(found), naive_boundary(true)
    if not all(outlines):
        return float(not any(outlines))
    shares = []
    for own, other in (outlines, outlines[::-1]):
        near = [any((y - v) ** 2 + (x - u) ** 2 <= radius**2 for v, u in other) for y, x in own]
        shares.append(sum(near) / len(near))
    return 2 * shares[0] * shares[1] / sum(shares) if sum(shares) else 0.0


@pytest.mark.parametrize("seed", range(20))
def test_boundary_accuracy_is_that_of_all_pairs_of_pixels(seed: int):
    """Ragged shapes that touch the border, miss the frame or fill it."""
    random = np.random.default_rng(seed)
    size = np.array([HEIGHT, WIDTH])
    masks = [ellipse(random, 0.0, random.uniform(-0.3, 1.3, 2) * size, random.uniform(2, 40, 2)) for _ in range(3)]
    for found in masks:
        for true in masks:
            assert boundary_accuracy(trace(found), trace(true)) == pytest.approx(naive_accuracy(found, true))


@pytest.mark.parametrize(("size", "pixels"), [((480, 854), 8), ((720, 1280), 12), ((300, 400), 4), ((301, 400), 5)])
def test_tolerance_is_rounded_up(size: tuple[int, int], pixels: int):
    assert tolerance_pixels(*size) == pixels


def test_an_outline_agrees_up_to_the_tolerance():
    """At 60 x 80 the diagonal is 100 and 0.8 becomes 1 pixel: a shift by 1 is none, of one by 2 two sides remain."""
    base, by_one, by_two = (box(20, 20 + shift, 40, 40 + shift, (60, 80)) for shift in (0, 1, 2))
    assert boundary_accuracy(trace(by_one), trace(base)) == 1.0
    assert boundary_accuracy(trace(by_two), trace(base)) == pytest.approx(naive_accuracy(by_two, base))
    assert 0.5 < boundary_accuracy(trace(by_two), trace(base)) < 0.6


def test_perfect_tracks_of_any_class():
    truths = [track(LEFT, LEFT, None, RIGHT), track(RIGHT, RIGHT, RIGHT, None, category_id=9)]
    found = [truth._replace(category_id=700) for truth in truths[::-1]]
    numbers = evaluate(truths, found)
    assert numbers.numbers == numbers.per_video[1] == PERFECT
    assert numbers.per_category == {5: PERFECT, 9: PERFECT, 700: UNDEFINED}


def test_half_of_a_mask():
    numbers = evaluate([track(*[box(0, 0, 20, 20)] * 4)], [track(*[box(0, 0, 20, 10)] * 4)]).numbers
    assert numbers["J"] == 0.5
    assert numbers["J-Recall"] == 0.0  # 0.5 is not above 0.5
    assert numbers["J&F"] == (numbers["J"] + numbers["F"]) / 2


def test_an_identity_switch_leaves_half():
    found = [track(LEFT, LEFT, None, None), track(None, None, LEFT, LEFT)]
    assert evaluate([track(LEFT, LEFT, LEFT, LEFT)], found).numbers == dict.fromkeys(REGION_BOUNDARY_NAMES, 0.5)


def test_assignment_is_one_to_one_and_the_best():
    """The first found track fits both true ones, the second only the first: so the first goes to the second."""
    both = LEFT | RIGHT
    truths = [track(both, both, both, both), track(RIGHT, RIGHT, RIGHT, RIGHT, category_id=9)]
    found = [track(RIGHT, RIGHT, RIGHT, RIGHT), track(LEFT, LEFT, LEFT, LEFT)]
    numbers = evaluate(truths, found).per_category
    assert (numbers[5]["J"], numbers[9]["J"]) == (0.5, 1.0)


def test_a_missed_track_scores_where_it_is_not_visible():
    """So it is at DAVIS; a track more than there are objects costs nothing."""
    truths = [track(LEFT, LEFT, None, None), track(RIGHT, RIGHT, RIGHT, RIGHT)]
    assert evaluate(truths, []).numbers == dict.fromkeys(REGION_BOUNDARY_NAMES, 0.25)
    assert evaluate(truths, [truths[1], *truths]).numbers == PERFECT


def test_no_truth_crowds_and_tracks_never_visible():
    crowd, unseen = track(LEFT, None, None, None, is_crowd=True), track(None, box(0, 0, 0, 0), None, None)
    for truths in ([], [crowd], [unseen]):
        numbers = evaluate(truths, [track(LEFT, None, None, None)])
        assert numbers.numbers == numbers.per_video[1] == UNDEFINED
    seen = track(RIGHT, RIGHT, RIGHT, RIGHT)
    assert evaluate([crowd, unseen, seen], [seen]).numbers == PERFECT


def test_only_the_best_twenty_tracks_take_part():
    truth = track(LEFT, LEFT, LEFT, LEFT, score=0.5)
    better = track(RIGHT, RIGHT, RIGHT, RIGHT, score=0.6)
    assert evaluate([truth], [truth, *[better] * (MAX_TRACKS - 1)]).numbers == PERFECT
    assert evaluate([truth], [truth, *[better] * MAX_TRACKS]).numbers["J"] == 0.0
    assert evaluate([truth], [truth], min_score=0.6).numbers["J"] == 0.0


def test_the_mean_weighs_tracks_not_videos():
    truths = [track(LEFT, LEFT, LEFT, LEFT), track(RIGHT, RIGHT, RIGHT, RIGHT), track(LEFT, LEFT, LEFT, LEFT)]
    videos = [VIDEO, VIDEO._replace(id=2)]
    truths[2] = truths[2]._replace(video_id=2)
    case = TrackCase(videos, truths, truths[:2])
    numbers = evaluate_region_boundary(to_set(case), to_results(case))
    assert numbers.numbers["J&F"] == pytest.approx(2 / 3)
    assert (numbers.per_video[1]["J&F"], numbers.per_video[2]["J&F"]) == (1.0, 0.0)
