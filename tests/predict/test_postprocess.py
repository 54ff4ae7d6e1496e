"""Which queries are kept, and where their masks lie in the source's frames."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mssts.predict.postprocess import confident_queries, distinct, full_size_masks
from mssts.predict.preprocess import network_size


def naive_full_size(logits: np.ndarray, input_size: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """Look up each output pixel's centre in the stride-4 map, bilinearly."""
    count, rows, columns = logits.shape
    out = np.zeros((count, *size))
    for y in range(size[0]):
        for x in range(size[1]):
            v = np.clip((y + 0.5) * input_size[0] / size[0] / 4 - 0.5, 0, rows - 1)
            u = np.clip((x + 0.5) * input_size[1] / size[1] / 4 - 0.5, 0, columns - 1)
            top, left = int(v), int(u)
            bottom, right = min(top + 1, rows - 1), min(left + 1, columns - 1)
            a, b = v - top, u - left
            out[:, y, x] = (1 - a) * ((1 - b) * logits[:, top, left] + b * logits[:, top, right])
            out[:, y, x] += a * ((1 - b) * logits[:, bottom, left] + b * logits[:, bottom, right])
    return out


@pytest.mark.parametrize(("input_size", "size"), [((64, 96), (64, 96)), ((40, 72), (80, 144)), ((36, 52), (72, 104))])
def test_masks_lie_where_the_logits_are(input_size, size):
    # Sides that are no multiple of 8 have a rim in the logits that lies outside the frame.
    rows, columns = (2 * -(-side // 8) for side in input_size)
    logits = torch.randn(2, rows, columns, generator=torch.Generator().manual_seed(0))
    expected = naive_full_size(logits.double().numpy(), input_size, size)
    found = full_size_masks(logits, input_size, size).numpy()
    unsure = np.abs(expected) < 1e-4
    np.testing.assert_array_equal(found[~unsure], (expected > 0)[~unsure])


@settings(deadline=None)
@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=12), st.floats(0, 1, width=32), st.integers(1, 5))
def test_confident_queries_are_the_best_ones(best, threshold, limit):
    scores = torch.tensor(best)[:, None] * torch.tensor([0.5, 1.0])
    chosen = confident_queries(scores, threshold, limit).tolist()
    ranked = sorted(range(len(best)), key=lambda query: -float(scores[query, 1]))[:limit]
    assert chosen == [query for query in ranked if float(scores[query, 1]) >= threshold]


def test_duplicates_and_empty_masks_are_dropped():
    square = torch.full((2, 8, 8), -1.0)
    square[:, 2:6, 2:6] = 1.0
    shifted = torch.roll(square, 1, dims=2)  # IoU 24 / 40
    empty = torch.full_like(square, -1.0)
    assert distinct(torch.stack([square, square, shifted, empty]), 0.75).tolist() == [0, 2]
    assert distinct(torch.stack([square, square, shifted, empty]), 0.5).tolist() == [0]


@settings(deadline=None)
@given(
    height=st.integers(16, 300), width=st.integers(16, 300), short_side=st.integers(48, 90), share=st.floats(0.1, 0.9)
)
def test_a_straight_edge_keeps_its_place_at_any_size(height, width, short_side, share):
    """Logits that fall along one axis have their zero at a known column or row of the frame."""
    input_size = network_size(height, width, short_side)
    for axis, side in enumerate((height, width)):
        centres = 4 * np.arange(2 * -(-input_size[axis] // 8)) + 2.0
        slope = torch.tensor(share * input_size[axis] - centres, dtype=torch.float32)
        shape = [2 * -(-size // 8) for size in input_size]
        logits = (slope[:, None] if axis == 0 else slope[None]).expand(1, *shape)
        line = full_size_masks(logits, input_size, (height, width))[0].any(dim=1 - axis)
        assert len(line) == side
        edge = int(line.sum())
        assert line[:edge].all()
        # Half a pixel is the rounding of the edge itself, the other half that of the size it is resized to.
        assert abs(edge - share * side) <= 1.0 + 1e-3


def naive_distinct(masks: list[set[int]], max_iou: float) -> list[int]:
    """Sets of pixels, one by one, best first."""
    kept: list[int] = []
    for index, mask in enumerate(masks):
        overlaps = [len(mask & masks[better]) / len(mask | masks[better]) for better in kept if mask]
        if mask and not any(overlap > max_iou for overlap in overlaps):
            kept.append(index)
    return kept


@settings(deadline=None)
@given(st.lists(st.sets(st.integers(0, 11)), max_size=7), st.sampled_from([0.2, 0.45, 0.7]))
def test_distinct_equals_a_naive_choice(masks, max_iou):
    logits = torch.full((len(masks), 12), -1.0)
    for row, mask in zip(logits, masks, strict=True):
        row[list(mask)] = 1.0
    assert distinct(logits.reshape(-1, 2, 2, 3), max_iou).tolist() == naive_distinct(masks, max_iou)
