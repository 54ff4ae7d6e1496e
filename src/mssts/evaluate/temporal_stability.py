"""Temporal stability: whether a found track's mask changes from frame to frame as much as the object's own does.

A mask's change over one step is measured by the IoU of its two masks, at the places where they are. A true track's own
IoU falls because the object moves and deforms; where the found one differs from it, the mask flickers (or it is frozen,
or smoothed). Only tracks that were found are judged: those are the pairs of the best one-to-one assignment by video IoU
that reach 0.5. Classes do not count.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment

from mssts.data.video_set import VideoSet
from mssts.evaluate.accumulate import UNDEFINED
from mssts.evaluate.results_file import AnyResult
from mssts.evaluate.scored_tracks import DEFAULT_MIN_SCORE, VideoTracks, scored_tracks
from mssts.evaluate.video_iou import Tube, cut, frame_ious, video_ious

MIN_VIDEO_IOU = 0.5
"""From this video IoU on, a true track counts as found."""
STABILITY_NAMES = ("flicker", "found_step_iou", "true_step_iou")


class TemporalStability(NamedTuple):
    """Numbers by name, each a mean over the true tracks that were found: all, those of a category, of a video.

    `true_step_iou` and `found_step_iou` are the mean IoUs of consecutive masks, `flicker` is the mean of their
    absolute differences: 0 is perfect. Steps count where the true track is visible in both frames and the found one in
    one of them or both. -1 where there is no such step.
    """

    numbers: dict[str, float]
    per_category: dict[int, dict[str, float]]
    per_video: dict[int, dict[str, float]]


class _TrackSteps(NamedTuple):
    """The IoUs of consecutive masks of a true track and of the one found for it, at the steps that count."""

    category_id: int
    true: Float[np.ndarray, " steps"]
    found: Float[np.ndarray, " steps"]


def evaluate_temporal_stability(
    truth: VideoSet,
    results: Sequence[AnyResult],
    min_score: float = DEFAULT_MIN_SCORE,
    name: str = "results",
    progress: bool = False,
) -> TemporalStability:
    """Compare how much found and true masks change from frame to frame.

    Args:
        truth: The set with its ground truth.
        results: What was found.
        min_score: Results below this score are no tracks.
        name: What errors call the results.
        progress: Show a progress bar.

    Raises:
        BadInputError: As `scored_tracks`.
    """
    per_video: dict[int, list[_TrackSteps]] = {}
    per_category: dict[int, list[_TrackSteps]] = defaultdict(list)
    for tracks in scored_tracks(truth, results, min_score, name, progress):
        steps = per_video[tracks.video.id] = list(_steps(tracks))
        for one in steps:
            per_category[one.category_id].append(one)
    return TemporalStability(
        _mean(one for steps in per_video.values() for one in steps),
        {category_id: _mean(per_category[category_id]) for category_id, _ in sorted(truth.categories)},
        {video_id: _mean(steps) for video_id, steps in per_video.items()},
    )


def _steps(tracks: VideoTracks) -> Iterator[_TrackSteps]:
    """The true tracks that were found and have a step that counts."""
    ious = video_ious([track.tube for track in tracks.found], [track.tube for track in tracks.truths])
    for row, column in zip(*linear_sum_assignment(ious, maximize=True), strict=True):
        true, found = tracks.truths[column], tracks.found[row].tube
        is_seen, is_found = true.tube.areas > 0, found.areas > 0
        counts = is_seen[1:] & is_seen[:-1] & (is_found[1:] | is_found[:-1])
        if ious[row, column] >= MIN_VIDEO_IOU and counts.any():
            yield _TrackSteps(true.category_id, _step_ious(true.tube)[counts], _step_ious(found)[counts])


def _step_ious(tube: Tube) -> Float[np.ndarray, " steps"]:
    """The IoU of each frame's mask with the next one's."""
    num_frames = len(tube.areas)
    return frame_ious([cut(tube, 0, num_frames - 1)], [cut(tube, 1, num_frames)])[0, 0]


def _mean(tracks: Iterable[_TrackSteps]) -> dict[str, float]:
    numbers = [
        (float(np.abs(one.found - one.true).mean()), float(one.found.mean()), float(one.true.mean())) for one in tracks
    ]
    means = np.mean(numbers, axis=0).tolist() if numbers else [UNDEFINED] * len(STABILITY_NAMES)
    return dict(zip(STABILITY_NAMES, means, strict=True))
