"""Boundary accuracy F of one mask as DAVIS defines it (Perazzi et al., CVPR 2016): how much of the outlines agree.

Outlines agree where they are no further apart than 0.008 of the frame's diagonal, rounded up to whole pixels. A dilated
outline is kept only around its object, which is most of what makes this fast.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64

TOLERANCE = 0.008
"""Of the frame's diagonal."""


class Boundary(NamedTuple):
    """A mask's outline: the places of its pixels in the frame, and what is near them, in a window from `corner` on."""

    places: Int64[np.ndarray, "pixels 2"]
    corner: tuple[int, int]
    near: Bool[np.ndarray, "rows columns"]


def tolerance_pixels(height: int, width: int) -> int:
    """How far apart two outlines may be that agree, in pixels."""
    return math.ceil(TOLERANCE * math.hypot(height, width))


def trace(mask: Bool[np.ndarray, "height width"]) -> Boundary:
    """Find the outline of a mask; that of an empty or full one has no pixels.

    A pixel is on it if the one to the right, below, or right below is on the other side of the mask's edge. The frame's
    border is no edge.
    """
    radius = tolerance_pixels(*mask.shape)
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return Boundary(np.zeros((0, 2), dtype=np.int64), (0, 0), np.zeros((0, 0), dtype=bool))
    # The outline may lie one pixel above and left of the mask.
    top, left = max(int(rows[0]) - 1 - radius, 0), max(int(columns[0]) - 1 - radius, 0)
    window = np.ascontiguousarray(mask[top : rows[-1] + 1 + radius, left : columns[-1] + 1 + radius])
    grown = np.pad(window, ((0, 1), (0, 1)), mode="edge")
    edge = (window ^ grown[:-1, 1:]) | (window ^ grown[1:, :-1]) | (window ^ grown[1:, 1:])
    places = np.stack(np.divmod(np.flatnonzero(edge), edge.shape[1]), axis=1)
    return Boundary(places + np.array([top, left]), (top, left), _near(places, radius, edge.shape))


def _near(
    places: Int64[np.ndarray, "pixels 2"], radius: int, shape: tuple[int, int]
) -> Bool[np.ndarray, "rows columns"]:
    """The pixels no further than `radius` from one of the places: a disk around each, painted row by row."""
    height, width = shape[0] + 2 * radius, shape[1] + 2 * radius + 1  # room for disks that leave the window
    offsets = np.arange(2 * radius + 1)
    half_widths = np.array([math.isqrt(radius**2 - (offset - radius) ** 2) for offset in offsets.tolist()])
    centres = (places[:, :1] + offsets) * width + places[:, 1:] + radius
    begun = np.bincount((centres - half_widths).ravel(), minlength=height * width)
    ended = np.bincount((centres + half_widths + 1).ravel(), minlength=height * width)
    is_near = (begun - ended).cumsum().reshape(height, width) > 0
    return is_near[radius : radius + shape[0], radius : radius + shape[1]]


def boundary_accuracy(found: Boundary, true: Boundary) -> float:
    """F: the harmonic mean of the shares of each outline that lie near the other; 1 if neither has any pixel."""
    if not (len(found.places) and len(true.places)):
        return float(len(found.places) == len(true.places))
    precision, recall = _share_near(found.places, true), _share_near(true.places, found)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _share_near(places: Int64[np.ndarray, "pixels 2"], other: Boundary) -> float:
    rows, columns = (places - other.corner).T
    height, width = other.near.shape
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    return int(other.near[rows[inside], columns[inside]].sum()) / len(places)
