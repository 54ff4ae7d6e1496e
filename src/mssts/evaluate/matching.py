"""Which detections of one video and class hit a ground-truth track, at every IoU threshold and object size.

The rule is the one of COCO: detections choose in the order of their scores, each the free track with the highest IoU.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int64

from mssts.evaluate.kernels import assign

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
# Mean mask area in pixels, both ends included: all, small, medium, large.
AREA_RANGES = np.array([[0, 1e5**2], [0, 128**2], [128**2, 256**2], [256**2, 1e5**2]])
# A threshold of 1 would otherwise miss an IoU that is 1 but for rounding; the official code asks for no more.
_MAX_THRESHOLD = 1 - 1e-10


class Matches(NamedTuple):
    """The detections of one video and class, best first, in each of the A area ranges and at each of the T thresholds.

    Ignored detections count neither as hits nor as false alarms; `num_truths` are the tracks to be found.
    """

    scores: Float[np.ndarray, " D"]
    matched: Bool[np.ndarray, "A T D"]
    ignored: Bool[np.ndarray, "A T D"]
    num_truths: Int64[np.ndarray, " A"]


def match_video(
    ious: Float[np.ndarray, "D G"],
    scores: Float[np.ndarray, " D"],
    detected_areas: Float[np.ndarray, " D"],
    true_areas: Float[np.ndarray, " G"],
    is_crowd: Bool[np.ndarray, " G"],
    ranges: Float[np.ndarray, "A 2"] = AREA_RANGES,
) -> Matches:
    """Match the detections, which come best first; ground-truth tracks come in file order.

    A track outside of the area range, or a crowd, is ignored: a detection takes it only if no other is left for it,
    and is ignored then too. A crowd can be taken any number of times. With other `ranges`, the areas are whatever
    those are ranges of.
    """
    counted = ~(is_crowd | _outside(true_areas, ranges))
    shape = (len(ranges), len(IOU_THRESHOLDS), len(scores))
    matched, ignored = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    if len(true_areas):
        taken = np.zeros((len(IOU_THRESHOLDS), len(true_areas)), dtype=bool)
        assign(ious, np.minimum(IOU_THRESHOLDS, _MAX_THRESHOLD), counted, is_crowd, taken, matched, ignored)
    ignored |= ~matched & _outside(detected_areas, ranges)[:, None]
    return Matches(scores, matched, ignored, counted.sum(axis=1))


def _outside(areas: Float[np.ndarray, " N"], ranges: Float[np.ndarray, "A 2"]) -> Bool[np.ndarray, "A N"]:
    """Which areas lie outside of each range."""
    return (areas < ranges[:, :1]) | (areas > ranges[:, 1:])
