"""Still figures: pictures in rows and columns, rows named at the left, columns at the top."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from mssts.visualize.label_layout import fit_text

GAP = 6
_PAPER, _INK = (255, 255, 255), (30, 30, 30)


class StripRow(NamedTuple):
    """A named row of pictures of one size."""

    title: str
    pictures: Sequence[UInt8[np.ndarray, "H W 3"]]


def draw_strip(rows: Sequence[StripRow], columns: Sequence[str]) -> UInt8[np.ndarray, "height width 3"]:
    """All pictures in one, on white; row titles run upwards.

    Args:
        rows: From top to bottom, each with a picture per column.
        columns: Titles of the columns.

    Raises:
        ValueError: A row has another number of pictures than there are columns, or pictures differ in size.
    """
    sizes = {picture.shape for row in rows for picture in row.pictures}
    if len(sizes) != 1 or any(len(row.pictures) != len(columns) for row in rows):
        raise ValueError(f"a strip of {len(columns)} columns cannot be made of pictures of the sizes {sorted(sizes)}")
    height, width, _ = sizes.pop()
    font = ImageFont.load_default(title_px(width))
    margin = round(1.7 * title_px(width))
    page = Image.new("RGB", (margin + len(columns) * (width + GAP), margin + len(rows) * (height + GAP)), _PAPER)
    draw = ImageDraw.Draw(page)
    for column, title in enumerate(columns):
        centre = margin + column * (width + GAP) + width // 2
        draw.text((centre, margin // 2), fit_text(title, "", width, font), _INK, font, anchor="mm")
    for number, row in enumerate(rows):
        top = margin + number * (height + GAP)
        page.paste(_upright_title(row.title, margin, height, font), (0, top))
        for column, picture in enumerate(row.pictures):
            page.paste(Image.fromarray(picture), (margin + column * (width + GAP), top))
    return np.asarray(page)


def title_px(width: int) -> int:
    """Letter size in pixels of titles beside pictures so wide."""
    return min(max(round(width / 18), 12), 28)


def add_caption(picture: UInt8[np.ndarray, "_h W 3"], text: str) -> UInt8[np.ndarray, "height W 3"]:
    """The picture above a text that is broken into as many lines as its width needs."""
    width = picture.shape[1]
    font = ImageFont.load_default(min(max(round(width / 90), 12), 20))
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        lines = [*lines[:-1], longer] if font.getlength(longer) < width - 2 * GAP else [*lines, word]
    measure = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    bottom = measure.multiline_textbbox((0, 0), "\n".join(lines), font)[3]
    page = Image.new("RGB", (width, round(bottom) + 2 * GAP), _PAPER)
    ImageDraw.Draw(page).multiline_text((GAP, GAP), "\n".join(lines), _INK, font)
    return np.concatenate((picture, np.asarray(page)))


def _upright_title(
    title: str, width: int, height: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> Image.Image:
    """A title that runs from the bottom to the top, in the middle of its strip of paper."""
    lying = Image.new("RGB", (height, width), _PAPER)
    ImageDraw.Draw(lying).text((height // 2, width // 2), fit_text(title, "", height, font), _INK, font, anchor="mm")
    return lying.transpose(Image.Transpose.ROTATE_90)


def beside(pictures: Sequence[UInt8[np.ndarray, "H _W 3"]], titles: Sequence[str]) -> UInt8[np.ndarray, "h w 3"]:
    """Pictures of one height side by side, each under its title."""
    font_px = title_px(pictures[0].shape[1])
    font = ImageFont.load_default(font_px)
    margin = round(1.7 * font_px)
    width = sum(picture.shape[1] for picture in pictures) + GAP * (len(pictures) - 1)
    page = Image.new("RGB", (width, margin + pictures[0].shape[0]), _PAPER)
    draw = ImageDraw.Draw(page)
    left = 0
    for picture, title in zip(pictures, titles, strict=True):
        centre = left + picture.shape[1] // 2
        draw.text((centre, margin // 2), fit_text(title, "", picture.shape[1], font), _INK, font, anchor="mm")
        page.paste(Image.fromarray(picture), (left, margin))
        left += picture.shape[1] + GAP
    return np.asarray(page)
