"""HOTA, higher order tracking accuracy (Luiten et al., IJCV 2021), of masks: as TrackEval computes it, class by class.

    HOTA = mean over alpha of sqrt(DetA * AssA)

alpha is the IoU, 0.05 to 0.95, from which a mask in a frame counts as a hit. DetA says how well masks are found
whatever their identity, AssA how well the masks that were found are put together to tracks, LocA how well they fit.
Which results are tracks is said in `scored_tracks`.

A crowd is no track to be found. As in KITTI MOTS, a mask that hits nothing and lies with more than half of its pixels
in a crowd of its class is left out, in that frame.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import linear_sum_assignment

from mssts.data.video_set import VideoSet
from mssts.evaluate.accumulate import UNDEFINED
from mssts.evaluate.results_file import AnyResult
from mssts.evaluate.scored_tracks import DEFAULT_MIN_SCORE, VideoTracks, scored_tracks
from mssts.evaluate.video_iou import Tube, frame_ious, shared_pixels

# The very floats of TrackEval: an IoU may lie on a threshold.
ALPHAS = np.arange(0.05, 0.99, 0.05)
HOTA_NAMES = ("HOTA", "DetA", "AssA", "DetRe", "DetPr", "AssRe", "AssPr", "LocA")
_EPSILON = np.finfo(np.float64).eps
# Both of KITTI MOTS.
_HIT_BESIDE_CROWD = 0.5
_SHARE_IN_CROWD = 0.5

Curves = dict[str, Float[np.ndarray, " alphas"]]
"""By name, a number for each of `ALPHAS`."""


class Hota(NamedTuple):
    """Numbers by name (`HOTA_NAMES`), shares 0..1; -1 where there is no ground truth.

    `class_averaged` is the mean over the categories with ground truth, as in video AP. In `detection_averaged`, and
    in `per_video`, every mask weighs the same, and what was found of categories without ground truth counts too.
    `per_alpha` holds the class-averaged numbers for each of `ALPHAS`, empty without ground truth. LocA is 1 where
    nothing is hit, as in TrackEval.
    """

    class_averaged: dict[str, float]
    detection_averaged: dict[str, float]
    per_category: dict[int, dict[str, float]]
    per_video: dict[int, dict[str, float]]
    per_alpha: Curves


class _Sums(NamedTuple):
    """What adds up over videos and classes, for each alpha; the last four are sums over hits."""

    hits: Float[np.ndarray, " alphas"]
    misses: Float[np.ndarray, " alphas"]
    alarms: Float[np.ndarray, " alphas"]
    ious: Float[np.ndarray, " alphas"]
    association: Float[np.ndarray, " alphas"]
    association_recall: Float[np.ndarray, " alphas"]
    association_precision: Float[np.ndarray, " alphas"]


class _Scene(NamedTuple):
    """One video and class: the IoUs of G true with D found tracks in T frames, and in which of them each counts."""

    ious: Float[np.ndarray, "G D T"]
    true: Bool[np.ndarray, "G T"]
    found: Bool[np.ndarray, "D T"]


def evaluate_hota(
    truth: VideoSet,
    results: Sequence[AnyResult],
    min_score: float = DEFAULT_MIN_SCORE,
    name: str = "results",
    progress: bool = False,
) -> Hota:
    """Compute HOTA and its parts.

    Args:
        truth: The set with its ground truth.
        results: What was found.
        min_score: Results below this score are no tracks.
        name: What errors call the results.
        progress: Show a progress bar.

    Raises:
        BadInputError: As `scored_tracks`.
    """
    by_class: dict[int, list[_Sums]] = {category_id: [] for category_id, _ in sorted(truth.categories)}
    per_video = {}
    for tracks in scored_tracks(truth, results, min_score, name, progress):
        sums = {category_id: _class_sums(tracks, category_id) for category_id in _categories(tracks)}
        for category_id, one in sums.items():
            by_class[category_id].append(one)
        per_video[tracks.video.id] = _means(_curves(_add(sums.values())))
    totals = [_add(sums) for sums in by_class.values()]
    per_category = [_curves(sums) for sums in totals]
    defined = [curves for curves in per_category if curves]
    per_alpha = {name: np.mean([curves[name] for curves in defined], axis=0) for name in HOTA_NAMES if defined}
    return Hota(
        _means(per_alpha),
        _means(_curves(_add(totals))),
        dict(zip(by_class, map(_means, per_category), strict=True)),
        per_video,
        per_alpha,
    )


def _categories(tracks: VideoTracks) -> list[int]:
    return sorted({track.category_id for track in [*tracks.truths, *tracks.found]})


def _class_sums(tracks: VideoTracks, category_id: int) -> _Sums:
    truths, crowds, found = (
        [track.tube for track in group if track.category_id == category_id]
        for group in (tracks.truths, tracks.crowds, tracks.found)
    )
    num_frames = len(tracks.video.file_names)
    scene = _Scene(frame_ious(truths, found), _visible(truths, num_frames), _visible(found, num_frames))
    return _sums(_without_crowds(scene, found, crowds) if crowds else scene)


def _visible(tubes: Sequence[Tube], num_frames: int) -> Bool[np.ndarray, "N T"]:
    return np.array([tube.areas > 0 for tube in tubes], dtype=bool).reshape(len(tubes), num_frames)


def _without_crowds(scene: _Scene, found: Sequence[Tube], crowds: Sequence[Tube]) -> _Scene:
    """Leave out the found masks that hit nothing and lie in a crowd."""
    if not found:
        return scene
    areas = np.stack([tube.areas for tube in found])
    shares = shared_pixels(found, crowds).max(axis=1) / np.maximum(areas, 1)
    is_left_out = shares > _SHARE_IN_CROWD + _EPSILON
    for frame in np.flatnonzero(is_left_out.any(axis=0)):
        ious = np.where(scene.ious[..., frame] < _HIT_BESIDE_CROWD - _EPSILON, 0.0, scene.ious[..., frame])
        rows, columns = linear_sum_assignment(ious, maximize=True)
        is_left_out[columns[ious[rows, columns] > 0], frame] = False
    return scene._replace(found=scene.found & ~is_left_out)


def _sums(scene: _Scene) -> _Sums:
    """Match each frame by IoU weighted with how well the two tracks agree in the whole video, and count."""
    true_lengths, found_lengths = scene.true.sum(axis=1)[:, None], scene.found.sum(axis=1)
    alignment = _alignment(scene)
    pairs = np.zeros((len(ALPHAS), len(scene.true), len(scene.found)))
    iou_sums = np.zeros(len(ALPHAS))
    for frame in range(scene.ious.shape[-1]):
        truths, found = np.flatnonzero(scene.true[:, frame]), np.flatnonzero(scene.found[:, frame])
        present = np.ix_(truths, found)
        ious = scene.ious[..., frame]
        rows, columns = linear_sum_assignment(alignment[present] * ious[present], maximize=True)
        rows, columns = truths[rows], found[columns]
        is_hit = ious[rows, columns] >= ALPHAS[:, None] - _EPSILON
        pairs[:, rows, columns] += is_hit
        iou_sums += (is_hit * ious[rows, columns]).sum(axis=1)
    hits = pairs.sum(axis=(1, 2))
    either = true_lengths + found_lengths - pairs
    return _Sums(
        hits,
        scene.true.sum() - hits,
        scene.found.sum() - hits,
        iou_sums,
        *((pairs**2 / np.maximum(lengths, 1)).sum(axis=(1, 2)) for lengths in (either, true_lengths, found_lengths)),
    )


def _alignment(scene: _Scene) -> Float[np.ndarray, "G D"]:
    """How well two tracks agree over the video: the IoU of their frames, where a frame counts as much as it fits."""
    shared = np.zeros(scene.ious.shape[:2])
    for frame in range(scene.ious.shape[-1]):
        ious = scene.ious[..., frame] * scene.found[:, frame]
        either = ious.sum(axis=0) + ious.sum(axis=1)[:, None] - ious
        shared += np.divide(ious, either, out=np.zeros_like(ious), where=either > _EPSILON)
    return shared / np.maximum(scene.true.sum(axis=1)[:, None] + scene.found.sum(axis=1) - shared, _EPSILON)


def _add(parts: Iterable[_Sums]) -> _Sums:
    zero = np.zeros((len(_Sums._fields), len(ALPHAS)))
    return _Sums(*sum(map(np.array, parts), start=zero))


def _curves(sums: _Sums) -> Curves:
    """The numbers for each alpha; empty without ground truth."""
    if not (sums.hits + sums.misses).any():
        return {}
    hits, misses, alarms = sums.hits, sums.misses, sums.alarms
    per_hit = np.maximum(hits, 1)
    detection, association = hits / (hits + misses + alarms), sums.association / per_hit
    return {
        "HOTA": np.sqrt(detection * association),
        "DetA": detection,
        "AssA": association,
        "DetRe": hits / (hits + misses),
        "DetPr": hits / np.maximum(hits + alarms, 1),
        "AssRe": sums.association_recall / per_hit,
        "AssPr": sums.association_precision / per_hit,
        "LocA": np.where(hits > 0, sums.ious / per_hit, 1.0),
    }


def _means(curves: Curves) -> dict[str, float]:
    return {name: float(curves[name].mean()) if curves else UNDEFINED for name in HOTA_NAMES}
