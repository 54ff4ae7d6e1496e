"""Comparing two results: the bootstrap against sets in which videos are really repeated, and what it claims."""

import numpy as np
import pytest
from test_video_ap import Case, random_case

from mssts.data.video_set import VideoSet
from mssts.evaluate.accumulate import NUMBER_NAMES
from mssts.evaluate.compare import Difference, compare_matches, compare_results
from mssts.evaluate.matching import match_video
from mssts.evaluate.results_file import Result
from mssts.evaluate.video_ap import MatchesByClass, evaluate_video_ap, match_results
from mssts.evaluate.weighted_ap import weighted_numbers


def repeated(truth: VideoSet, results: list[Result], times: dict[int, int]) -> tuple[VideoSet, list[Result]]:
    """The set with every video as often as told, under new ids that keep the order."""
    new_ids, videos, tracks, found = {}, [], [], []
    for video in sorted(truth.videos):
        new_ids[video.id] = range(len(videos) + 1, len(videos) + 1 + times[video.id])
        videos += [video._replace(id=id_) for id_ in new_ids[video.id]]
    for track in truth.tracks:
        tracks += [track._replace(video_id=id_) for id_ in new_ids[track.video_id]]
    for result in results:
        found += [result._replace(video_id=id_) for id_ in new_ids[result.video_id]]
    return truth._replace(videos=tuple(videos), tracks=tuple(tracks)), found


def doubled(truth: VideoSet, results: list[Result]) -> tuple[VideoSet, list[Result]]:
    """The set with every video twice: enough videos for intervals."""
    return repeated(truth, results, {video.id: 2 for video in truth.videos})


def distinct_scores(case: Case) -> list[Result]:
    """Results that tie between videos but not within one: there, copies have an order of their own."""
    return [result._replace(score=result.score + index // 3 * 1e-3) for index, result in enumerate(spread(case))]


def spread(case: Case) -> list[Result]:
    """The results, those of one video never side by side for as long as there are others."""
    queues = [[one for one in case.results if one.video_id == video.id] for video in case.truth.videos]
    return [queue[index] for index in range(max(map(len, queues))) for queue in queues if index < len(queue)]


@pytest.mark.parametrize("seed", range(12))
def test_weights_are_what_repeated_videos_give(seed: int) -> None:
    """Sizes of frames at which small, medium and large all occur; weights 0 to 4; crowds, and a class without truth."""
    case = random_case(seed, size=(300, 320) if seed % 3 == 0 else (20, 24), per_video=9)
    results = distinct_scores(case)
    matches = match_results(case.truth, results)
    video_ids = sorted(video.id for video in case.truth.videos)
    weights = np.random.default_rng(seed).integers(0, 5, size=(4, len(video_ids))).astype(float)
    ours = weighted_numbers(matches, video_ids, weights)
    assert ours.shape == (4, 12)
    for row, numbers in zip(weights, ours, strict=True):
        times = {id_: int(weight) for id_, weight in zip(video_ids, row, strict=True)}
        expected = evaluate_video_ap(*repeated(case.truth, results, times)).numbers
        assert dict(zip(NUMBER_NAMES, numbers, strict=True)) == pytest.approx(expected, abs=1e-12)


def test_equal_scores_within_a_video_count_in_their_order() -> None:
    """With weights of 0 and 1 nothing is copied, so ties of any kind are those of the official code."""
    case = random_case(5)
    video_ids = sorted(video.id for video in case.truth.videos)
    ours = weighted_numbers(match_results(case.truth, case.results), video_ids, np.array([[1.0, 0.0, 1.0]]))
    chosen = {video_ids[0], video_ids[2]}
    expected = evaluate_video_ap(case.truth, case.results, chosen).numbers
    assert dict(zip(NUMBER_NAMES, ours[0], strict=True)) == pytest.approx(expected, abs=1e-12)


def test_one_draw_is_the_naive_one() -> None:
    case, other = random_case(3), random_case(3)
    truth, worse = doubled(case.truth, [result for index, result in enumerate(distinct_scores(other)) if index % 4])
    better = doubled(case.truth, distinct_scores(case))[1]
    comparison = compare_results(truth, worse, better, num_resamples=1, seed=17)
    draw = np.random.default_rng(17).multinomial(6, np.full(6, 1 / 6))
    times = dict(zip(sorted(video.id for video in truth.videos), draw.tolist(), strict=True))
    first = evaluate_video_ap(*repeated(truth, worse, times)).numbers
    second = evaluate_video_ap(*repeated(truth, better, times)).numbers
    defined = [name for name in NUMBER_NAMES if second[name] >= 0]
    assert "AP" in defined
    for name in defined:
        # Of one draw, both ends of the interval are its difference.
        assert comparison.numbers[name].low == pytest.approx(second[name] - first[name], abs=1e-12)
        assert comparison.numbers[name].high == comparison.numbers[name].low


def test_the_same_results_differ_by_exactly_nothing() -> None:
    case = random_case(26, size=(600, 640), per_video=5)
    truth, results = doubled(case.truth, case.results)
    comparison = compare_results(truth, results, list(results), num_resamples=50)
    for name, number in comparison.numbers.items():
        assert number.first == number.second == evaluate_video_ap(truth, results).numbers[name]
        assert number[2:] == (0.0, 0.0, 0.0)
        assert not number.is_clear
    assert comparison.videos == ()


def simulated(num_videos: int, share: float, seed: int) -> MatchesByClass:
    """One class; in each video one track, found with an IoU of 1 with the given probability, and a false alarm."""
    random = np.random.default_rng(seed)
    by_video = {}
    for video_id in range(num_videos):
        is_found = random.random() < share
        scores = -np.sort(-random.random(2))
        ious = np.array([[1.0 if is_found else 0.0], [0.0]])
        by_video[video_id] = match_video(ious, scores, np.ones(2), np.ones(1), np.zeros(1, dtype=bool))
    return {1: by_video}


def test_a_planted_difference_is_found() -> None:
    numbers = compare_matches(range(150), simulated(150, 0.5, 0), simulated(150, 0.8, 1), num_resamples=200).numbers
    assert numbers["AP"].is_clear
    assert 0 < numbers["AP"].low < numbers["AP"].difference < numbers["AP"].high
    assert numbers["AR100"].difference == pytest.approx(0.3, abs=0.1)


def test_intervals_hold_the_truth_as_often_and_are_as_wide_as_they_should() -> None:
    """AR100 is the share of found tracks: its true difference is 0.2, its deviation that of two binomial shares."""
    intervals = []
    for seed in range(24):
        first, second = simulated(40, 0.5, 2 * seed), simulated(40, 0.7, 2 * seed + 1)
        number = compare_matches(range(40), first, second, num_resamples=60, seed=seed).numbers["AR100"]
        intervals.append((number.low, number.high))
    lows, highs = np.array(intervals).T
    # 23 of 24 are due; three standard deviations are 3.
    assert ((lows <= 0.2) & (highs >= 0.2)).sum() >= 20
    assert (highs - lows).mean() == pytest.approx(2 * 1.96 * np.sqrt((0.5 * 0.5 + 0.7 * 0.3) / 40), rel=0.1)


def test_no_interval_of_what_is_undefined() -> None:
    case = random_case(0)
    number = compare_results(case.truth, [], case.results, num_resamples=20).numbers["APl"]
    assert number[:2] == (-1.0, -1.0)
    assert np.isnan(number[2:]).all()
    assert not number.is_clear
    empty = case.truth._replace(videos=(), tracks=())
    assert np.isnan(compare_results(empty, [], [], num_resamples=5).numbers["AP"].difference)


def test_changed_videos_are_named_with_what_they_add() -> None:
    """Only one video changes: what it adds is the whole difference."""
    case = random_case(1)
    chosen = case.truth.tracks[0].video_id
    without = [result for result in case.results if result.video_id != chosen]
    comparison = compare_results(case.truth, without, case.results, num_resamples=5)
    (change,) = comparison.videos
    assert change.video_id == chosen
    assert change.change == pytest.approx(comparison.numbers["AP"].difference, abs=1e-12)
    assert change.first == 0.0
    assert change.second == pytest.approx(evaluate_video_ap(case.truth, case.results, {chosen}).numbers["AP"])


def test_what_a_video_adds_is_the_mean_of_both_exchanges() -> None:
    case = random_case(7)
    old, new = case.results[::2], case.results[1::2]
    comparison = compare_results(case.truth, old, new, num_resamples=5)
    assert len(comparison.videos) == 3

    def mixed(from_new: set[int]) -> float:
        chosen = [one for one in new if one.video_id in from_new] + [one for one in old if one.video_id not in from_new]
        return evaluate_video_ap(case.truth, chosen).numbers["AP"]

    every = {video.id for video in case.truth.videos}
    for change in comparison.videos:
        one = {change.video_id}
        expected = (mixed(one) - mixed(set()) + mixed(every) - mixed(every - one)) / 2
        assert change.change == pytest.approx(expected, abs=1e-12)
    sizes = [abs(change.change) for change in comparison.videos]
    assert sizes == sorted(sizes, reverse=True)


def test_the_seed_decides() -> None:
    case = random_case(2)
    truth, results = doubled(case.truth, case.results)

    def interval(seed: int) -> Difference:
        return compare_results(truth, results[::4], results, num_resamples=40, seed=seed).numbers["AP"]

    assert interval(1) == interval(1)
    assert interval(1) != interval(2)
