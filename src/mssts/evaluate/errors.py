"""Why does a model fail: its errors by kind, what each kind costs in AP50, and where they are (see `error_kinds`).

What a kind costs is what AP50 gains when an oracle mends this kind alone, as in TIDE. The gains do not add up to the
distance from 1: mending one kind makes another cheaper or dearer.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int64

from mssts.data.video_set import Video, VideoSet
from mssts.evaluate.accumulate import MAX_DETECTIONS, RECALL_POINTS, Curves, accumulate, summarize
from mssts.evaluate.error_kinds import ErrorKind, explain, taken_tracks
from mssts.evaluate.matching import AREA_RANGES, IOU_THRESHOLDS, Matches
from mssts.evaluate.results_file import AnyResult, check_results, result_tubes
from mssts.evaluate.true_tube import true_tube
from mssts.evaluate.video_iou import video_ious

CLAIMING = frozenset({ErrorKind.WRONG_CLASS, ErrorKind.BAD_MASK, ErrorKind.IDENTITY_SWITCH})
"""What would hit its track when mended; the other kinds of false alarms can only be removed."""


class TrackError(NamedTuple):
    """One false alarm or one missed track.

    `result` is the place of the false alarm in the list of results, `track_id` the true track that explains it, `iou`
    their IoU. For a missed track they name the best false alarm that would find it if mended, or None, None and 0.
    """

    kind: ErrorKind
    video_id: int
    category_id: int
    result: int | None
    score: float | None
    track_id: int | None
    iou: float


class ErrorReport(NamedTuple):
    """AP50, the number of errors of each kind, the AP50 gained by mending each, and all errors by video id.

    A video's false alarms come by falling score, then its missed tracks. Every track that no detection hits counts as
    missed; as in TIDE, the gain of `MISSED` is only that of the tracks which no false alarm would find when mended.
    """

    ap50: float
    counts: dict[ErrorKind, int]
    gains: dict[ErrorKind, float]
    by_video: dict[int, tuple[TrackError, ...]]


class Judged(NamedTuple):
    """A detection that counts: a hit if `kind` is None. `track` is the place of its track in the set."""

    result: int
    video_id: int
    category_id: int
    score: float
    kind: ErrorKind | None
    track: int | None
    iou: float


def find_errors(truth: VideoSet, results: Sequence[AnyResult]) -> ErrorReport:
    """Find all errors that cost AP50.

    Left out is what AP does not look at: all but the best 100 detections per video and class, detections that match a
    crowd, and classes without ground truth in the whole set.

    Raises:
        BadInputError: A result does not belong to the set (see `check_results`), or a segmentation is not safe to
            decode or of another size than its video.
    """
    judged = judge_results(truth, results)
    ap50 = mended_ap50(truth, judged, ())
    errors = [*_false_alarms(truth, judged), *_missed(truth, judged)]
    counts = Counter(error.kind for error in errors)
    by_video: dict[int, list[TrackError]] = {video.id: [] for video in truth.videos}
    for error in errors:
        by_video[error.video_id].append(error)
    return ErrorReport(
        ap50=ap50,
        counts={kind: counts[kind] for kind in ErrorKind},
        gains={kind: mended_ap50(truth, judged, {kind}) - ap50 for kind in ErrorKind},
        by_video={video_id: tuple(of_video) for video_id, of_video in by_video.items()},
    )


def judge_results(truth: VideoSet, results: Sequence[AnyResult]) -> list[Judged]:
    """Every detection that counts, by video id, class and falling score.

    Raises:
        BadInputError: As `find_errors`.
    """
    check_results(results, truth)
    counted = {track.category_id for track in truth.tracks if not track.is_crowd}
    found: dict[int, list[tuple[int, AnyResult]]] = defaultdict(list)
    for index, result in enumerate(results):
        if result.category_id in counted:
            found[result.video_id].append((index, result))
    tracks: dict[int, list[int]] = defaultdict(list)
    for place, track in enumerate(truth.tracks):
        tracks[track.video_id].append(place)
    videos = sorted(truth.videos, key=lambda video: video.id)
    return [one for video in videos for one in _judge_video(truth, video, found[video.id], tracks[video.id])]


def _judge_video(
    truth: VideoSet, video: Video, found: Sequence[tuple[int, AnyResult]], places: Sequence[int]
) -> Iterable[Judged]:
    """The detections of one video that count."""
    tracks = [truth.tracks[place] for place in places]
    true_tubes = [true_tube(track, video, truth) for track in tracks]
    is_crowd = np.array([track.is_crowd for track in tracks], dtype=bool)
    best = _best_of_each_class(found)
    tubes = result_tubes(best, video, "results")
    ious = video_ious(tubes, true_tubes)
    true_classes = np.array([track.category_id for track in tracks], dtype=np.int64)
    is_own = np.array([result.category_id for _, result in best], dtype=np.int64)[:, None] == true_classes
    taken = _taken_of_each_class(ious, is_own, is_crowd)
    for row, (index, result) in enumerate(best):
        kind, column = None, int(taken[row])
        if column < 0:
            kind, column = explain(tubes[row], true_tubes, ious[row], is_own[row], is_crowd)
        elif is_crowd[column]:
            continue
        track, iou = (None, 0.0) if column is None else (places[column], float(ious[row, column]))
        yield Judged(index, video.id, result.category_id, float(result.score), kind, track, iou)


def _best_of_each_class(found: Sequence[tuple[int, AnyResult]]) -> list[tuple[int, AnyResult]]:
    """The best 100 results of each class, class by class, best first; of equal scores the earlier."""
    best = []
    for category_id in sorted({result.category_id for _, result in found}):
        of_class = [item for item in found if item[1].category_id == category_id]
        best += sorted(of_class, key=lambda item: -item[1].score)[: MAX_DETECTIONS[-1]]
    return best


def _taken_of_each_class(
    ious: Float[np.ndarray, "D G"], is_own: Bool[np.ndarray, "D G"], is_crowd: Bool[np.ndarray, " G"]
) -> Int64[np.ndarray, " D"]:
    """Which track of its class each detection takes, -1 for none."""
    taken = np.full(len(ious), -1)
    for own in np.unique(is_own, axis=0):  # the tracks of one class each
        columns = np.flatnonzero(own)
        rows = np.flatnonzero((is_own == own).all(axis=1))
        taken[rows] = np.append(columns, -1)[taken_tracks(ious[np.ix_(rows, columns)], is_crowd[columns])]
    return taken


def mended_ap50(truth: VideoSet, judged: Sequence[Judged], kinds: Collection[ErrorKind]) -> float:
    """AP50 when an oracle mends all errors of some kinds; that of the results themselves for none.

    A detection of a kind in `CLAIMING` becomes a hit of its track, if no other detection hits that: it gets the track's
    class and mask and keeps its score. Of several for one track, of whatever kind, only the best does. The other false
    alarms of these kinds go. A missed track that no false alarm claims need not be found any more; a class that loses
    all its tracks so counts as 1, or as 0 while it still has false alarms.

    Args:
        truth: The set.
        judged: Its detections as `judge_results` gives them.
        kinds: What is mended.
    """
    to_find = _to_find(truth)
    hits = _hits(judged)
    claims = _claims(judged, to_find - hits.keys())
    holders = hits | {place: index for place, index in claims.items() if judged[index].kind in kinds}
    excused = to_find - hits.keys() - claims.keys() if ErrorKind.MISSED in kinds else set()
    detections: dict[int, list[tuple[float, bool]]] = defaultdict(list)
    for index, one in enumerate(judged):
        if one.track is not None and holders.get(one.track) == index:
            detections[truth.tracks[one.track].category_id].append((one.score, True))
        elif one.kind is not None and one.kind not in kinds:
            detections[one.category_id].append((one.score, False))
    num_tracks = Counter(truth.tracks[place].category_id for place in to_find)
    num_excused = Counter(truth.tracks[place].category_id for place in excused)
    curves = [_curves(detections[id_], num_tracks[id_] - num_excused[id_]) for id_ in sorted(num_tracks)]
    return summarize(curves)["AP50"]


def _to_find(truth: VideoSet) -> set[int]:
    """The places of the tracks that are to be found: all but crowds."""
    return {place for place, track in enumerate(truth.tracks) if not track.is_crowd}


def _hits(judged: Sequence[Judged]) -> dict[int, int]:
    """The detection that hits each track, for those that are hit."""
    return {one.track: index for index, one in enumerate(judged) if one.kind is None and one.track is not None}


def _claims(judged: Sequence[Judged], missed: set[int]) -> dict[int, int]:
    """The best false alarm that would hit each missed track if mended, for those that have one."""
    claims: dict[int, int] = {}
    for index, one in enumerate(judged):
        if one.kind in CLAIMING and one.track is not None and one.track in missed:
            best = claims.setdefault(one.track, index)
            if one.score > judged[best].score:
                claims[one.track] = index
    return claims


def _curves(detections: Sequence[tuple[float, bool]], num_tracks: int) -> Curves:
    """The curves of one class; only what they say of AP50 means anything."""
    num_areas, num_thresholds = len(AREA_RANGES), len(IOU_THRESHOLDS)
    if num_tracks == 0:
        value = 0.0 if detections else 1.0
        recall = np.full((num_areas, len(MAX_DETECTIONS), num_thresholds), value)
        return Curves(np.full((num_areas, num_thresholds, len(RECALL_POINTS)), value), recall)
    shape = (num_areas, num_thresholds, len(detections))
    scores = np.array([score for score, _ in detections], dtype=np.float64)
    hits = np.broadcast_to(np.array([is_hit for _, is_hit in detections], dtype=bool), shape)
    return accumulate([Matches(scores, hits, np.zeros(shape, dtype=bool), np.full(num_areas, num_tracks))])


def _false_alarms(truth: VideoSet, judged: Sequence[Judged]) -> list[TrackError]:
    """The false alarms, best first."""
    errors = []
    for one in sorted(judged, key=lambda one: -one.score):
        if one.kind is not None:
            track_id = None if one.track is None else truth.tracks[one.track].id
            errors.append(TrackError(one.kind, one.video_id, one.category_id, one.result, one.score, track_id, one.iou))
    return errors


def _missed(truth: VideoSet, judged: Sequence[Judged]) -> list[TrackError]:
    """The tracks that no detection hits, in file order."""
    missed = _to_find(truth) - _hits(judged).keys()
    claims = _claims(judged, missed)
    errors = []
    for place in sorted(missed):
        track = truth.tracks[place]
        claim = judged[claims[place]] if place in claims else None
        result, score, iou = (claim.result, claim.score, claim.iou) if claim else (None, None, 0.0)
        errors.append(TrackError(ErrorKind.MISSED, track.video_id, track.category_id, result, score, track.id, iou))
    return errors
