"""Box arithmetic against plain Python on whole pixels."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mssts.loss.boxes import cxcywh_to_xyxy, generalized_iou, xyxy_px_to_cxcywh

SIDES = st.lists(st.integers(0, 12), min_size=2, max_size=2, unique=True).map(sorted)
CORNERS = st.tuples(SIDES, SIDES).map(lambda sides: (sides[0][0], sides[1][0], sides[0][1], sides[1][1]))


def _pixels(box: tuple[int, ...]) -> set[tuple[int, int]]:
    return set(itertools.product(range(box[0], box[2]), range(box[1], box[3])))


@given(CORNERS, CORNERS)
def test_generalized_iou_counts_pixels(first: tuple[int, ...], second: tuple[int, ...]) -> None:
    one, other = _pixels(first), _pixels(second)
    hull = (min(first[0], second[0]), min(first[1], second[1]), max(first[2], second[2]), max(first[3], second[3]))
    enclosing = len(_pixels(hull))
    expected = len(one & other) / len(one | other) - (enclosing - len(one | other)) / enclosing
    ours = generalized_iou(torch.tensor(first, dtype=torch.float), torch.tensor(second, dtype=torch.float))
    assert float(ours) == pytest.approx(expected, abs=1e-6)


def test_generalized_iou_of_empty_boxes_has_a_finite_gradient() -> None:
    boxes = torch.zeros(3, 4, requires_grad=True)
    generalized_iou(boxes, torch.zeros(3, 4)).sum().backward()
    assert boxes.grad is not None
    assert boxes.grad.isfinite().all()


def test_pixels_become_centre_and_size_of_the_frame() -> None:
    box = xyxy_px_to_cxcywh(torch.tensor([[20.0, 10.0, 60.0, 30.0]]), height=40, width=80)
    assert torch.equal(box, torch.tensor([[0.5, 0.5, 0.5, 0.5]]))


@given(CORNERS)
def test_conversions_undo_each_other(box: tuple[int, ...]) -> None:
    corners = torch.tensor(box, dtype=torch.float)
    back = cxcywh_to_xyxy(xyxy_px_to_cxcywh(corners, 12, 24)) * torch.tensor([24.0, 12.0, 24.0, 12.0])
    assert torch.allclose(back, corners, atol=1e-5)
