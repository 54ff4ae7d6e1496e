"""The heat map against a blend pixel by pixel."""

import numpy as np
import pytest

from mssts.visualize.heat_map import COLD_OPACITY, HOT_OPACITY, draw_heat_map, heat_colors


def luminance(color: np.ndarray) -> float:
    return float(color @ [0.299, 0.587, 0.114])


def test_hotter_is_brighter():
    colors = heat_colors(np.linspace(0, 1, 101, dtype=np.float32))
    steps = np.diff([luminance(color) for color in colors])
    assert (steps > 0).all()


def test_blend_equals_loops_where_map_and_picture_have_one_size():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (6, 9, 3), dtype=np.uint8)
    heat = rng.random((6, 9), dtype=np.float32)
    drawn = draw_heat_map(image, heat)
    for y, x in np.ndindex(6, 9):
        opacity = COLD_OPACITY + (HOT_OPACITY - COLD_OPACITY) * heat[y, x]
        grey = luminance(image[y, x].astype(float))
        expected = opacity * heat_colors(heat[y, x : x + 1])[0] + (1 - opacity) * grey
        assert drawn[y, x] == pytest.approx(expected, abs=1.1)


def test_a_hot_cell_lies_over_its_part_of_the_picture():
    heat = np.zeros((4, 8), dtype=np.float32)
    heat[1, 6] = 1.0
    drawn = draw_heat_map(np.full((40, 160, 3), 90, np.uint8), heat)
    bright = drawn.astype(float) @ [0.299, 0.587, 0.114]
    y, x = np.unravel_index(bright.argmax(), bright.shape)
    assert 10 <= y < 20
    assert 120 <= x < 140
    assert (drawn[:, :80] == drawn[0, 0]).all()
