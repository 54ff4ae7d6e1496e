"""Which detection of a window goes on with which track, given how well each pair fits."""

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment


def assign_in_turn(
    scores: Float[np.ndarray, "K M"], sure: Bool[np.ndarray, " K"], min_score: float
) -> Int[np.ndarray, " K"]:
    """The track row for each detection, -1 where there is none; the sure ones choose before the others."""
    rows = np.full(len(scores), -1)
    rows[sure] = assign(scores[sure], min_score)
    left = scores[~sure]
    left[:, rows[rows >= 0]] = -np.inf
    rows[~sure] = assign(left, min_score)
    return rows


def assign(scores: Float[np.ndarray, "K M"], min_score: float) -> Int[np.ndarray, " K"]:
    """The track row for each detection that gives the best total, -1 where a new track is worth more."""
    num_detections, num_tracks = scores.shape
    new_tracks = np.full((num_detections, num_detections), min_score)
    _, columns = linear_sum_assignment(np.concatenate([scores, new_tracks], axis=1), maximize=True)
    return np.where(columns < num_tracks, columns, -1)


def steals(
    overlap: Float[np.ndarray, "K M"],
    masks: Bool[np.ndarray, "K T h w"],
    sure: Bool[np.ndarray, " K"],
    sure_overlap: float,
    duplicate_overlap: float,
) -> Bool[np.ndarray, "K M"]:
    """The pairs in which a sure detection would take the track of another object that is only in doubt.

    The doubtful detection lies on the track (IoU from `sure_overlap`), the sure one does not, and the two are not one
    object (IoU in the window below `duplicate_overlap`). Without the last condition doubtful duplicates would keep
    tracks from the objects that they belong to (docs/log.md).

    Args:
        overlap: IoU of each detection with each track in the frames shared with the last window.
        masks: What the detections cover in their window.
        sure: Which detections are sure.
        sure_overlap: See `LinkerConfig`.
        duplicate_overlap: See `LinkerConfig`.
    """
    lies_on = overlap >= sure_overlap
    is_other = mask_iou(masks, masks[~sure]) < duplicate_overlap
    in_doubt = is_other.astype(np.int64) @ lies_on[~sure].astype(np.int64) > 0
    return sure[:, None] & ~lies_on & in_doubt


def mask_iou(first: Bool[np.ndarray, "A T h w"], second: Bool[np.ndarray, "B T h w"]) -> Float[np.ndarray, "A B"]:
    """IoU over all frames of each mask of the first with each of the second; 0 where both are empty."""
    first, second = first.astype(np.float32), second.astype(np.float32)
    intersection = np.tensordot(first, second, axes=((1, 2, 3), (1, 2, 3)))
    areas = first.sum(axis=(1, 2, 3))[:, None] + second.sum(axis=(1, 2, 3))
    return intersection / np.maximum(areas - intersection, 1)
