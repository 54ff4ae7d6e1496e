"""Draws the instances of one frame onto it: tinted masks with outlines, boxes, and labels in one colour per track.

Where the labels go is decided in `label_layout`, the colours in `palette`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int, Integer, UInt8
from PIL import Image, ImageDraw

from mssts.types import FrameResult
from mssts.visualize.label_layout import Label, Rectangle, draw_labels
from mssts.visualize.palette import track_color
from mssts.visualize.rank_map import painting_order, rank_map

FILL_ALPHA = 122
OUTLINE_ALPHA = 255


class _Stroke(NamedTuple):
    """Line widths in pixels."""

    outline: int
    box: int


def _stroke(height: int, width: int) -> _Stroke:
    short_side = min(height, width)
    return _Stroke(outline=max(1, round(short_side / 300)), box=max(1, round(short_side / 400)))


def outline_mask(ranks: Integer[np.ndarray, "H W"], width: int) -> Bool[np.ndarray, "H W"]:
    """The pixels of instances that lie within `width` pixels, along a row or column, of something else.

    The edge of the picture is not an outline: an object that it cuts off goes on there.
    """
    outline = np.zeros(ranks.shape, bool)
    for shift in range(1, width + 1):
        down = ranks[shift:] != ranks[:-shift]
        outline[shift:] |= down
        outline[:-shift] |= down
        right = ranks[:, shift:] != ranks[:, :-shift]
        outline[:, shift:] |= right
        outline[:, :-shift] |= right
    return outline & (ranks > 0)


def _tinted(result: FrameResult, order: Int[np.ndarray, " K"], outline_width: int) -> Image.Image:
    """The frame with masks blended in; outlines are pixels of full opacity."""
    ranks = rank_map(result.masks, order)
    tints = np.array([(0, 0, 0), *(track_color(int(result.track_ids[index])) for index in order)], dtype=np.uint8)
    opacity = (ranks > 0).view(np.uint8) * np.uint8(FILL_ALPHA)
    np.copyto(opacity, np.uint8(OUTLINE_ALPHA), where=outline_mask(ranks, outline_width))
    tint = Image.fromarray(np.take(tints, ranks, axis=0))
    return Image.composite(tint, Image.fromarray(result.image), Image.fromarray(opacity))


def _pixel_box(box: np.ndarray, width: int, height: int) -> Rectangle:
    """A box cut to the picture, in whole pixels; never empty."""
    left, top = (int(np.clip(np.floor(low), 0, size - 1)) for low, size in zip(box[:2], (width, height), strict=True))
    right, bottom = (int(np.clip(np.ceil(high), 1, size)) for high, size in zip(box[2:], (width, height), strict=True))
    return Rectangle(left, top, max(right, left + 1), max(bottom, top + 1))


def _label_text(result: FrameResult, index: int, names: Sequence[str]) -> tuple[str, str]:
    """The class name, which may be cut short, and the part that may not: score and track id."""
    label = int(result.labels[index])
    name = names[label] if 0 <= label < len(names) else f"class {label}"
    return name, f"{result.scores[index]:.2f} #{result.track_ids[index]}"


def draw_overlay(result: FrameResult, names: Sequence[str]) -> UInt8[np.ndarray, "H W 3"]:
    """A copy of the frame with its instances drawn in.

    Args:
        result: The instances of the frame.
        names: Name per class slot; a slot without a name is written as its number.
    """
    if len(result.scores) == 0:
        return result.image.copy()
    height, width = result.image.shape[:2]
    stroke = _stroke(height, width)
    order = painting_order(result.scores)
    picture = _tinted(result, order, stroke.outline)
    draw = ImageDraw.Draw(picture)
    labels = []
    for index in map(int, order):
        color = track_color(int(result.track_ids[index]))
        box = _pixel_box(result.boxes[index], width, height)
        draw.rectangle((box.left, box.top, box.right - 1, box.bottom - 1), outline=color, width=stroke.box)
        labels.append(Label(*_label_text(result, index, names), box, color))
    draw_labels(draw, labels[::-1], width, height)
    return np.array(picture)
