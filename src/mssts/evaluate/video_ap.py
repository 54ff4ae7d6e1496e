"""Video AP as the official YouTube-VIS evaluator computes it.

    results ──► video_iou (per video and class) ──► matching ──► accumulate (per class) ──► twelve numbers

Two things differ on purpose: the official code counts a hit of a ground-truth track whose id is 0 as a false alarm,
and it believes the areas that the annotation file states, where here they are measured on the masks.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from mssts.data.video_set import Track, Video, VideoSet
from mssts.evaluate.accumulate import MAX_DETECTIONS, Curves, accumulate, summarize
from mssts.evaluate.matching import AREA_RANGES, Matches, match_video
from mssts.evaluate.results_file import AnyResult, check_results, result_tubes
from mssts.evaluate.threads import map_in_threads
from mssts.evaluate.true_tube import true_tube
from mssts.evaluate.video_iou import Tube, mean_area, video_ious


class VideoAp(NamedTuple):
    """The twelve official numbers by name, over all categories and by category id; shares 0..1, -1 if undefined."""

    numbers: dict[str, float]
    per_category: dict[int, dict[str, float]]


MatchesByClass = dict[int, dict[int, Matches]]
"""Matches by category id and video id."""


class _VideoWork(NamedTuple):
    """What there is of one video: ground truth in file order, results with their places in the list."""

    video: Video
    truths: list[Track]
    results: list[tuple[int, AnyResult]]


class _Found(NamedTuple):
    """A result that was judged and measured."""

    score: float
    tube: Tube


def evaluate_video_ap(
    truth: VideoSet, results: Sequence[AnyResult], video_ids: Collection[int] | None = None
) -> VideoAp:
    """Compute the official numbers; for several subsets of one set, call `match_results` once and `video_ap` for each.

    Args:
        truth: The set with its ground truth.
        results: What was found; of equal scores, the earlier entry counts as the better one.
        video_ids: Only these videos count, such as those with an attribute; None takes all.

    Raises:
        BadInputError: A result does not belong to the set (see `check_results` and `result_tubes`), or a segmentation
            is not safe to decode or of another size than its video.
    """
    return video_ap(match_results(truth, results), video_ids)


class SizeRanges(NamedTuple):
    """What makes a track small, medium or large, and the bounds of all, small, medium and large, both included."""

    measure: Callable[[Tube], float]
    ranges: Float[np.ndarray, "A 2"]


BY_AREA = SizeRanges(mean_area, AREA_RANGES)
"""The official division: by the mean mask area in pixels."""


def match_results(
    truth: VideoSet,
    results: Sequence[AnyResult],
    name: str = "results",
    progress: bool = False,
    sizes: SizeRanges = BY_AREA,
) -> MatchesByClass:
    """Match the results of every class and video on all cores, which is nearly all the work.

    Args:
        truth: The set with its ground truth.
        results: As for `evaluate_video_ap`; those of `open_results` are decoded video by video.
        name: What errors call the results.
        progress: Show a progress bar.
        sizes: How tracks are divided.

    Raises:
        BadInputError: As `evaluate_video_ap` does.
    """
    check_results(results, truth, name)
    with_truth = {track.category_id for track in truth.tracks}

    def match(work: _VideoWork) -> dict[int, Matches]:
        """The matches of a video by class."""
        truths = _true_tubes(work, truth)
        found = _found_tubes(work, name)
        # A class without ground truth is undefined, whatever was found of it.
        classes = (truths.keys() | found.keys()) & with_truth
        return {
            category_id: _match(found.get(category_id, []), truths.get(category_id, []), sizes)
            for category_id in classes
        }

    works = _by_video(truth, results)
    matches: MatchesByClass = {category_id: {} for category_id, _ in sorted(truth.categories)}
    for work, matched in zip(works, map_in_threads(match, works, "video", progress), strict=True):
        for category_id, one in matched.items():
            matches[category_id][work.video.id] = one
    return matches


def class_curves(matches: MatchesByClass, video_ids: Collection[int] | None = None) -> dict[int, Curves]:
    """Precision and recall of each class over all videos, or over some."""
    return {
        category_id: accumulate(
            [one for video_id, one in by_video.items() if video_ids is None or video_id in video_ids]
        )
        for category_id, by_video in matches.items()
    }


def video_ap(matches: MatchesByClass, video_ids: Collection[int] | None = None) -> VideoAp:
    """The official numbers over all videos, or over some."""
    curves = class_curves(matches, video_ids)
    per_category = {category_id: summarize([one]) for category_id, one in curves.items()}
    return VideoAp(summarize(list(curves.values())), per_category)


def _by_video(truth: VideoSet, results: Iterable[AnyResult]) -> list[_VideoWork]:
    """What there is of each video, ordered by id: that order decides between equal scores."""
    works = {video.id: _VideoWork(video, [], []) for video in sorted(truth.videos, key=lambda video: video.id)}
    for track in truth.tracks:
        works[track.video_id].truths.append(track)
    for index, result in enumerate(results):
        works[result.video_id].results.append((index, result))
    return list(works.values())


def _true_tubes(work: _VideoWork, truth: VideoSet) -> dict[int, list[tuple[Track, Tube]]]:
    """The ground truth of a video by category id."""
    tubes: dict[int, list[tuple[Track, Tube]]] = defaultdict(list)
    for track in work.truths:
        tubes[track.category_id].append((track, true_tube(track, work.video, truth)))
    return tubes


def _found_tubes(work: _VideoWork, name: str) -> dict[int, list[_Found]]:
    """The results of a video by category id, in the order of the list."""
    tubes: dict[int, list[_Found]] = defaultdict(list)
    for (_, result), tube in zip(work.results, result_tubes(work.results, work.video, name), strict=True):
        tubes[result.category_id].append(_Found(float(result.score), tube))
    return tubes


def _match(found: Sequence[_Found], truths: Sequence[tuple[Track, Tube]], sizes: SizeRanges) -> Matches:
    """Match the best results of one video and class."""
    best = sorted(found, key=lambda one: -one.score)[: MAX_DETECTIONS[-1]]
    detections, true_tubes = [one.tube for one in best], [tube for _, tube in truths]
    return match_video(
        video_ious(detections, true_tubes),
        np.array([one.score for one in best], dtype=np.float64),
        np.array([sizes.measure(tube) for tube in detections], dtype=np.float64),
        np.array([sizes.measure(tube) for tube in true_tubes], dtype=np.float64),
        np.array([track.is_crowd for track, _ in truths], dtype=bool),
        sizes.ranges,
    )
