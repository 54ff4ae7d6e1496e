"""Precision and recall of one class over all videos, and the twelve numbers made of them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from mssts.evaluate.matching import AREA_RANGES, IOU_THRESHOLDS, Matches

# At most this many detections per video and class count.
MAX_DETECTIONS = (1, 10, 100)
RECALL_POINTS = np.linspace(0.0, 1.0, 101)
UNDEFINED = -1.0

_ALL, _SMALL, _MEDIUM, _LARGE = range(len(AREA_RANGES))
_IOU_50, _IOU_75 = 0, 5
_AVERAGE_PRECISION = {
    "AP": (_ALL, slice(None)),
    "AP50": (_ALL, slice(_IOU_50, _IOU_50 + 1)),
    "AP75": (_ALL, slice(_IOU_75, _IOU_75 + 1)),
    "APs": (_SMALL, slice(None)),
    "APm": (_MEDIUM, slice(None)),
    "APl": (_LARGE, slice(None)),
}
_AVERAGE_RECALL = {
    "AR1": (_ALL, 0),
    "AR10": (_ALL, 1),
    "AR100": (_ALL, 2),
    "ARs": (_SMALL, 2),
    "ARm": (_MEDIUM, 2),
    "ARl": (_LARGE, 2),
}
NUMBER_NAMES = (*_AVERAGE_PRECISION, *_AVERAGE_RECALL)


class Curves(NamedTuple):
    """Of one class: precision at R points of recall, and the recall reached with each of M limits on detections.

    NaN where an area range has no ground truth.
    """

    precision: Float[np.ndarray, "A T R"]
    recall: Float[np.ndarray, "A M T"]


def accumulate(videos: Sequence[Matches]) -> Curves:
    """The curves of one class; videos come in the order of their ids, which decides between equal scores."""
    num_areas, num_thresholds = len(AREA_RANGES), len(IOU_THRESHOLDS)
    precision = np.full((num_areas, num_thresholds, len(RECALL_POINTS)), np.nan)
    recall = np.full((num_areas, len(MAX_DETECTIONS), num_thresholds), np.nan)
    num_truths = sum((video.num_truths for video in videos), start=np.zeros(num_areas, dtype=np.int64))
    if not num_truths.any():
        return Curves(precision, recall)
    order = np.argsort(-np.concatenate([video.scores for video in videos]), kind="stable")
    places = np.concatenate([np.arange(len(video.scores)) for video in videos])[order]
    matched = np.concatenate([video.matched for video in videos], axis=-1)[..., order]
    counted = ~np.concatenate([video.ignored for video in videos], axis=-1)[..., order]
    hits, alarms = matched & counted, ~matched & counted
    for area in np.flatnonzero(num_truths):
        for limit_index, limit in enumerate(MAX_DETECTIONS):
            recall[area, limit_index] = hits[area][:, places < limit].sum(axis=-1) / num_truths[area]
        for threshold in range(num_thresholds):
            precision[area, threshold] = _precision_at_points(
                hits[area, threshold].cumsum(), alarms[area, threshold].cumsum(), num_truths[area]
            )
    return Curves(precision, recall)


def _precision_at_points(
    hits: np.ndarray, alarms: np.ndarray, num_truths: int | np.integer
) -> Float[np.ndarray, " points"]:
    """The best precision at each recall or a higher one; 0 beyond the highest recall.

    Args:
        hits: How many of the best 1, 2, ... detections are hits.
        alarms: How many of them are false alarms.
        num_truths: Tracks to be found.
    """
    precision = hits / np.maximum(hits + alarms, 1)
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    first = np.searchsorted(hits / num_truths, RECALL_POINTS, side="left")
    return np.append(best_from_here, 0.0)[first]


def summarize(classes: Sequence[Curves]) -> dict[str, float]:
    """The twelve numbers, averaged over the classes that have ground truth; -1 where none has."""
    numbers = {
        name: _mean([curves.precision[area, thresholds] for curves in classes])
        for name, (area, thresholds) in _AVERAGE_PRECISION.items()
    }
    for name, (area, limit) in _AVERAGE_RECALL.items():
        numbers[name] = _mean([curves.recall[area, limit] for curves in classes])
    return numbers


def _mean(values: Sequence[np.ndarray]) -> float:
    """The mean of the defined values."""
    flat = np.concatenate([part.ravel() for part in values]) if values else np.zeros(0)
    defined = flat[~np.isnan(flat)]
    return float(defined.mean()) if len(defined) else UNDEFINED
