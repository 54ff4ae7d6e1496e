"""J&F, region similarity J (IoU) and boundary accuracy F of masks, by the DAVIS 2017 unsupervised protocol.

The protocol is that of Caelles et al., "The 2019 DAVIS challenge on VOS". Each true track gets one found track of its
video: the assignment with the highest mean of J and F. Found tracks that are left over cost nothing, so no more than
the 20 best of a video take part, as at DAVIS. Classes do not count, for DAVIS has none: a category's numbers are those
of its true tracks, whatever class they were found as.

All frames of the video count. Where neither mask is visible, J and F are 1, so a missed track still scores in the
frames where it is not there: read J&F beside HOTA where objects come and go. A crowd is no track to be found. Unlike at
DAVIS, found masks may overlap.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment

from mssts.data.video_set import Video, VideoSet
from mssts.evaluate.accumulate import UNDEFINED
from mssts.evaluate.boundary import boundary_accuracy, trace
from mssts.evaluate.results_file import AnyResult
from mssts.evaluate.scored_tracks import DEFAULT_MIN_SCORE, VideoTracks, scored_tracks
from mssts.evaluate.video_iou import Tube, frame_ious, frame_mask, to_tube

MAX_TRACKS = 20
"""Found tracks of a video that take part."""
REGION_BOUNDARY_NAMES = ("J&F", "J", "J-Recall", "F", "F-Recall")
_RECALLED_FROM = 0.5 + np.finfo(np.float64).eps


class RegionBoundary(NamedTuple):
    """Numbers by name (`REGION_BOUNDARY_NAMES`), each a mean over true tracks: all, those of a category, of a video.

    J and F are means over frames, the recalls are the shares of frames where they exceed 0.5. -1 without true tracks.
    """

    numbers: dict[str, float]
    per_category: dict[int, dict[str, float]]
    per_video: dict[int, dict[str, float]]


class _TrackScore(NamedTuple):
    """What one true track got."""

    category_id: int
    numbers: dict[str, float]


def evaluate_region_boundary(
    truth: VideoSet,
    results: Sequence[AnyResult],
    min_score: float = DEFAULT_MIN_SCORE,
    name: str = "results",
    progress: bool = False,
) -> RegionBoundary:
    """Compute J&F and its parts; masks are decoded frame by frame.

    Args:
        truth: The set with its ground truth.
        results: What was found.
        min_score: Results below this score are no tracks.
        name: What errors call the results.
        progress: Show a progress bar.

    Raises:
        BadInputError: As `scored_tracks`.
    """
    per_video: dict[int, list[_TrackScore]] = {}
    per_category: dict[int, list[_TrackScore]] = defaultdict(list)
    for tracks in scored_tracks(truth, results, min_score, name, progress):
        scores = per_video[tracks.video.id] = _track_scores(tracks)
        for score in scores:
            per_category[score.category_id].append(score)
    return RegionBoundary(
        _mean(score for scores in per_video.values() for score in scores),
        {category_id: _mean(per_category[category_id]) for category_id, _ in sorted(truth.categories)},
        {video_id: _mean(scores) for video_id, scores in per_video.items()},
    )


def _track_scores(tracks: VideoTracks) -> list[_TrackScore]:
    """The scores of the true tracks of a video with the found tracks assigned to them."""
    truths = [track.tube for track in tracks.truths]
    if not truths:
        return []
    found = [track.tube for track in sorted(tracks.found, key=lambda track: -track.score)[:MAX_TRACKS]]
    nothing = to_tube([None] * len(tracks.video.file_names), tracks.video.height, tracks.video.width)
    found += [nothing] * (len(truths) - len(found))
    region, boundary = _region_similarity(found, truths), _boundary_accuracy(found, truths, tracks.video)
    rows, columns = linear_sum_assignment((region.mean(axis=-1) + boundary.mean(axis=-1)) / 2, maximize=True)
    return [
        _TrackScore(tracks.truths[column].category_id, _numbers(region[row, column], boundary[row, column]))
        for row, column in zip(rows, columns, strict=True)
    ]


def _region_similarity(found: Sequence[Tube], truths: Sequence[Tube]) -> Float[np.ndarray, "found truths T"]:
    """J of every pair in every frame."""
    neither = np.stack([tube.areas == 0 for tube in found])[:, None] & np.stack([tube.areas == 0 for tube in truths])
    return np.where(neither, 1.0, frame_ious(found, truths))


def _boundary_accuracy(
    found: Sequence[Tube], truths: Sequence[Tube], video: Video
) -> Float[np.ndarray, "found truths T"]:
    """F of every pair in every frame."""
    accuracy = np.zeros((len(found), len(truths), len(video.file_names)))
    for frame in range(len(video.file_names)):
        true_outlines, found_outlines = (
            [trace(frame_mask(tube, frame, video.height, video.width)) for tube in tubes] for tubes in (truths, found)
        )
        for row, outline in enumerate(found_outlines):
            accuracy[row, :, frame] = [boundary_accuracy(outline, true) for true in true_outlines]
    return accuracy


def _numbers(region: Float[np.ndarray, " T"], boundary: Float[np.ndarray, " T"]) -> dict[str, float]:
    j, f = float(region.mean()), float(boundary.mean())
    recalls = (float((values > _RECALLED_FROM).mean()) for values in (region, boundary))
    return dict(zip(REGION_BOUNDARY_NAMES, ((j + f) / 2, j, next(recalls), f, next(recalls)), strict=True))


def _mean(scores: Iterable[_TrackScore]) -> dict[str, float]:
    numbers = [score.numbers for score in scores]
    return {
        name: float(np.mean([one[name] for one in numbers])) if numbers else UNDEFINED for name in REGION_BOUNDARY_NAMES
    }
