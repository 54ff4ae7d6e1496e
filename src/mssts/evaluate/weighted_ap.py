"""The official numbers of many weighted choices of videos at once, as the bootstrap needs them.

A video of weight 2 counts as two videos with the same truth and results would. What is matched does not change, only
how often it counts; so a class costs one matrix product per area range and threshold for all choices together, not one
pass over all detections for each.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int64

from mssts.evaluate.accumulate import MAX_DETECTIONS, NUMBER_NAMES, RECALL_POINTS, UNDEFINED, Curves, summarize
from mssts.evaluate.matching import AREA_RANGES, IOU_THRESHOLDS, Matches
from mssts.evaluate.video_ap import MatchesByClass


class _Ranked(NamedTuple):
    """One class: its detections in all videos, best first, with the place of the video that each is in."""

    videos: Int64[np.ndarray, " D"]
    hits: Bool[np.ndarray, "A T D"]
    alarms: Bool[np.ndarray, "A T D"]


def weighted_numbers(
    matches: MatchesByClass, video_ids: Sequence[int], weights: Float[np.ndarray, "S V"]
) -> Float[np.ndarray, "S 12"]:
    """The twelve numbers, in the order of `NUMBER_NAMES`, of each row of weights; -1 where undefined.

    Equal to `video_ap` on a set in which every video stands as often as its weight says. Only where one video has
    equal scores within a class does the order differ: all copies of a detection come before those of the next.

    Args:
        matches: Of all classes and videos.
        video_ids: Which video each column of weights belongs to, in growing order.
        weights: Whole numbers, 0 or more.
    """
    place = {video_id: index for index, video_id in enumerate(video_ids)}
    classes = []
    for by_video in matches.values():
        chosen = {place[video_id]: one for video_id, one in by_video.items() if video_id in place}
        if any(one.num_truths.any() for one in chosen.values()):
            classes.append(_weighted_curves(list(chosen.values()), weights[:, list(chosen)]))
    if not classes:
        return np.full((len(weights), len(NUMBER_NAMES)), UNDEFINED)
    # All classes as if they were one: what is asked of curves is their mean, and each class has as many values.
    precision = np.stack([one.precision for one in classes], axis=-1)
    recall = np.concatenate([one.recall for one in classes], axis=-1)
    rows = [summarize([Curves(*one)]) for one in zip(precision, recall, strict=True)]
    return np.array([list(row.values()) for row in rows]).reshape(-1, len(NUMBER_NAMES))


class _WeightedCurves(NamedTuple):
    precision: Float[np.ndarray, "S A T"]
    recall: Float[np.ndarray, "S A M T"]


def _weighted_curves(videos: Sequence[Matches], weights: Float[np.ndarray, "S V"]) -> _WeightedCurves:
    """Mean precision and recall of one class, NaN where a choice of videos has no ground truth of it."""
    num_truths = weights @ np.stack([video.num_truths for video in videos])
    num_truths = np.where(num_truths > 0, num_truths, np.nan)
    ranked = _rank(videos)
    shape = (len(weights), len(AREA_RANGES), len(IOU_THRESHOLDS))
    precision = np.full(shape, np.nan)
    for area in np.flatnonzero(~np.isnan(num_truths).all(axis=0)):
        for threshold in range(len(IOU_THRESHOLDS)):
            hits, alarms = ranked.hits[area, threshold], ranked.alarms[area, threshold]
            means = _mean_precision(ranked.videos, hits, alarms, num_truths[:, area], weights)
            precision[:, area, threshold] = means
    found = np.stack([_hits_by_limit(video) for video in videos])
    recall = np.tensordot(weights, found, axes=1) / num_truths[:, :, None, None]
    return _WeightedCurves(precision, recall)


def _rank(videos: Sequence[Matches]) -> _Ranked:
    """All detections of a class in the order in which they are counted: by score, then by video."""
    order = np.argsort(-np.concatenate([video.scores for video in videos]), kind="stable")
    places = np.repeat(np.arange(len(videos)), [len(video.scores) for video in videos])[order]
    matched = np.concatenate([video.matched for video in videos], axis=-1)[..., order]
    counted = ~np.concatenate([video.ignored for video in videos], axis=-1)[..., order]
    return _Ranked(places, matched & counted, ~matched & counted)


def _mean_precision(
    videos: Int64[np.ndarray, " D"],
    hits: Bool[np.ndarray, " D"],
    alarms: Bool[np.ndarray, " D"],
    num_truths: Float[np.ndarray, " S"],
    weights: Float[np.ndarray, "S V"],
) -> Float[np.ndarray, " S"]:
    """The mean of the precision at 101 recalls for each row of weights.

    Only at hits can the precision reach a new height, so only there is it computed. A recall that no hit reaches has
    the precision 0.
    """
    at = np.flatnonzero(hits)
    false = np.flatnonzero(alarms)
    # How many false alarms each video adds between one hit and the next.
    added = np.zeros((weights.shape[1], len(at) + 1))
    np.add.at(added, (videos[false], np.searchsorted(at, false)), 1.0)
    num_alarms = np.cumsum(weights @ added[:, :-1], axis=1)
    num_hits = np.cumsum(weights[:, videos[at]], axis=1)
    precision = num_hits / np.maximum(num_hits + num_alarms, 1.0)
    best_from_here = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    reached = np.searchsorted(RECALL_POINTS, num_hits / num_truths[:, None], side="right")
    newly_reached = np.diff(reached, axis=1, prepend=0)
    means = (best_from_here * newly_reached).sum(axis=1) / len(RECALL_POINTS)
    return np.where(np.isnan(num_truths), np.nan, means)


def _hits_by_limit(video: Matches) -> Float[np.ndarray, "A M T"]:
    """How many tracks of one video are found by the best 1, 10 and 100 detections."""
    hits = video.matched & ~video.ignored
    return np.stack([hits[..., :limit].sum(axis=-1) for limit in MAX_DETECTIONS], axis=1).astype(np.float64)
