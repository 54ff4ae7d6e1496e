"""The adversarial game: who gets which gradient, what the losses are, and that nothing breaks without instances."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mssts.config import ModelConfig, MsStsConfig, TemporalDecoderConfig
from mssts.loss.adversarial import (
    discriminator_loss,
    generator_loss,
    predicted_foreground,
    true_foreground,
)
from mssts.loss.config import AdversarialConfig
from mssts.loss.criterion import Criterion
from mssts.loss.discriminator import Discriminator, PatchLogits
from mssts.model.mask_head import predict_masks
from mssts.model.vis import VisModel
from mssts.types import Clip, Match, Prediction, Targets

CONFIG = ModelConfig(
    backbone="mobilenetv4_conv_small",
    hidden_dim=32,
    num_heads=2,
    feedforward_dim=64,
    num_encoder_layers=1,
    num_decoder_layers=2,
    num_queries=6,
    dropout=0.0,
    num_class_slots=3,
    ms_sts=MsStsConfig(num_heads=2, mlp_ratio=1.0, joint_levels=(2,)),
    temporal_decoder=TemporalDecoderConfig(num_heads=2),
)


def make_targets(count: int, frames: int, height: int, width: int) -> Targets:
    """Instances that are rectangles; the last is absent from the first frame."""
    masks = torch.zeros(count, frames, height, width, dtype=torch.bool)
    boxes = torch.zeros(count, frames, 4)
    for index in range(count):
        for frame in range(frames):
            if index == count - 1 and frame == 0 and count > 1:
                continue
            masks[index, frame, 8 : 8 + 16 * (index + 1), 16:48] = True
            boxes[index, frame] = torch.tensor([0.4, 0.3, 0.3, 0.2])
    return Targets(torch.arange(count) % 3, boxes, masks)


def predict(
    count: int, size: tuple[int, int] = (64, 96)
) -> tuple[VisModel, Clip, Prediction, list[Targets], list[Match]]:
    """A model's output for a clip with some instances, and its matches."""
    torch.manual_seed(0)
    model = VisModel(CONFIG).train()
    clip = Clip(torch.randn(1, 2, 3, *size))
    prediction = model(*clip)
    targets = [make_targets(count, 2, *size)]
    return model, clip, prediction, targets, Criterion()(prediction, targets, [size]).matches[-1]


def touched(module: nn.Module) -> set[str]:
    """The parts of a module that have a gradient other than 0."""
    grads = {name: parameter.grad for name, parameter in module.named_parameters()}
    return {name.split(".")[0] for name, grad in grads.items() if grad is not None and grad.abs().sum() > 0}


def test_models_term_reaches_encoder_and_backbone_only() -> None:
    model, clip, prediction, targets, matches = predict(2)
    judge = Discriminator(CONFIG.hidden_dim)
    true, predicted = true_foreground(targets, prediction), predicted_foreground(prediction, matches, [(64, 96)])
    predicted.requires_grad_()
    generator_loss(judge, clip, prediction, true, predicted, AdversarialConfig()).backward()
    assert predicted.grad is None
    parts = touched(model)
    assert parts >= {"backbone", "encoder", "input_projections"}
    assert not parts & {"decoder", "mask_feature_head", "controller"}
    assert all(parameter.grad is None for parameter in judge.parameters())
    assert all(parameter.requires_grad for parameter in judge.parameters())


def test_discriminators_loss_reaches_all_of_it_and_nothing_of_the_model() -> None:
    model, clip, prediction, targets, matches = predict(2)
    judge = Discriminator(CONFIG.hidden_dim)
    true, predicted = true_foreground(targets, prediction), predicted_foreground(prediction, matches, [(64, 96)])
    discriminator_loss(judge, clip, prediction, true, predicted).backward()
    assert touched(model) == set()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in judge.parameters())


class MaskMean(nn.Module):
    """A discriminator whose logit is the mean of the mask in each patch of stride 32."""

    def forward(
        self, frames: Tensor, memory: tuple[Tensor, ...], masks: Tensor, padding_mask: Tensor | None = None
    ) -> PatchLogits:
        logits = nn.functional.adaptive_avg_pool2d(masks, memory[2].shape[-2:])
        return PatchLogits(logits, torch.ones_like(logits[:, 0], dtype=torch.bool))


def test_losses_are_those_of_the_equation() -> None:
    _, clip, prediction, _, _ = predict(1)
    true, predicted = torch.full((1, 2, 8, 12), 0.75), torch.full((1, 2, 8, 12), 0.25)
    yes, no = 1 / (1 + math.exp(-0.75)), 1 / (1 + math.exp(-0.25))
    judge: Any = MaskMean()
    loss = discriminator_loss(judge, clip, prediction, true, predicted)
    assert float(loss) == pytest.approx(-math.log(yes) - math.log(1 - no), abs=1e-6)
    for weight in (0.0, 1.0, 3.0):
        loss = generator_loss(judge, clip, prediction, true, predicted, AdversarialConfig(l1_weight=weight))
        assert float(loss) == pytest.approx(-math.log(no) + weight * (yes - no), abs=1e-6)


def test_batch_is_the_mean_of_its_clips_however_they_are_padded() -> None:
    """Accumulation and ranks rely on it: a clip adds the same whatever it shares a batch with."""
    torch.manual_seed(0)
    judge = Discriminator(CONFIG.hidden_dim)
    for parameter in judge.parameters():
        if parameter.ndim == 1:
            nn.init.normal_(parameter, std=0.3)
    sizes = [(64, 96), (40, 60)]
    mask = torch.ones(2, 64, 96, dtype=torch.bool)
    for row, (height, width) in zip(mask, sizes, strict=True):
        row[:height, :width] = False
    frames = torch.randn(2, 2, 3, 64, 96)
    with torch.no_grad():
        prediction = VisModel(CONFIG).eval()(frames, mask)
    true, predicted = torch.rand(2, 2, 8, 12).round(), torch.rand(2, 2, 8, 12)
    game = (discriminator_loss, generator_loss)
    both = [loss(judge, Clip(frames, mask), prediction, true, predicted) for loss in game]
    alone = torch.zeros(2)
    for index, (height, width) in enumerate(sizes):
        rows, columns = -(-height // 8), -(-width // 8)
        levels = tuple(
            level[index : index + 1, ..., : -(-height // stride), : -(-width // stride)]
            for level, stride in zip(prediction.memory, (8, 16, 32), strict=False)
        )
        clip = Clip(frames[index : index + 1, ..., :height, :width])
        masks = (true[index : index + 1, :, :rows, :columns], predicted[index : index + 1, :, :rows, :columns])
        small = prediction._replace(memory=levels)
        for term, loss in enumerate(game):
            alone[term] += loss(judge, clip, small, *masks).detach() / 2
    assert torch.allclose(torch.stack(both).detach(), alone, atol=1e-5)


def test_true_foreground_is_the_union_on_the_grid_of_predicted_masks() -> None:
    _, _, prediction, _, _ = predict(1)
    masks = torch.rand(3, 2, 60, 90) > 0.6
    ours = true_foreground([Targets(torch.zeros(3, dtype=torch.long), torch.zeros(3, 2, 4), masks)], prediction)[0]
    for frame in range(2):
        for row in range(8):
            for column in range(12):
                pixels = [(8 * row + y, 8 * column + x) for y in (2, 6) for x in (2, 6)]
                hits = [y < 60 and x < 90 and bool(masks[:, frame, y, x].any()) for y, x in pixels]
                assert float(ours[frame, row, column]) == pytest.approx(sum(hits) / 4)


@pytest.mark.parametrize("image_size", [(64, 96), (60, 90), (33, 50)])
def test_predicted_foreground_is_the_most_probable_instance_inside_the_clip(image_size: tuple[int, int]) -> None:
    _, _, prediction, _, _ = predict(1)
    match = Match(torch.tensor([1, 4]), torch.tensor([0, 1]))
    kernels, points = prediction.mask_kernels[-1][:, match.query_index], prediction.reference_points[-1]
    logits = predict_masks(prediction.mask_features, kernels, points[:, :, match.query_index], [image_size])
    expected = torch.zeros(2, 8, 12)
    for frame in range(2):
        for row in range(16):
            for column in range(24):
                if 4 * row + 2 < image_size[0] and 4 * column + 2 < image_size[1]:
                    most = logits[0, :, frame, row, column].sigmoid().max()
                    expected[frame, row // 2, column // 2] += most.detach() / 4
    ours = predicted_foreground(prediction, [match], [image_size])
    assert torch.allclose(ours[0], expected, atol=1e-5)
    assert not ours.requires_grad


def test_a_perfect_prediction_looks_like_the_truth() -> None:
    """Also where the clip ends inside a position; otherwise the border alone would give predictions away."""
    _, _, prediction, _, _ = predict(1)
    masks = torch.ones(1, 2, 60, 90, dtype=torch.bool)
    certain = prediction.mask_kernels.clone()
    certain[..., -1] = 1e4
    true = true_foreground([Targets(torch.zeros(1, dtype=torch.long), torch.zeros(1, 2, 4), masks)], prediction)
    match = Match(torch.tensor([2]), torch.tensor([0]))
    predicted = predicted_foreground(prediction._replace(mask_kernels=certain), [match], [(60, 90)])
    assert torch.allclose(true, predicted)


@pytest.mark.parametrize("count", [0, 1, 8])
@pytest.mark.parametrize("is_mixed", [False, True])
def test_any_number_of_instances_and_bfloat16(count: int, is_mixed: bool) -> None:
    """None in the whole batch, one, and more than there are queries."""
    model, clip, prediction, targets, matches = predict(count)
    judge = Discriminator(CONFIG.hidden_dim)
    true, predicted = true_foreground(targets, prediction), predicted_foreground(prediction, matches, [(64, 96)])
    assert bool(true.any()) == bool(predicted.any()) == bool(count)
    with torch.autocast("cpu", torch.bfloat16, enabled=is_mixed):
        losses = [loss(judge, clip, prediction, true, predicted) for loss in (generator_loss, discriminator_loss)]
    assert all(loss.dtype == torch.float32 for loss in losses)
    sum(losses, torch.zeros(())).backward()
    gradients = [parameter.grad for parameter in (*judge.parameters(), *model.encoder.parameters())]
    assert all(gradient is None or gradient.isfinite().all() for gradient in gradients)
    assert touched(judge) == {"conv8", "conv16", "patch_convs"}


def test_clips_of_a_batch_may_have_different_numbers_of_instances() -> None:
    torch.manual_seed(0)
    frames = torch.randn(3, 2, 3, 64, 96)
    prediction = VisModel(CONFIG).eval()(frames)
    targets = [make_targets(count, 2, 64, 96) for count in (2, 0, 3)]
    matches = Criterion()(prediction, targets, [(64, 96)] * 3).matches[-1]
    predicted = predicted_foreground(prediction, matches, [(64, 96)] * 3)
    assert [bool(clip.any()) for clip in predicted] == [True, False, True]
    assert [bool(clip.any()) for clip in true_foreground(targets, prediction)] == [True, False, True]
