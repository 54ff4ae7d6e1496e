"""Strips hold their pictures unchanged, in order, with titles beside them."""

import numpy as np
import pytest

from mssts.visualize.strip import StripRow, add_caption, beside, draw_strip


def noise(seed: int, height: int = 60, width: int = 100) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def places(page: np.ndarray, picture: np.ndarray) -> list[tuple[int, int]]:
    """All (y, x) at which the page shows the picture."""
    height, width, _ = picture.shape
    starts = np.argwhere((page[: -height + 1 or None, : -width + 1 or None] == picture[0, 0]).all(axis=-1))
    return [(y, x) for y, x in starts.tolist() if (page[y : y + height, x : x + width] == picture).all()]


def test_rows_and_columns():
    pictures = [[noise(3 * row + column) for column in range(3)] for row in range(2)]
    page = draw_strip([StripRow("one", pictures[0]), StripRow("two", pictures[1])], ["a", "b", "c"])
    found = np.array([[places(page, picture)[0] for picture in row] for row in pictures])
    assert (found[:, :, 0] == found[:, :1, 0]).all(), "rows are level"
    assert (found[:, :, 1] == found[:1, :, 1]).all(), "columns are upright"
    assert (np.diff(found[:, 0, 0]) > 60).all()
    assert (np.diff(found[0, :, 1]) > 100).all()
    top, left = found[0, 0]
    assert (page[:top, left:] != 255).any(), "column titles"
    assert (page[top:, :left] != 255).any(), "row titles"
    assert (page[:top, :left] == 255).all()


def test_side_by_side():
    pictures = [noise(0), noise(1, width=80)]
    page = beside(pictures, ["left", "right"])
    ((y0, x0),), ((y1, x1),) = (places(page, picture) for picture in pictures)
    assert y0 == y1 > 0
    assert x0 == 0
    assert x1 > 100
    assert page.shape == (y0 + 60, x1 + 80, 3)


def test_long_titles_stay_in_their_place():
    name = "a name that is much longer than the picture is high or wide, and goes on and on"
    page = draw_strip([StripRow(name, [noise(0)])], [name])
    assert len(places(page, noise(0))) == 1


@pytest.mark.parametrize("pictures", [[noise(0)], [noise(0), noise(1, height=61)]])
def test_what_does_not_fit_is_refused(pictures):
    with pytest.raises(ValueError, match="2 columns"):
        draw_strip([StripRow("row", pictures)], ["a", "b"])


def test_a_caption_is_below_and_inside():
    picture = noise(0, width=300)
    page = add_caption(picture, "a text of many words " * 20)
    assert places(page, picture) == [(0, 0)]
    ink = np.argwhere((page[60:] < 128).any(axis=-1))
    assert len(ink) > 0
    assert ink[:, 1].max() < 299
    assert len(add_caption(picture, "a text of many words " * 40)) > len(page) > len(add_caption(picture, "short")) > 60
