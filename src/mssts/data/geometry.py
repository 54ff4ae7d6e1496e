"""Flip, resizing and crop of a clip: drawn once, then applied to all frames and all masks alike."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int, UInt8
from torch import Tensor
from torchvision.transforms.v2 import functional

Size = tuple[int, int]
"""Height and width in pixels."""


class Crop(NamedTuple):
    """The part of a frame that is kept, in pixels."""

    top: int
    left: int
    height: int
    width: int


class Geometry(NamedTuple):
    """What happens to frames of `source` size: a flip perhaps, then resizing and crops in turn."""

    source: Size
    flip: bool
    steps: tuple[Size | Crop, ...]

    @property
    def target(self) -> Size:
        """The size that comes out."""
        if not self.steps:
            return self.source
        last = self.steps[-1]
        return (last.height, last.width) if isinstance(last, Crop) else last

    def apply_to_frame(self, frame: UInt8[np.ndarray, "H W 3"]) -> UInt8[Tensor, "3 _ _"]:
        """Resize bilinearly, with the smoothing that keeps a smaller picture free of aliasing."""
        picture = torch.from_numpy(frame).permute(2, 0, 1)
        if self.flip:
            picture = functional.horizontal_flip(picture)
        for step in self.steps:
            if isinstance(step, Crop):
                picture = functional.crop(picture, *step)
            else:
                picture = functional.resize(picture, list(step), antialias=True)
        return picture

    def apply_to_mask(self, mask: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "_ _"]:
        """Take for every pixel the one of the source that its centre lies in."""
        rows = _Axis.whole(self.source[0])
        columns = _Axis.whole(self.source[1])
        if self.flip:
            columns = columns._replace(start=float(self.source[1]), step=-1.0)
        for step in self.steps:
            if isinstance(step, Crop):
                rows, columns = rows.cropped(step.top, step.height), columns.cropped(step.left, step.width)
            else:
                rows, columns = rows.resized(step[0]), columns.resized(step[1])
        # Decoded masks lie column by column in memory, so whole columns are taken first.
        return mask.T[columns.sources(self.source[1])][:, rows.sources(self.source[0])].T


class _Axis(NamedTuple):
    """Where the pixels along one axis come from: pixel i covers the source from start + i * step on, for one step.

    Rounding to source pixels happens once, at the end; rounding after each resizing would move masks off the picture.
    """

    start: float
    step: float
    length: int

    @staticmethod
    def whole(length: int) -> "_Axis":
        """All pixels of the source."""
        return _Axis(0.0, 1.0, length)

    def cropped(self, first: int, length: int) -> "_Axis":
        """A stretch of this axis."""
        return _Axis(self.start + first * self.step, self.step, length)

    def resized(self, length: int) -> "_Axis":
        """The same stretch with another number of pixels."""
        return _Axis(self.start, self.step * self.length / length, length)

    def sources(self, source_length: int) -> Int[np.ndarray, " length"]:
        """The source pixel under the centre of each pixel."""
        centres = self.start + (np.arange(self.length) + 0.5) * self.step
        return np.floor(centres).astype(np.int64).clip(0, source_length - 1)


def resized(size: Size, short_side: int, max_long_side: int | None = None) -> Size:
    """The size of a frame whose short side becomes `short_side`, or less if the long one would exceed its limit."""
    short, long = min(size), max(size)
    new_short, new_long = short_side, max(1, int(short_side * long / short))
    if max_long_side is not None and long * short_side > max_long_side * short:
        new_short, new_long = max(1, round(max_long_side * short / long)), max_long_side
    return (new_short, new_long) if size[0] <= size[1] else (new_long, new_short)


def draw_resize(size: Size, short_sides: Sequence[int], max_long_side: int | None, random: np.random.Generator) -> Size:
    """Draw a short side."""
    return resized(size, int(random.choice(short_sides)), max_long_side)


def draw_crop(size: Size, sides: tuple[int, int], random: np.random.Generator) -> Crop:
    """Draw a crop somewhere in a frame, whose height and width are each in the range of `sides` as far as they fit."""
    height, width = (int(random.integers(min(sides[0], side), min(sides[1], side) + 1)) for side in size)
    top, left = (int(random.integers(0, side - part + 1)) for side, part in zip(size, (height, width), strict=True))
    return Crop(top, left, height, width)
