"""Places and draws the labels of a picture: plates in the track's colour, inside the picture, apart if they can be."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from PIL import ImageDraw, ImageFont

from mssts.visualize.palette import BLACK, Rgb

MIN_FONT_PX = 11
MAX_FONT_PX = 40


class Rectangle(NamedTuple):
    """Whole pixels; `right` and `bottom` are exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    def overlaps(self, other: "Rectangle") -> bool:
        """Whether the two share a pixel."""
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )


class Label(NamedTuple):
    """What to write about an instance: a name that may be shortened, facts that may not, and where it belongs."""

    name: str
    facts: str
    box: Rectangle
    color: Rgb


@lru_cache(maxsize=8)
def _font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size_px)


def font_size(width: int, height: int) -> int:
    """Letter size in pixels that stays readable when the whole picture is shown on a page."""
    return min(max(round(min(width, height) / 38), MIN_FONT_PX), MAX_FONT_PX)


def fit_text(name: str, facts: str, max_px: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """The longest label of at most `max_px`: the full one, a shortened name, the facts alone, or nothing."""
    name = " ".join(name.split())
    shortened = (f"{name[:length].rstrip()}… {facts}" for length in range(len(name) - 1, 0, -1))
    for text in (f"{name} {facts}", *shortened, facts):
        if font.getlength(text) <= max_px:
            return text
    return ""


def _candidates(box: Rectangle, plate_width: int, plate_height: int) -> Iterator[tuple[int, int]]:
    """Where a plate may go, best first: on top of the box, inside it, below it, at its right end; then down the box."""
    right = box.right - plate_width
    yield box.left, box.top - plate_height
    yield box.left, box.top
    yield right, box.top - plate_height
    yield box.left, box.bottom
    for top in range(box.top, max(box.bottom - plate_height, box.top) + 1, plate_height):
        yield box.left, top
        yield right, top


def place_plate(
    box: Rectangle, plate_width: int, plate_height: int, width: int, height: int, taken: Sequence[Rectangle]
) -> Rectangle:
    """The first candidate place, moved into the picture, that no other plate takes; the very first if all are taken.

    Args:
        box: The instance's box.
        plate_width: At most `width`.
        plate_height: At most `height`.
        width: Of the picture.
        height: Of the picture.
        taken: Plates that are placed already.
    """
    first = None
    for x, y in _candidates(box, plate_width, plate_height):
        left = min(max(x, 0), width - plate_width)
        top = min(max(y, 0), height - plate_height)
        place = Rectangle(left, top, left + plate_width, top + plate_height)
        if not any(place.overlaps(other) for other in taken):
            return place
        first = first or place
    assert first is not None, "there is always a candidate"
    return first


def draw_labels(draw: ImageDraw.ImageDraw, labels: Sequence[Label], width: int, height: int) -> None:
    """Draws labels, given in order of importance: the first ones choose their places first and lie on top.

    A picture too small for letters gets none.
    """
    size_px = font_size(width, height)
    font = _font(size_px)
    padding = max(2, round(size_px / 4))
    plate_height = round(size_px * 1.1) + 2 * (padding // 2)
    if plate_height * 2 > height:
        return
    taken: list[Rectangle] = []
    placed: list[tuple[Rectangle, str, Rgb]] = []
    for label in labels:
        text = fit_text(label.name, label.facts, width - 2 * padding, font)
        if text:
            plate_width = min(round(font.getlength(text)) + 2 * padding, width)
            taken.append(place_plate(label.box, plate_width, plate_height, width, height, taken))
            placed.append((taken[-1], text, label.color))
    for plate, text, color in reversed(placed):
        corners = (plate.left, plate.top, plate.right - 1, plate.bottom - 1)
        draw.rounded_rectangle(corners, radius=padding - 1, fill=color)
        draw.text((plate.left + padding, (plate.top + plate.bottom) / 2), text, BLACK, font, anchor="lm")
