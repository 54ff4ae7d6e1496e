"""The matcher against a search over all assignments with a cost written out in loops."""

import itertools
import math

import pytest
import torch
from loss_cases import random_prediction, random_targets

from mssts.loss.config import MatchCosts
from mssts.loss.matcher import match, match_cost
from mssts.types import Targets


def _naive_giou(one: list[float], other: list[float]) -> float:
    (ax, ay, aw, ah), (bx, by, bw, bh) = one, other
    low_x, high_x = max(ax - aw / 2, bx - bw / 2), min(ax + aw / 2, bx + bw / 2)
    low_y, high_y = max(ay - ah / 2, by - bh / 2), min(ay + ah / 2, by + bh / 2)
    intersection = max(0.0, high_x - low_x) * max(0.0, high_y - low_y)
    union = aw * ah + bw * bh - intersection
    hull_w = max(ax + aw / 2, bx + bw / 2) - min(ax - aw / 2, bx - bw / 2)
    hull_h = max(ay + ah / 2, by + bh / 2) - min(ay - ah / 2, by - bh / 2)
    return intersection / union - (hull_w * hull_h - union) / (hull_w * hull_h)


def _naive_cost(logits: torch.Tensor, boxes: torch.Tensor, targets: Targets, query: int, target: int) -> float:
    p = 1 / (1 + math.exp(-float(logits[query, targets.labels[target]])))
    label = -0.25 * (1 - p) ** 2 * math.log(p + 1e-8) + 0.75 * p**2 * math.log(1 - p + 1e-8)
    squares, giou = 0.0, 0.0
    for frame in range(boxes.shape[0]):
        guess = boxes[frame, query].tolist()
        truth = [max(number, 1e-6) for number in targets.boxes_cxcywh[target, frame].tolist()]
        squares += sum((g - t) ** 2 for g, t in zip(guess, truth, strict=True))
        giou += _naive_giou(guess, truth) / boxes.shape[0]
    return 2 * label + 5 * math.sqrt(squares) - 2 * giou


def _absent_in_a_frame(targets: Targets) -> Targets:
    boxes, masks = targets.boxes_cxcywh.clone(), targets.masks.clone()
    boxes[0, 1], masks[0, 1] = 0, False
    return targets._replace(boxes_cxcywh=boxes, masks=masks)


def test_cost_of_every_pair() -> None:
    prediction = random_prediction(1)
    logits, boxes = prediction.class_logits[0, 0], prediction.boxes_cxcywh[0, 0]
    targets = _absent_in_a_frame(random_targets(3))
    cost = match_cost(logits, boxes, targets, MatchCosts())
    for query, target in itertools.product(range(6), range(3)):
        assert float(cost[query, target]) == pytest.approx(_naive_cost(logits, boxes, targets, query, target), rel=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_no_assignment_is_cheaper(seed: int) -> None:
    prediction, targets = random_prediction(1, seed=seed), random_targets(3, seed=seed + 50)
    logits, boxes = prediction.class_logits[0], prediction.boxes_cxcywh[0]
    found = match(logits, boxes, [targets])[0]
    cost = [[_naive_cost(logits[0], boxes[0], targets, query, k) for k in range(3)] for query in range(6)]
    best = min(itertools.permutations(range(6), 3), key=lambda queries: sum(cost[q][k] for k, q in enumerate(queries)))
    assert {int(k): int(q) for q, k in zip(*found, strict=True)} == dict(enumerate(best))
    assert found.query_index.tolist() == sorted(found.query_index.tolist())


def test_each_clip_is_matched_by_itself() -> None:
    prediction = random_prediction(3)
    logits, boxes = prediction.class_logits[0], prediction.boxes_cxcywh[0]
    targets = [random_targets(2), random_targets(0), random_targets(4, seed=9)]
    together = match(logits, boxes, targets)
    for clip, found in enumerate(together):
        alone = match(logits[clip : clip + 1], boxes[clip : clip + 1], targets[clip : clip + 1])[0]
        assert torch.equal(found.query_index, alone.query_index)
        assert torch.equal(found.target_index, alone.target_index)
    assert [len(found.query_index) for found in together] == [2, 0, 4]


def test_more_instances_than_queries() -> None:
    prediction, targets = random_prediction(1, num_queries=2), random_targets(4)
    found = match(prediction.class_logits[0], prediction.boxes_cxcywh[0], [targets])[0]
    assert found.query_index.tolist() == [0, 1]
    assert len(set(found.target_index.tolist())) == 2


def test_outputs_that_are_not_numbers_still_match() -> None:
    prediction = random_prediction(1)
    logits = torch.full_like(prediction.class_logits[0], math.nan)
    found = match(logits, prediction.boxes_cxcywh[0], [random_targets(3)])[0]
    assert sorted(found.target_index.tolist()) == [0, 1, 2]
