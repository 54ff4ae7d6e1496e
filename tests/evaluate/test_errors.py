"""Why results fail: one case by hand per kind, with the AP50 that mending it must give; and what holds for any data."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from test_video_ap import encode, random_case

from mssts.data.video_set import Track, Video, VideoSet
from mssts.errors import BadInputError
from mssts.evaluate.error_kinds import ErrorKind, taken_tracks
from mssts.evaluate.errors import ErrorReport, find_errors, judge_results, mended_ap50
from mssts.evaluate.matching import match_video
from mssts.evaluate.results_file import Result
from mssts.evaluate.video_ap import evaluate_video_ap, match_results

CAT, DOG = 1, 2
SIZE = (4, 200)
NUM_FRAMES = 10


def bar(left: int, width: int = 20) -> dict:
    mask = np.zeros(SIZE, dtype=bool)
    mask[:, left : left + width] = True
    code = encode(mask)
    assert isinstance(code, dict)
    return code


def steady(left: int, width: int = 20) -> tuple[dict | None, ...]:
    return (bar(left, width),) * NUM_FRAMES


def case(*truths: tuple[int, tuple[dict | None, ...]], crowds: tuple[int, ...] = ()) -> VideoSet:
    """Two videos, the tracks all in the first; track ids are 100 and on."""
    videos = tuple(Video(id_, *SIZE, ("f",) * NUM_FRAMES) for id_ in (7, 8))
    tracks = tuple(
        Track(100 + index, 7, category, masks, (None,) * NUM_FRAMES, is_crowd=index in crowds)
        for index, (category, masks) in enumerate(truths)
    )
    return VideoSet(Path("gt.json"), Path(), videos, tracks, ((CAT, "cat"), (DOG, "dog")), has_truth=True)


def found(category: int, masks: tuple[dict | None, ...], score: float, video: int = 7) -> Result:
    return Result(video, category, score, masks)


def check(report: ErrorReport, counts: dict[ErrorKind, int], ap50: float, gains: dict[ErrorKind, float]) -> None:
    """What is not named must be 0."""
    assert report.counts == {kind: counts.get(kind, 0) for kind in ErrorKind}
    assert report.ap50 == pytest.approx(ap50, abs=1e-12)
    assert report.gains == pytest.approx({kind: gains.get(kind, 0.0) for kind in ErrorKind}, abs=1e-12)


def test_a_wrong_class() -> None:
    """Both classes have one track; the cat called a dog comes before the dog, so dogs have AP 1/2 and cats 0."""
    truth = case((CAT, steady(0)), (DOG, steady(50)))
    report = find_errors(truth, [found(DOG, steady(0), 0.9), found(DOG, steady(50), 0.8)])
    # Mended, cats have 1, and dogs too.
    check(report, {ErrorKind.WRONG_CLASS: 1, ErrorKind.MISSED: 1}, 0.25, {ErrorKind.WRONG_CLASS: 0.75})
    alarm, missed = report.by_video[7]
    assert (alarm.result, alarm.track_id, alarm.iou, alarm.category_id) == (0, 100, 1.0, DOG)
    # The missed cat would be found by the mended detection, which it names; without it, nothing is gained.
    assert (missed.kind, missed.category_id, missed.track_id, missed.result) == (ErrorKind.MISSED, CAT, 100, 0)
    assert report.by_video[8] == ()


def test_a_bad_mask() -> None:
    """IoU 10 / 30 with its own track; AP50 of 0 becomes 1."""
    report = find_errors(case((CAT, steady(0))), [found(CAT, steady(10), 0.9)])
    check(report, {ErrorKind.BAD_MASK: 1, ErrorKind.MISSED: 1}, 0.0, {ErrorKind.BAD_MASK: 1.0})
    assert report.by_video[7][0].iou == pytest.approx(1 / 3)


def test_a_duplicate() -> None:
    """The better one hits; the other comes before the second track's detection: AP is 51 points of 1, 50 of 2/3."""
    truth = case((CAT, steady(0)), (CAT, steady(50)))
    results = [found(CAT, steady(0), 0.9), found(CAT, steady(1), 0.8), found(CAT, steady(50), 0.7)]
    ap50 = (51 + 50 * 2 / 3) / 101
    check(find_errors(truth, results), {ErrorKind.DUPLICATE: 1}, ap50, {ErrorKind.DUPLICATE: 1 - ap50})


def test_background() -> None:
    """Nowhere near a track, in a video without tracks, or with an IoU below 0.1; it leads, so AP50 is 1/4."""
    truth = case((CAT, steady(0)))
    results = [
        found(CAT, steady(100), 0.9),
        found(CAT, steady(0), 0.9, video=8),
        found(CAT, steady(17), 0.9),  # 3 / 37
        found(CAT, steady(0), 0.8),
    ]
    report = find_errors(truth, results)
    check(report, {ErrorKind.BACKGROUND: 3}, 0.25, {ErrorKind.BACKGROUND: 0.75})
    assert [(error.result, error.track_id) for error in report.by_video[8]] == [(1, None)]
    assert [(error.result, error.iou) for error in report.by_video[7]] == [(0, 0.0), (2, 0.0)]


def test_class_and_mask() -> None:
    """IoU 10 / 30 with a track of another class can only be removed; cats stay missed."""
    truth = case((CAT, steady(0)), (DOG, steady(100)))
    report = find_errors(truth, [found(DOG, steady(10), 0.9), found(DOG, steady(100), 0.8)])
    gains = {ErrorKind.CLASS_AND_MASK: 0.25, ErrorKind.MISSED: 0.5}
    check(report, {ErrorKind.CLASS_AND_MASK: 1, ErrorKind.MISSED: 1}, 0.25, gains)
    assert report.by_video[7][-1].result is None


def test_missed() -> None:
    """One of two is found: AP50 is 51 of 101 points. As nothing points to the other, it is excused."""
    report = find_errors(case((CAT, steady(0)), (CAT, steady(50))), [found(CAT, steady(0), 0.9)])
    check(report, {ErrorKind.MISSED: 1}, 51 / 101, {ErrorKind.MISSED: 50 / 101})


def test_an_identity_switch() -> None:
    """Three cats side by side, each followed for some frames: an IoU of 4/16 with the first, less with the others."""
    truth = case((CAT, steady(0)), (CAT, steady(50)), (CAT, steady(100)))
    switching = steady(0)[:4] + steady(50)[:3] + steady(100)[:3]
    results = [found(CAT, switching, 0.9), found(CAT, steady(50), 0.8), found(CAT, steady(100), 0.7)]
    report = find_errors(truth, results)
    # Recalls up to 2/3 are 67 points, at a precision of 2/3.
    ap50 = 67 * 2 / 3 / 101
    check(report, {ErrorKind.IDENTITY_SWITCH: 1, ErrorKind.MISSED: 1}, ap50, {ErrorKind.IDENTITY_SWITCH: 1 - ap50})
    assert report.by_video[7][0].track_id == 100
    assert report.by_video[7][0].iou == pytest.approx(4 / 16)


def test_a_switch_to_another_class_is_one_too_but_not_from_it() -> None:
    """Four frames on the cat, six on the dog: for a cat a switch, for a fish (which has no such track) not."""
    truth = case((CAT, steady(0)), (DOG, steady(50)))
    masks = steady(0)[:4] + steady(50)[:6]
    assert kinds(find_errors(truth, [found(CAT, masks, 0.9)]))[0] == ErrorKind.IDENTITY_SWITCH
    fish = truth._replace(
        categories=(*truth.categories, (3, "fish")),
        tracks=(*truth.tracks, truth.tracks[0]._replace(id=102, category_id=3, segmentations=steady(150))),
    )
    assert kinds(find_errors(fish, [found(3, masks, 0.9)]))[0] == ErrorKind.CLASS_AND_MASK


def kinds(report: ErrorReport) -> list[ErrorKind]:
    return [error.kind for error in report.by_video[7]]


def test_what_looks_like_a_switch_but_is_not_the_fault() -> None:
    """Followed for too few frames, or with masks too bad, or only ever one object: then the masks are at fault."""
    truth = case((CAT, steady(0)), (CAT, steady(50)))
    short = (*steady(0)[:3], bar(50), *[None] * 6)  # staying with the first would give 4 / 10
    bad = steady(10)[:5] + steady(0)[:3] + steady(50)[:2]  # right in half of the frames, not in more
    one = steady(0)[:3] + steady(55, 5)[:1] + (None,) * 6  # touches the second, without following it
    for masks in (short, bad, one):
        assert kinds(find_errors(truth, [found(CAT, masks, 0.9)]))[0] == ErrorKind.BAD_MASK
    crowd = case((CAT, steady(0)), (CAT, steady(50)), crowds=(1,))
    assert kinds(find_errors(crowd, [found(CAT, steady(0)[:4] + steady(50)[:6], 0.9)]))[0] == ErrorKind.BAD_MASK
    just_enough = (*steady(0)[:3], *steady(50)[:2], *[None] * 5)  # 5 / 10
    assert kinds(find_errors(truth, [found(CAT, just_enough, 0.9)]))[0] == ErrorKind.IDENTITY_SWITCH
    right_in_more = steady(10)[:4] + steady(0)[:3] + steady(50)[:3]  # 10 frames of 20 + 10; 160 of 240 if it stayed
    assert kinds(find_errors(truth, [found(CAT, right_in_more, 0.9)]))[0] == ErrorKind.IDENTITY_SWITCH


def test_the_higher_iou_tells_duplicate_from_wrong_class() -> None:
    truth = case((CAT, steady(0)), (DOG, steady(4)))
    hit = found(CAT, steady(0), 0.9)
    assert kinds(find_errors(truth, [hit, found(CAT, steady(1), 0.8)]))[0] == ErrorKind.DUPLICATE
    assert kinds(find_errors(truth, [hit, found(CAT, steady(3), 0.8)]))[0] == ErrorKind.WRONG_CLASS


def test_a_track_that_is_hit_needs_no_mending() -> None:
    """The bad mask comes before the hit of the same track; mended, it would be a duplicate, so it goes."""
    truth = case((CAT, steady(0)), (CAT, steady(50)))
    results = [found(CAT, steady(10), 0.9), found(CAT, steady(0), 0.8), found(CAT, steady(50), 0.7)]
    ap50 = 2 / 3  # at every recall, the best is two hits of three
    check(find_errors(truth, results), {ErrorKind.BAD_MASK: 1}, ap50, {ErrorKind.BAD_MASK: 1 - ap50})


def test_of_several_for_one_track_only_the_best_is_mended() -> None:
    """A dog with a good mask, then cats with bad ones: the dog would be the hit; mending the cats removes them only."""
    truth = case((CAT, steady(0)), (DOG, steady(100)))
    bad = [found(CAT, steady(10), 0.7), found(CAT, steady(9), 0.6)]
    results = [found(DOG, steady(0), 0.8), *bad, found(DOG, steady(100), 0.9)]
    counts = {ErrorKind.WRONG_CLASS: 1, ErrorKind.BAD_MASK: 2, ErrorKind.MISSED: 1}
    report = find_errors(truth, results)
    check(report, counts, 0.5, {ErrorKind.WRONG_CLASS: 0.5})
    assert report.by_video[7][-1].result == 0
    # Below the cats, it is the better cat that is mended, and the dog only removed.
    results[0] = results[0]._replace(score=0.5)
    report = find_errors(truth, results)
    check(report, counts, 0.5, {ErrorKind.BAD_MASK: 0.5})
    assert report.by_video[7][-1].result == 1


def test_crowds_are_no_errors_and_mend_to_nothing() -> None:
    """What matches a crowd is ignored; what would match one if mended is removed, for a crowd is no hit."""
    truth = case((CAT, steady(0)), (CAT, steady(100)), (DOG, steady(150)), crowds=(1,))
    hits = [found(CAT, steady(0), 0.5), found(DOG, steady(150), 0.5)]
    check(find_errors(truth, [found(CAT, steady(100), 0.9), found(CAT, steady(101), 0.9), *hits]), {}, 1.0, {})
    report = find_errors(truth, [found(CAT, steady(110), 0.9), found(DOG, steady(100), 0.9), *hits])
    gains = {ErrorKind.BAD_MASK: 0.25, ErrorKind.WRONG_CLASS: 0.25}
    check(report, {ErrorKind.BAD_MASK: 1, ErrorKind.WRONG_CLASS: 1}, 0.5, gains)
    assert [error.track_id for error in report.by_video[7]] == [101, 101]


def test_only_the_best_hundred_of_a_video_and_class_are_judged() -> None:
    truth = case((CAT, steady(0)))
    results = [found(CAT, steady(100), 0.5)] * 100 + [found(CAT, steady(0), 0.4)]
    check(find_errors(truth, results), {ErrorKind.BACKGROUND: 100, ErrorKind.MISSED: 1}, 0.0, {ErrorKind.MISSED: 0.0})
    check(find_errors(truth, results[1:]), {ErrorKind.BACKGROUND: 99}, 0.01, {ErrorKind.BACKGROUND: 0.99})


def test_classes_without_truth_cost_nothing() -> None:
    report = find_errors(case((CAT, steady(0))), [found(DOG, steady(0), 0.9)])
    check(report, {ErrorKind.MISSED: 1}, 0.0, {ErrorKind.MISSED: 1.0})
    nothing = find_errors(case(), [found(DOG, steady(0), 0.9)])
    check(nothing, {}, -1.0, {})


def test_bad_results_are_refused() -> None:
    with pytest.raises(BadInputError, match="unknown video_id 9"):
        find_errors(case(), [found(CAT, steady(0), 0.9, video=9)])
    wrong_size = {"size": [200, 4], "counts": [800]}
    with pytest.raises(BadInputError, match="result 0, frame 0: RLE size"):
        find_errors(case((CAT, steady(0))), [found(CAT, (wrong_size, *steady(0)[1:]), 0.9)])


def troubled_case(seed: int) -> tuple[VideoSet, list[Result]]:
    """A random case with more trouble: classes exchanged, and results that go from one true track to another."""
    made = random_case(seed, per_video=12)
    exchanged = {5: 9, 9: 5, 700: 700}
    results = [
        one._replace(category_id=exchanged[one.category_id]) if index % 4 == 0 else one
        for index, one in enumerate(made.results)
    ]
    for one, other in pairwise(made.truth.tracks):
        if one.video_id == other.video_id:
            masks = tuple((one, other)[frame % 2].segmentations[frame] for frame in range(len(one.segmentations)))
            results.append(Result(one.video_id, one.category_id, 0.6, masks))
    return made.truth, results


@pytest.mark.parametrize("seed", range(20))
def test_what_holds_for_any_results(seed: int) -> None:
    truth, results = troubled_case(seed)
    report, judged = find_errors(truth, results), judge_results(truth, results)
    assert report.ap50 == pytest.approx(evaluate_video_ap(truth, results).numbers["AP50"], abs=1e-12)
    # Mending everything leaves nothing to be desired, and no kind of mending does harm.
    classes = {track.category_id for track in truth.tracks if not track.is_crowd}
    assert mended_ap50(truth, judged, set(ErrorKind)) == pytest.approx(1.0 if classes else -1.0, abs=1e-12)
    assert min(report.gains.values()) >= -1e-12
    # Every false alarm and every missed track is one error.
    by_class = match_results(truth, results)
    matches = [one for category_id in classes for one in by_class[category_id].values()]
    alarms = sum(int((~one.matched & ~one.ignored)[0, 0].sum()) for one in matches)
    missed = sum(int(one.num_truths[0] - (one.matched & ~one.ignored)[0, 0].sum()) for one in matches)
    assert report.counts[ErrorKind.MISSED] == missed
    assert sum(report.counts.values()) == alarms + missed
    assert sum(len(errors) for errors in report.by_video.values()) == alarms + missed


def test_random_results_show_every_kind() -> None:
    """So that the properties above are not empty."""
    total = dict.fromkeys(ErrorKind, 0)
    for seed in range(20):
        for kind, count in find_errors(*troubled_case(seed)).counts.items():
            total[kind] += count
    assert min(total.values()) >= 5, total


@pytest.mark.parametrize("seed", range(30))
def test_taken_tracks_are_those_of_the_official_matching(seed: int) -> None:
    """Few different IoUs, so that ties abound."""
    random = np.random.default_rng(seed)
    num_found, num_true = random.integers(0, 9, size=2)
    ious = random.integers(0, 6, size=(num_found, num_true)) / 5
    is_crowd = random.random(num_true) < 0.3
    scores = -np.sort(-random.random(num_found))
    official = match_video(ious, scores, np.ones(num_found), np.ones(num_true), is_crowd)
    taken = taken_tracks(ious, is_crowd)
    assert ((taken >= 0) == official.matched[0, 0]).all()
    assert np.append(is_crowd, False)[taken].tolist() == official.ignored[0, 0].tolist()
    assert (ious[np.flatnonzero(taken >= 0), taken[taken >= 0]] >= 0.5).all()
