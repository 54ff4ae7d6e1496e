"""The criterion against loops over layers, clips, instances and pixels, and at its edges."""

import math
from collections import defaultdict
from dataclasses import replace

import pytest
import torch
from loss_cases import random_prediction, random_targets

from mssts.config import preset
from mssts.loss.boxes import cxcywh_to_xyxy, generalized_iou
from mssts.loss.config import CriterionConfig
from mssts.loss.criterion import Criterion, CriterionOutput, count_instances
from mssts.loss.matcher import match
from mssts.model.mask_head import predict_masks
from mssts.model.vis import VisModel
from mssts.types import Prediction, Targets

SIZES = [(32, 40), (24, 64), (20, 30)]


def _batch() -> tuple[Prediction, list[Targets]]:
    targets = [random_targets(count, *size, seed=count) for count, size in zip((2, 3, 0), SIZES, strict=True)]
    targets[1].boxes_cxcywh[0, 2], targets[1].masks[0, 2] = 0, False
    return random_prediction(3), targets


def _focal(logit: float, wanted: float) -> float:
    p = 1 / (1 + math.exp(-logit))
    return -0.25 * (1 - p) ** 2 * math.log(p) if wanted else -0.75 * p**2 * math.log(1 - p)


def _naive_masks(prediction: Prediction, layer: int, clip: int, query: int) -> torch.Tensor:
    kernel = prediction.mask_kernels[layer, clip, query][None, None]
    point = prediction.reference_points[layer, clip, :, query][None, :, None]
    return predict_masks(prediction.mask_features[clip][None], kernel, point, [SIZES[clip]])[0, 0]


def _naive_losses(prediction: Prediction, targets: list[Targets]) -> dict[str, float]:
    losses: dict[str, float] = defaultdict(float)
    count = sum(len(clip.labels) for clip in targets)
    num_layers, _, num_queries, num_slots = prediction.class_logits.shape
    for layer in range(num_layers):
        suffix = "" if layer == num_layers - 1 else f"_{layer}"
        found = match(prediction.class_logits[layer], prediction.boxes_cxcywh[layer], targets)
        for clip, truth in enumerate(targets):
            owner = dict(zip(found[clip].query_index.tolist(), found[clip].target_index.tolist(), strict=True))
            for query in range(num_queries):
                for slot in range(num_slots):
                    wanted = float(query in owner and truth.labels[owner[query]] == slot)
                    losses[f"loss_ce{suffix}"] += _focal(
                        float(prediction.class_logits[layer, clip, query, slot]), wanted
                    )
            for query, target in owner.items():
                boxes = prediction.boxes_cxcywh[layer, clip, :, query]
                true_boxes = truth.boxes_cxcywh[target].clamp(min=1e-6)
                for box, true_box in zip(boxes, true_boxes, strict=True):
                    losses[f"loss_bbox{suffix}"] += float((box - true_box).abs().sum()) / len(boxes)
                    giou = generalized_iou(cxcywh_to_xyxy(box), cxcywh_to_xyxy(true_box))
                    losses[f"loss_giou{suffix}"] += (1 - float(giou)) / len(boxes)
                logits = _naive_masks(prediction, layer, clip, query)
                wanted_masks = torch.zeros_like(logits)
                sampled = truth.masks[target, :, 2::4, 2::4]
                wanted_masks[:, : sampled.shape[1], : sampled.shape[2]] = sampled
                pixels = zip(logits.flatten().tolist(), wanted_masks.flatten().tolist(), strict=True)
                losses[f"loss_mask{suffix}"] += sum(_focal(*pixel) for pixel in pixels) / logits.numel()
                p = logits.sigmoid()
                dice = (2 * float((p * wanted_masks).sum()) + 1) / (float(p.sum() + wanted_masks.sum()) + 1)
                losses[f"loss_dice{suffix}"] += 1 - dice
    return {name: value / count for name, value in losses.items()}


def test_every_loss_against_loops() -> None:
    prediction, targets = _batch()
    output = Criterion()(prediction, targets, SIZES)
    ours = {name: float(value) for name, value in output.losses.named().items()}
    assert ours == pytest.approx(_naive_losses(prediction, targets), rel=1e-4)
    assert [[len(found.query_index) for found in layer] for layer in output.matches] == [[2, 3, 0]] * 2


def test_total_weighs_each_term_in_every_layer() -> None:
    prediction, targets = _batch()
    weights = {"ce": 1.0, "bbox": 10.0, "giou": 100.0, "mask": 1000.0, "dice": 10000.0}
    config = CriterionConfig(ce=1.0, bbox=10.0, giou=100.0, mask=1000.0, dice=10000.0)
    output = Criterion(config)(prediction, targets, SIZES)
    expected = sum(weights[name.split("_")[1]] * float(value) for name, value in output.losses.named().items())
    assert float(output.total) == pytest.approx(expected, rel=1e-5)


def test_perfect_prediction_costs_next_to_nothing() -> None:
    prediction, targets = random_prediction(1, num_layers=1, num_queries=3), random_targets(3, 32, 64)
    confident = torch.full_like(prediction.class_logits, -30.0)
    confident[0, 0, torch.arange(3), targets.labels] = 30.0
    prediction = prediction._replace(
        class_logits=confident, boxes_cxcywh=targets.boxes_cxcywh.transpose(0, 1)[None, None]
    )
    losses = Criterion()(prediction, [targets], [(32, 64)]).losses
    assert [float(losses.ce), float(losses.bbox), float(losses.giou)] == pytest.approx([0, 0, 0], abs=1e-5)


def _tiny_output(targets: list[Targets]) -> tuple[CriterionOutput, VisModel]:
    torch.manual_seed(0)
    model = VisModel(replace(preset("tiny"), num_queries=5, num_class_slots=5)).train()
    prediction = model(torch.randn(len(targets), 3, 3, 64, 64))
    return Criterion()(prediction, targets, [(64, 64)] * len(targets)), model


@pytest.mark.parametrize("counts", [(0, 0), (0, 2)])
def test_every_parameter_gets_a_finite_gradient(counts: tuple[int, int]) -> None:
    output, model = _tiny_output([random_targets(count, 64, 64) for count in counts])
    output.total.backward()
    missing = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert missing == []
    assert output.total.isfinite()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    kernel_gradient = dict(model.named_parameters())["controller.layers.2.weight"].grad
    assert kernel_gradient is not None
    assert bool(kernel_gradient.any()) == any(counts)


def test_each_layer_supervises_itself() -> None:
    prediction, targets = _batch()
    changed = prediction.class_logits.clone()
    changed[0] += torch.randn_like(changed[0])
    before = Criterion()(prediction, targets, SIZES).losses.named()
    after = Criterion()(prediction._replace(class_logits=changed), targets, SIZES).losses.named()
    assert all(torch.equal(before[name], after[name]) for name in before if not name.endswith("_0"))
    assert before["loss_ce_0"] != after["loss_ce_0"]


@pytest.mark.parametrize(("here", "elsewhere", "expected"), [(1, 5, 3.0), (0, 0, 0.5), (0, 3, 1.5)])
def test_ranks_share_one_count(monkeypatch: pytest.MonkeyPatch, here: int, elsewhere: int, expected: float) -> None:
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda count: count.add_(elsewhere))
    assert float(count_instances([random_targets(here)], torch.device("cpu"))) == expected
