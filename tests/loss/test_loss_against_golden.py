"""Losses and matches against numbers that the official code printed."""

import os
from pathlib import Path

import pytest
import torch

from mssts.loss.criterion import Criterion, CriterionOutput
from mssts.loss.matcher import match
from mssts.loss.terms import mask_dice_loss, mask_focal_loss
from mssts.tools.convert_seqformer import convert
from mssts.tools.golden import GoldenCase, case_targets, pad_batch, read_case
from mssts.types import Match

GOLDEN = Path(os.environ.get("MSSTS_GOLDEN", Path(__file__).parents[2].parent / "shared" / "golden"))
TOLERANCE = 1e-4


@pytest.fixture(scope="module", params=["seqformer_small", "seqformer_padded_batch"])
def golden(request: pytest.FixtureRequest) -> GoldenCase:
    folder = GOLDEN / request.param
    if not folder.is_dir():
        pytest.skip(f"no golden numbers at {folder}; set MSSTS_GOLDEN to the folder that holds them")
    return read_case(folder)


@pytest.fixture(scope="module")
def output(golden: GoldenCase) -> CriterionOutput:
    model = convert({name: torch.from_numpy(value) for name, value in golden.weights.items()}).model
    frames, padding_mask = pad_batch(golden.clips)
    with torch.no_grad():
        prediction = model(frames, padding_mask if padding_mask.any() else None)
        return Criterion()(prediction, case_targets(golden), golden.sizes)


def _pairs(matches: list[Match]) -> list[list[list[int]]]:
    return [[found.query_index.tolist(), found.target_index.tolist()] for found in matches]


def test_official_last_layer_outputs_are_matched_alike(golden: GoldenCase) -> None:
    logits = torch.from_numpy(golden.expected["train_pred_logits"])
    boxes = torch.from_numpy(golden.expected["train_pred_boxes"])
    assert _pairs(match(logits, boxes, case_targets(golden))) == golden.case["matches_per_layer"][-1]


def test_official_last_layer_masks_cost_alike(golden: GoldenCase) -> None:
    focal, dice, count = 0.0, 0.0, 0
    for index, (clip, (_, order)) in enumerate(
        zip(case_targets(golden), golden.case["matches_per_layer"][-1], strict=True)
    ):
        masks = torch.from_numpy(golden.expected[f"train_matched_masks_{index}"])[0]
        height, width = masks.shape[-2:]
        truth = torch.zeros(len(order), masks.shape[1], 4 * height, 4 * width)
        truth[..., : clip.masks.shape[-2], : clip.masks.shape[-1]] = clip.masks[order].float()
        truth = truth[..., 2::4, 2::4]
        focal, dice = focal + mask_focal_loss(masks, truth).sum(), dice + mask_dice_loss(masks, truth).sum()
        count += len(order)
    assert float(focal / count) == pytest.approx(golden.case["losses"]["loss_mask"], rel=TOLERANCE)
    assert float(dice / count) == pytest.approx(golden.case["losses"]["loss_dice"], rel=TOLERANCE)


def test_every_layer_matches_alike(golden: GoldenCase, output: CriterionOutput) -> None:
    assert [_pairs(layer) for layer in output.matches] == golden.case["matches_per_layer"]


def test_every_loss_of_every_layer(golden: GoldenCase, output: CriterionOutput) -> None:
    expected = {name: value for name, value in golden.case["losses"].items() if name.startswith("loss_")}
    ours = {name: float(value) for name, value in output.losses.named().items()}
    assert ours == pytest.approx(expected, rel=TOLERANCE)


def test_weighted_total(golden: GoldenCase, output: CriterionOutput) -> None:
    assert float(output.total) == pytest.approx(golden.case["weighted_total"], rel=TOLERANCE)
