"""Video AP as the official YouTube-VIS evaluator computes it, to the last digits.

    results ──► video_iou (per video and class) ──► matching ──► accumulate (per class) ──► twelve numbers

One thing differs on purpose: the official code counts a hit of a ground-truth track whose id is 0 as a false alarm.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from mssts.data.video_set import Track, Video, VideoSet
from mssts.errors import BadInputError
from mssts.evaluate.accumulate import MAX_DETECTIONS, accumulate, summarize
from mssts.evaluate.matching import Matches, match_video
from mssts.evaluate.results_file import Result, check_results
from mssts.evaluate.video_iou import Tube, mean_area, to_tube, video_ious


class VideoAp(NamedTuple):
    """The twelve official numbers by name, over all categories and by category id; shares 0..1, -1 if undefined."""

    numbers: dict[str, float]
    per_category: dict[int, dict[str, float]]


MatchesByClass = dict[int, dict[int, Matches]]
"""Matches by category id and video id."""


class _Group(NamedTuple):
    """What one video holds of one class: ground truth in file order, results with their places in the list."""

    truths: list[Track]
    results: list[tuple[int, Result]]


def evaluate_video_ap(truth: VideoSet, results: Sequence[Result], video_ids: Collection[int] | None = None) -> VideoAp:
    """Compute the official numbers; for several subsets of one set, call `match_results` once and `video_ap` for each.

    Args:
        truth: The set with its ground truth.
        results: What was found; of equal scores, the earlier entry counts as the better one.
        video_ids: Only these videos count, such as those with an attribute; None takes all.

    Raises:
        BadInputError: A result does not belong to the set (see `check_results`), or a segmentation is not safe to
            decode or of another size than its video.
    """
    return video_ap(match_results(truth, results), video_ids)


def match_results(truth: VideoSet, results: Sequence[Result]) -> MatchesByClass:
    """Match the results of every class and video, which is nearly all the work; see `evaluate_video_ap`."""
    check_results(results, truth)
    videos = {video.id: video for video in truth.videos}
    # A class without ground truth is undefined, whatever was found of it.
    with_truth = {track.category_id for track in truth.tracks}
    matches: MatchesByClass = {category_id: {} for category_id, _ in sorted(truth.categories)}
    groups = _group(truth.tracks, results)
    for category_id, video_id in sorted(groups):  # the order of the videos decides between equal scores
        if category_id in with_truth:
            matches[category_id][video_id] = _match(truth, videos[video_id], groups[category_id, video_id])
    return matches


def video_ap(matches: MatchesByClass, video_ids: Collection[int] | None = None) -> VideoAp:
    """The official numbers over all videos, or over some."""
    curves = {
        category_id: accumulate(
            [one for video_id, one in by_video.items() if video_ids is None or video_id in video_ids]
        )
        for category_id, by_video in matches.items()
    }
    per_category = {category_id: summarize([one]) for category_id, one in curves.items()}
    return VideoAp(summarize(list(curves.values())), per_category)


def _group(tracks: Iterable[Track], results: Iterable[Result]) -> dict[tuple[int, int], _Group]:
    """Ground truth and results by category id and video id."""
    groups: dict[tuple[int, int], _Group] = defaultdict(lambda: _Group([], []))
    for track in tracks:
        groups[track.category_id, track.video_id].truths.append(track)
    for index, result in enumerate(results):
        groups[result.category_id, result.video_id].results.append((index, result))
    return dict(groups)


def _match(truth: VideoSet, video: Video, group: _Group) -> Matches:
    """Match the best results of one video and class."""
    best = sorted(group.results, key=lambda item: -item[1].score)[: MAX_DETECTIONS[-1]]
    detections = [_tube(result, video, f"results: result {index}") for index, result in best]
    truths = [_tube(track, video, f"{truth.path}: annotation {track.id}") for track in group.truths]
    return match_video(
        video_ious(detections, truths),
        np.array([result.score for _, result in best], dtype=np.float64),
        np.array([mean_area(tube) for tube in detections], dtype=np.float64),
        np.array([mean_area(tube) for tube in truths], dtype=np.float64),
        np.array([track.is_crowd for track in group.truths], dtype=bool),
    )


def _tube(item: Result | Track, video: Video, where: str) -> Tube:
    try:
        return to_tube(item.segmentations, video.height, video.width)
    except ValueError as error:
        raise BadInputError(f"{where}, {error}") from error
