"""Tracks of two models side by side: one object, one number, for as long as it lasts."""

import numpy as np

from mssts.inspect.common_numbers import FIRST_OWN_NUMBER, CommonNumbers
from mssts.inspect.views import FrameView, TrackView
from mssts.types import FrameResult


def view(boxes: dict[int, tuple[int, int]]) -> FrameView:
    """A frame of 10 x 100 pixels with tracks that cover columns from one to another."""
    masks = np.zeros((len(boxes), 10, 100), dtype=bool)
    for mask, (left, right) in zip(masks, boxes.values(), strict=True):
        mask[:, left:right] = True
    count = len(boxes)
    result = FrameResult(
        index=0,
        time_s=0.0,
        image=np.zeros((10, 100, 3), dtype=np.uint8),
        masks=masks,
        boxes=np.zeros((count, 4), dtype=np.float32),
        labels=np.zeros(count, dtype=np.int64),
        scores=np.ones(count, dtype=np.float32),
        track_ids=np.array(list(boxes), dtype=np.int64),
    )
    tracks = [TrackView(id_, np.zeros((1, 2)), np.ones(1), np.ones(1), None) for id_ in boxes]
    return FrameView(result, np.zeros((2, 20)), (0.0, 1.0), 0, tracks)


def numbers(one: FrameView) -> list[int]:
    assert [track.track_id for track in one.tracks] == one.result.track_ids.tolist()
    return one.result.track_ids.tolist()


def test_one_object_has_one_number_and_keeps_it() -> None:
    common = CommonNumbers()
    # In another order, and one that the first model does not see.
    first, second = view({1: (0, 20), 2: (40, 60)}), view({1: (42, 62), 2: (80, 99), 3: (1, 20)})
    assert numbers(common.apply(first, second)) == [2, FIRST_OWN_NUMBER, 1]
    # They cross: what was decided stays. The first model's new track is not what has a number already.
    first, second = view({1: (40, 60), 2: (0, 20), 3: (80, 99)}), view({3: (40, 60), 1: (0, 20), 2: (80, 99)})
    assert numbers(common.apply(first, second)) == [1, 2, FIRST_OWN_NUMBER]
    assert numbers(common.apply(first, view({9: (80, 99)}))) == [3]
    assert numbers(common.apply(view({}), view({8: (0, 9), 3: (0, 9)}))) == [FIRST_OWN_NUMBER + 1, 1]
    assert numbers(common.apply(first, view({}))) == []
