"""Scored results as tracks, video by video, for measures that know no scores: HOTA, J&F and temporal stability.

Video AP ranks results, so weak ones do little harm, and result files hold many. These measures take every track at its
word, so a threshold decides which results are tracks at all. Nothing else is done to them: masks may overlap, and one
instance that a file holds with two classes is two tracks.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from tqdm import tqdm

from mssts.data.video_set import Video, VideoSet
from mssts.evaluate.results_file import AnyResult, check_results, result_tubes
from mssts.evaluate.true_tube import true_tube
from mssts.evaluate.video_iou import Tube

DEFAULT_MIN_SCORE = 0.4
"""The score from which `mssts predict` begins a track."""


class VisibleTrack(NamedTuple):
    """A true or found track that is visible in at least one frame; the score of a true one is 1."""

    category_id: int
    tube: Tube
    score: float


class VideoTracks(NamedTuple):
    """What there is of one video, each in file order, which decides between tracks that fit equally well."""

    video: Video
    truths: list[VisibleTrack]
    crowds: list[VisibleTrack]
    found: list[VisibleTrack]


def scored_tracks(
    truth: VideoSet,
    results: Sequence[AnyResult],
    min_score: float = DEFAULT_MIN_SCORE,
    name: str = "results",
    progress: bool = False,
) -> Iterator[VideoTracks]:
    """Go through the videos in file order; only one video's masks are held at a time.

    Args:
        truth: The set with its ground truth.
        results: What was found; those of `open_results` are decoded video by video.
        min_score: Results below this score are left out.
        name: What errors call the results.
        progress: Show a progress bar.

    Raises:
        BadInputError: A result does not belong to the set (see `check_results`), or a segmentation is not safe to
            decode or of another size than its video.
    """
    check_results(results, truth, name)
    kept: dict[int, list[tuple[int, AnyResult]]] = {video.id: [] for video in truth.videos}
    for index, result in enumerate(results):
        if result.score >= min_score:
            kept[result.video_id].append((index, result))
    true_tracks = truth.tracks_by_video()
    for video in tqdm(truth.videos, unit="video", leave=False, disable=not progress):
        true = [
            (track.is_crowd, VisibleTrack(track.category_id, true_tube(track, video, truth), 1.0))
            for track in true_tracks[video.id]
        ]
        found = [
            VisibleTrack(result.category_id, tube, float(result.score))
            for (_, result), tube in zip(kept[video.id], result_tubes(kept[video.id], video, name), strict=True)
        ]
        yield VideoTracks(
            video,
            truths=_visible(track for is_crowd, track in true if not is_crowd),
            crowds=_visible(track for is_crowd, track in true if is_crowd),
            found=_visible(found),
        )


def _visible(tracks: Iterable[VisibleTrack]) -> list[VisibleTrack]:
    return [track for track in tracks if track.tube.areas.any()]
