"""The paper's attributes of a video: fast motion, change of size, change of aspect ratio (section 4.3)."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

Box = tuple[float | int, ...]
# Paper: section 4.3. Motion is in sizes per frame, the others are largest / smallest over the video.
FAST_MOTION = 0.3
SIZE_CHANGE = 1.5
ASPECT_CHANGE = 1.5


class Attributes(NamedTuple):
    """Which of the paper's attributes a video, or an object, shows."""

    fast_motion: bool
    size_change: bool
    aspect_change: bool


def video_attributes(boxes_xywh_per_object: Sequence[Sequence[Box | None]]) -> Attributes:
    """Tell which attributes a video shows: those that any of its objects shows.

    The paper follows VOT-2015 but does not define "size". VOT-2015 measures a change of size on the area of the
    bounding box, and so does this: a side that grows by a quarter is a change. (All 706 videos of the paper's Table 3
    change their size, which would be hard to believe of lengths.) Motion is compared with a length, the square root of
    the area. Boxes count as annotated, so an object that the border of the frame or another object cuts off changes
    its size and aspect ratio as the paper's objects do. A box without area counts as absent, and motion is measured
    only between consecutive frames in which the object is visible.

    Args:
        boxes_xywh_per_object: For each object one box (left, top, width, height in pixels) per frame, None where
            it is absent.
    """
    objects = [_object_attributes(boxes) for boxes in boxes_xywh_per_object]
    return Attributes(*(any(values) for values in zip(*objects, strict=True))) if objects else Attributes(*[False] * 3)


def _object_attributes(boxes: Sequence[Box | None]) -> Attributes:
    track = [box if box is not None and box[2] > 0 and box[3] > 0 else None for box in boxes]
    visible = [box for box in track if box is not None]
    return Attributes(
        fast_motion=any(_speed(before, after) >= FAST_MOTION for before, after in pairwise(track) if before and after),
        size_change=_ratio([box[2] * box[3] for box in visible]) > SIZE_CHANGE,
        aspect_change=_ratio([box[2] / box[3] for box in visible]) > ASPECT_CHANGE,
    )


def _speed(before: Box, after: Box) -> float:
    """How far the centre moved, in units of the size before."""
    x, y = (after[axis] + after[axis + 2] / 2 - before[axis] - before[axis + 2] / 2 for axis in range(2))
    return math.hypot(x, y) / math.sqrt(before[2] * before[3])


def _ratio(values: Sequence[float | int]) -> float:
    """Largest / smallest; 1 of nothing."""
    return max(values) / min(values) if values else 1.0
