"""Scored results as tracks, video by video, for measures that know no scores: HOTA, J&F and temporal stability.

Video AP ranks results, so weak ones do little harm, and result files hold many. These measures take every track at its
word, so a threshold decides which results are tracks at all. Nothing else is done to them: masks may overlap, and one
instance that a file holds with two classes is two tracks.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from tqdm import tqdm

from mssts.data.video_set import Track, Video, VideoSet
from mssts.errors import BadInputError
from mssts.evaluate.results_file import Result, check_results
from mssts.evaluate.video_iou import Tube, to_tube

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
    truth: VideoSet, results: Sequence[Result], min_score: float = DEFAULT_MIN_SCORE, progress: bool = False
) -> Iterator[VideoTracks]:
    """Go through the videos in file order; only one video's masks are held at a time.

    Args:
        truth: The set with its ground truth.
        results: What was found.
        min_score: Results below this score are left out.
        progress: Show a progress bar.

    Raises:
        BadInputError: A result does not belong to the set (see `check_results`), or a segmentation is not safe to
            decode or of another size than its video.
    """
    check_results(results, truth)
    kept: dict[int, list[tuple[int, Result]]] = {video.id: [] for video in truth.videos}
    for index, result in enumerate(results):
        if result.score >= min_score:
            kept[result.video_id].append((index, result))
    true_tracks = truth.tracks_by_video()
    for video in tqdm(truth.videos, unit="video", disable=not progress):
        true = [(track.is_crowd, f"{truth.path}: annotation {track.id}", track) for track in true_tracks[video.id]]
        yield VideoTracks(
            video,
            truths=list(_visible(((name, track) for is_crowd, name, track in true if not is_crowd), video)),
            crowds=list(_visible(((name, track) for is_crowd, name, track in true if is_crowd), video)),
            found=list(_visible(((f"results: result {index}", result) for index, result in kept[video.id]), video)),
        )


def _visible(named: Iterable[tuple[str, Track | Result]], video: Video) -> Iterator[VisibleTrack]:
    """The tracks that are seen at all; names are for errors."""
    for name, item in named:
        try:
            tube = to_tube(item.segmentations, video.height, video.width)
        except ValueError as error:
            raise BadInputError(f"{name}, {error}") from error
        if tube.areas.any():
            yield VisibleTrack(item.category_id, tube, float(item.score) if isinstance(item, Result) else 1.0)
