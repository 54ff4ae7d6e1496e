"""Names the error of every false alarm, after TIDE (Bolya et al., ECCV 2020), with tracks in place of boxes.

A detection that misses no track of its class has no error. Of the others, the first of these that is true holds, where
"overlaps" is a track IoU of 0.1 or more and "fits" one of 0.5 or more:

1. it fits a track: `DUPLICATE` if it is of its class (another detection has taken it), else `WRONG_CLASS`; if it fits
   both, the higher IoU tells;
2. it changes from object to object (see `followed_track`): `IDENTITY_SWITCH`;
3. it overlaps a track of its class: `BAD_MASK`;
4. it overlaps a track of another class: `CLASS_AND_MASK`;
5. it overlaps none: `BACKGROUND`.

A crowd explains an error as any track does. What is matched to a crowd of its own class is ignored, as AP ignores it.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int64

from mssts.evaluate.video_iou import Tube, shared_pixels

FITS = 0.5
OVERLAPS = 0.1


class ErrorKind(StrEnum):
    """What is wrong with a detection; `MISSED` is a track that no detection hits."""

    WRONG_CLASS = "wrong class"
    BAD_MASK = "bad mask"
    IDENTITY_SWITCH = "identity switch"
    DUPLICATE = "duplicate"
    BACKGROUND = "background"
    CLASS_AND_MASK = "class and mask"
    MISSED = "missed"


class Explanation(NamedTuple):
    """Why a detection fails, and the track that explains it: its place among those given, None for background."""

    kind: ErrorKind
    track: int | None


def taken_tracks(ious: Float[np.ndarray, "D G"], is_crowd: Bool[np.ndarray, " G"]) -> Int64[np.ndarray, " D"]:
    """Which track each detection of one video and class takes at the IoU 0.5, -1 for none.

    The rule is that of `match_video`, which tells whether a track was taken but not which.

    Args:
        ious: The detections come best first, the tracks in file order.
        is_crowd: A crowd is taken only if no other track is left, and by any number of detections.
    """
    taken = np.full(len(ious), -1)
    is_free = np.ones(len(is_crowd), dtype=bool)
    for row, iou in enumerate(ious):
        fits = (iou >= FITS) & (is_free | is_crowd)
        fits &= ~is_crowd if (fits & ~is_crowd).any() else is_crowd
        if fits.any():
            # Of equal ones the last, as the official code takes it.
            taken[row] = len(iou) - 1 - np.where(fits, iou, -1.0)[::-1].argmax()
            is_free[taken[row]] = False
    return taken


def explain(
    detection: Tube,
    tracks: Sequence[Tube],
    ious: Float[np.ndarray, " G"],
    is_own_class: Bool[np.ndarray, " G"],
    is_crowd: Bool[np.ndarray, " G"],
) -> Explanation:
    """Say why a detection that took no track is a false alarm.

    Args:
        detection: Its masks.
        tracks: All true tracks of the video.
        ious: The IoU of the detection with each of them.
        is_own_class: Which tracks are of the detection's class.
        is_crowd: Which are crowds.
    """
    own, other = np.where(is_own_class, ious, 0.0), np.where(is_own_class, 0.0, ious)
    if max(ious, default=0.0) < FITS:
        followed = _followed(detection, tracks, np.flatnonzero((ious > 0) & ~is_crowd), is_own_class)
        if followed is not None:
            return Explanation(ErrorKind.IDENTITY_SWITCH, followed)
    return _explain_by_overlap(own, other)


def _followed(
    detection: Tube, tracks: Sequence[Tube], objects: Int64[np.ndarray, " K"], is_own_class: Bool[np.ndarray, " G"]
) -> int | None:
    """The place of the followed track among all; `objects` are those with which the detection shares pixels at all."""
    if len(objects) < 2 or not is_own_class[objects].any():
        return None
    followed = followed_track(detection, [tracks[index] for index in objects.tolist()], is_own_class[objects])
    return None if followed is None else int(objects[followed])


def _explain_by_overlap(own: Float[np.ndarray, " G"], other: Float[np.ndarray, " G"]) -> Explanation:
    """Explain by the IoU with tracks of the detection's class and of other classes."""
    best_own, best_other = max(own, default=0.0), max(other, default=0.0)
    if max(best_own, best_other) < OVERLAPS:
        return Explanation(ErrorKind.BACKGROUND, None)
    if max(best_own, best_other) >= FITS:
        is_own, kinds = best_own >= best_other, (ErrorKind.DUPLICATE, ErrorKind.WRONG_CLASS)
    else:
        is_own, kinds = best_own >= OVERLAPS, (ErrorKind.BAD_MASK, ErrorKind.CLASS_AND_MASK)
    return Explanation(kinds[0], int(own.argmax())) if is_own else Explanation(kinds[1], int(other.argmax()))


def followed_track(detection: Tube, tracks: Sequence[Tube], is_own_class: Bool[np.ndarray, " G"]) -> int | None:
    """The track that a detection follows but for switches of identity; None if switches are not what is wrong with it.

    In more than half of the frames where it is seen, the detection must have a mask IoU of 0.5 or more with some
    object, and not always the same. Of the objects of its class, the one that it follows for most frames is its own.
    Had it stayed with that object, with a perfect mask, in the frames where it follows another, its track IoU would be
    0.5 or more: so the switch is the error, not the masks.
    """
    true_areas = np.stack([track.areas for track in tracks])
    shared = shared_pixels([detection], tracks)[0]
    frame_ious = shared / np.maximum(detection.areas + true_areas - shared, 1)
    followed = frame_ious.argmax(axis=0)
    agrees = frame_ious.max(axis=0) >= FITS
    frames_per_track = np.bincount(followed[agrees], minlength=len(tracks))
    own_frames = frames_per_track * is_own_class
    is_mostly_right = 2 * agrees.sum() > (detection.areas > 0).sum()
    if not is_mostly_right or (frames_per_track > 0).sum() < 2 or not own_frames.any():
        return None
    track = int(own_frames.argmax())
    strays = agrees & (followed != track)
    mended_areas = np.where(strays, true_areas[track], detection.areas).sum()
    mended_shared = np.where(strays, true_areas[track], shared[track]).sum()
    union = mended_areas + true_areas[track].sum() - mended_shared
    return track if mended_shared >= FITS * union else None
