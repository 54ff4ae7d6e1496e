"""The overlay against a naive per-pixel blend, and the promises about colours, labels and sizes."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ImageFont

from mssts.types import FrameResult
from mssts.visualize.label_layout import Rectangle, fit_text, place_plate
from mssts.visualize.overlay import FILL_ALPHA, OUTLINE_ALPHA, draw_overlay, outline_mask
from mssts.visualize.palette import BLACK, id_palette, track_color
from mssts.visualize.rank_map import painting_order, rank_map

NAMES = ["person", "horse", "a remarkably long name of a class that does not fit anywhere"]


def make_result(height, width, boxes, scores=None, track_ids=None, seed=0) -> FrameResult:
    """A noise frame with rectangular instances."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((len(boxes), height, width), bool)
    for mask, (left, top, right, bottom) in zip(masks, boxes, strict=True):
        mask[top:bottom, left:right] = True
    num = len(boxes)
    return FrameResult(
        index=0,
        time_s=0.0,
        image=rng.integers(0, 256, (height, width, 3), dtype=np.uint8),
        masks=masks,
        boxes=np.array(boxes, dtype=np.float32).reshape(num, 4),
        labels=np.arange(num) % len(NAMES),
        scores=np.linspace(0.9, 0.5, num) if scores is None else np.array(scores, dtype=np.float64),
        track_ids=np.arange(1, num + 1) if track_ids is None else np.array(track_ids),
    )


def naive_blend(result: FrameResult, outline_width: int) -> np.ndarray:
    """Pixel by pixel: the best instance there tints it, more strongly near its edge."""
    num, height, width = result.masks.shape
    top = np.full((height, width), -1)
    for y in range(height):
        for x in range(width):
            here = [k for k in range(num) if result.masks[k, y, x]]
            if here:
                top[y, x] = max(here, key=lambda k: result.scores[k])
    blended = result.image.astype(np.float64)
    for y in range(height):
        for x in range(width):
            if top[y, x] < 0:
                continue
            cross = [(y + d, x) for d in range(-outline_width, outline_width + 1)]
            cross += [(y, x + d) for d in range(-outline_width, outline_width + 1)]
            inside = [top[p] for p in cross if 0 <= p[0] < height and 0 <= p[1] < width]
            alpha = (OUTLINE_ALPHA if any(other != top[y, x] for other in inside) else FILL_ALPHA) / 255
            color = np.array(track_color(int(result.track_ids[top[y, x]])))
            blended[y, x] = alpha * color + (1 - alpha) * result.image[y, x]
    return blended


def test_blend_equals_naive_loop():
    # The frame is too small for labels, and the boxes lie on the masks' outlines, so the blend is all there is.
    result = make_result(20, 24, [(2, 3, 12, 15), (8, 6, 22, 18)], scores=[0.4, 0.8], track_ids=[7, 3])
    expected = naive_blend(result, 1)
    box = result.boxes[0].astype(int)
    for x in (box[0], box[2] - 1):
        expected[box[1] : box[3], x] = track_color(7)
    for y in (box[1], box[3] - 1):
        expected[y, box[0] : box[2]] = track_color(7)
    expected[6:18, 8] = expected[6:18, 21] = expected[6, 8:22] = expected[17, 8:22] = track_color(3)
    drawn = draw_overlay(result, NAMES)
    np.testing.assert_allclose(drawn.astype(float), expected, atol=1.01)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), width=st.integers(1, 3))
def test_outline_equals_naive_cross(seed, width):
    ranks = np.random.default_rng(seed).integers(0, 3, (9, 11)).astype(np.uint8).repeat(3, 0).repeat(3, 1)
    expected = np.zeros(ranks.shape, bool)
    for (y, x), rank in np.ndenumerate(ranks):
        column = ranks[max(y - width, 0) : y + width + 1, x]
        row = ranks[y, max(x - width, 0) : x + width + 1]
        expected[y, x] = rank > 0 and bool((column != rank).any() or (row != rank).any())
    np.testing.assert_array_equal(outline_mask(ranks, width), expected)


def test_more_instances_than_8_bits():
    num = 300
    masks = np.zeros((num, 20, 20), bool)
    masks.reshape(num, -1)[np.arange(num), np.arange(num)] = True
    scores = np.random.default_rng(0).random(num)
    order = painting_order(scores)
    ranks = rank_map(masks, order)
    assert sorted(scores[order]) == list(scores[order])
    for rank, instance_index in enumerate(order, start=1):
        assert np.flatnonzero(ranks == rank).tolist() == [instance_index]


def test_equal_scores_put_the_first_on_top():
    masks = np.ones((2, 2, 2), bool)
    order = painting_order(np.array([0.5, 0.5]))
    assert (order[rank_map(masks, order) - 1] == 0).all()


def test_no_instances_gives_a_copy():
    result = make_result(16, 16, [])
    drawn = draw_overlay(result, NAMES)
    np.testing.assert_array_equal(drawn, result.image)
    drawn[:] = 0
    assert result.image.any()


@pytest.mark.parametrize("size", [(1, 1), (2, 40), (16, 16), (30, 17), (48, 500)])
def test_small_frames_are_drawn_and_input_kept(size):
    height, width = size
    result = make_result(height, width, [(0, 0, width, height), (width // 2, height // 2, width, height)])
    before = result.image.copy()
    drawn = draw_overlay(result, NAMES)
    assert drawn.shape == before.shape
    assert drawn.dtype == np.uint8
    np.testing.assert_array_equal(result.image, before)
    assert (drawn != before).any()


def test_box_beyond_the_picture_and_empty_mask():
    result = make_result(120, 160, [(10, 10, 50, 50)])
    result = result._replace(boxes=np.array([[-30.5, -20, 900, 700]], np.float32), masks=np.zeros_like(result.masks))
    drawn = draw_overlay(result, NAMES)
    color = track_color(1)
    assert (drawn[:, 0] == color).all()
    assert (drawn[-1] == color).all()


def test_nothing_but_label_and_box_outside_the_mask():
    result = make_result(200, 300, [(100, 120, 180, 190)])
    changed = (draw_overlay(result, NAMES) != result.image).any(axis=-1)
    rows, columns = np.nonzero(changed)
    assert columns.min() == 100
    assert rows.max() == 189
    assert rows.min() >= 95, "the label sits right on the box"
    assert changed[95:120].any(), "there is a label"


def test_label_of_the_best_instance_is_on_top():
    # The picture is two plates high and one wide: the third label has no free place.
    result = make_result(29, 90, [(0, 0, 90, 29)] * 3, scores=[0.9, 0.8, 0.7])._replace(labels=np.zeros(3, int))
    drawn = draw_overlay(result, NAMES)
    counts = [int((drawn == track_color(track_id)).all(axis=-1).sum()) for track_id in (1, 2, 3)]
    assert counts[0] > 300
    assert counts[1] > 300
    assert counts[2] < 100


def test_unnamed_class_is_drawn():
    result = make_result(200, 300, [(100, 120, 180, 190)])._replace(labels=np.array([41]))
    assert (draw_overlay(result, NAMES) != draw_overlay(result._replace(labels=np.array([0])), NAMES)).any()


def test_colors_do_not_depend_on_the_process():
    code = "from mssts.visualize.palette import track_color as c; print([tuple(c(i)) for i in (40, 3, 1, 1000)])"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert other.strip() == str([tuple(track_color(i)) for i in (40, 3, 1, 1000)])


def test_colors_of_neighbours_differ():
    palette = id_palette(256).astype(float)
    assert (palette[0] == 0).all()
    for step in range(1, 14):
        distances = np.linalg.norm(palette[1:-step] - palette[1 + step :], axis=1)
        assert distances.min() > (90 if step < 3 else 30)
    first = palette[1:11]
    distance = np.linalg.norm(first[:, None] - first[None], axis=-1) + 1e3 * np.eye(10)
    assert distance.min() > 40
    assert len(np.unique(palette, axis=0)) == 256


def contrast(one, other) -> float:
    """The contrast ratio of WCAG 2.1, from its definition."""
    luminances = []
    for color in (one, other):
        channels = [c / 255 for c in color]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        luminances.append(float(np.dot(linear, [0.2126, 0.7152, 0.0722])))
    return (max(luminances) + 0.05) / (min(luminances) + 0.05)


def test_text_is_readable_on_every_color():
    assert min(contrast(track_color(i), BLACK) for i in range(1, 2000)) > 6


def test_long_names_are_cut_but_facts_are_not():
    font = ImageFont.load_default(14)
    for max_px in (70, 90, 120, 200):
        text = fit_text(NAMES[2], "0.87 #3", max_px, font)
        assert text.endswith("0.87 #3")
        assert font.getlength(text) <= max_px
    assert fit_text("horse", "0.87 #3", 500, font) == "horse 0.87 #3"
    assert fit_text("horse", "0.87 #3", 5, font) == ""
    assert fit_text("two\nlines", "0.87 #3", 500, font) == "two lines 0.87 #3"


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 79)), min_size=1, max_size=8), st.integers(1, 60))
def test_plates_stay_in_the_picture(corners, plate_width):
    plates: list[Rectangle] = []
    for x, y in corners:
        box = Rectangle(x, y, 100, 80)
        plate = place_plate(box, plate_width, 12, 100, 80, plates)
        assert 0 <= plate.left < plate.right <= 100
        assert 0 <= plate.top < plate.bottom <= 80
        assert (plate.right - plate.left, plate.bottom - plate.top) == (plate_width, 12)
        plates.append(plate)


def test_plates_of_the_same_box_do_not_collide():
    plates: list[Rectangle] = []
    covered = np.zeros((200, 300), int)
    for _ in range(6):
        plate = place_plate(Rectangle(20, 0, 220, 180), 90, 15, 300, 200, plates)
        covered[plate.top : plate.bottom, plate.left : plate.right] += 1
        plates.append(plate)
    assert covered.max() == 1
