"""One object, one number: tracks of two models side by side are told apart by what they cover, not by their order."""

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import linear_sum_assignment

from mssts.inspect.views import FrameView

SAME_OBJECT_IOU = 0.3
"""Two masks in one frame that overlap so much are taken for one object."""
FIRST_OWN_NUMBER = 101
"""Tracks that only the second model has are numbered from here on, out of the way of the first model's."""


class CommonNumbers:
    """Gives each track of a second model the number of the first model's track that it covers when it is first seen.

    A video is seen frame by frame, so what was decided stays, and no two tracks share a number.
    """

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        self._num_own = 0

    def apply(self, first: FrameView, second: FrameView) -> FrameView:
        """The second view of the same frame, with the numbers of the first where tracks are of one object."""
        ids: list[int] = second.result.track_ids.tolist()
        fresh = [row for row, track_id in enumerate(ids) if track_id not in self._numbers]
        taken = set(self._numbers.values())
        free = [row for row, number in enumerate(first.result.track_ids.tolist()) if number not in taken]
        ious = _mask_ious(second.result.masks[fresh], first.result.masks[free])
        for row, column in zip(*linear_sum_assignment(ious, maximize=True), strict=True):
            if ious[row, column] >= SAME_OBJECT_IOU:
                self._numbers[ids[fresh[row]]] = int(first.result.track_ids[free[column]])
        for track_id in ids:
            if track_id not in self._numbers:
                self._numbers[track_id] = FIRST_OWN_NUMBER + self._num_own
                self._num_own += 1
        renamed = np.array([self._numbers[track_id] for track_id in ids], dtype=second.result.track_ids.dtype)
        tracks = [track._replace(track_id=self._numbers[track.track_id]) for track in second.tracks]
        return second._replace(result=second.result._replace(track_ids=renamed), tracks=tracks)


def _mask_ious(one: Bool[np.ndarray, "N H W"], other: Bool[np.ndarray, "M H W"]) -> Float[np.ndarray, "N M"]:
    num_pixels = one.shape[1] * one.shape[2]
    rows, columns = (masks.reshape(len(masks), num_pixels).astype(np.float64) for masks in (one, other))
    shared = rows @ columns.T
    union = rows.sum(axis=1)[:, None] + columns.sum(axis=1) - shared
    return shared / np.maximum(union, 1)
