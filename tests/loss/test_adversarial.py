"""The adversarial game: who gets which gradient, what the losses are, and that nothing breaks without instances."""

import math

import pytest
import torch
from torch import Tensor, nn

from mssts.config import ModelConfig, MsStsConfig, TemporalDecoderConfig
from mssts.loss.adversarial import (
    AdversarialConfig,
    discriminator_loss,
    generator_loss,
    predicted_foreground,
    true_foreground,
)
from mssts.loss.criterion import Criterion
from mssts.loss.discriminator import Discriminator
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
    real, fake = true_foreground(targets, prediction), predicted_foreground(prediction, matches, [(64, 96)])
    generator_loss(judge, clip, prediction, real, fake, AdversarialConfig()).backward()
    parts = touched(model)
    assert parts >= {"backbone", "encoder", "input_projections"}
    assert not parts & {"decoder", "mask_feature_head", "controller"}
    assert all(parameter.grad is None for parameter in judge.parameters())
    assert all(parameter.requires_grad for parameter in judge.parameters())


def test_discriminators_loss_reaches_all_of_it_and_nothing_of_the_model() -> None:
    model, clip, prediction, targets, matches = predict(2)
    judge = Discriminator(CONFIG.hidden_dim)
    real, fake = true_foreground(targets, prediction), predicted_foreground(prediction, matches, [(64, 96)])
    discriminator_loss(judge, clip, prediction, real, fake).backward()
    assert touched(model) == set()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in judge.parameters())


class MaskSum(nn.Module):
    """A discriminator whose logit is the mean of the mask, on a grid of stride 32."""

    def forward(self, frames: Tensor, memory: tuple[Tensor, ...], mask: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool2d(mask, memory[2].shape[-2:])


def test_losses_are_those_of_the_equation() -> None:
    _, clip, prediction, _, _ = predict(1)
    real, fake = torch.full((1, 2, 8, 12), 0.75), torch.full((1, 2, 8, 12), 0.25)
    judge = MaskSum()
    yes, no = math.log1p(math.exp(-0.75)), math.log1p(math.exp(0.25))
    assert float(discriminator_loss(judge, clip, prediction, real, fake)) == pytest.approx((yes + no) / 2, abs=1e-6)
    fooled = math.log1p(math.exp(-0.25))
    for weight in (1.0, 3.0):
        loss = generator_loss(judge, clip, prediction, real, fake, AdversarialConfig(l1_weight=weight))
        assert float(loss) == pytest.approx(fooled + weight * 0.5, abs=1e-6)


def test_true_foreground_is_the_union_by_cells() -> None:
    _, _, prediction, _, _ = predict(1)
    masks = torch.rand(3, 2, 60, 90) > 0.6
    targets = Targets(torch.zeros(3, dtype=torch.long), torch.zeros(3, 2, 4), masks)
    ours = true_foreground([targets], prediction)[0]
    for frame in range(2):
        for row in range(8):
            for column in range(12):
                block = masks[:, frame, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8].any(dim=0)
                assert float(ours[frame, row, column]) == pytest.approx(float(block.sum()) / 64)


def test_predicted_foreground_is_the_most_likely_instance() -> None:
    _, _, prediction, _, _ = predict(1)
    alone = [
        predicted_foreground(prediction, [Match(torch.tensor([query]), torch.tensor([0]))], [(64, 96)])
        for query in (1, 4)
    ]
    both = predicted_foreground(prediction, [Match(torch.tensor([1, 4]), torch.tensor([0, 1]))], [(64, 96)])
    assert (both >= torch.maximum(*alone) - 1e-6).all()
    assert (both <= 1).all()
    assert not both.requires_grad


def test_no_instance_in_the_whole_batch() -> None:
    _, clip, prediction, targets, matches = predict(0)
    judge = Discriminator(CONFIG.hidden_dim)
    real, fake = true_foreground(targets, prediction), predicted_foreground(prediction, matches, [(64, 96)])
    assert not real.any()
    assert not fake.any()
    total = generator_loss(judge, clip, prediction, real, fake, AdversarialConfig()) + discriminator_loss(
        judge, clip, prediction, real, fake
    )
    total.backward()
    assert total.isfinite()


def test_content_of_the_padding_does_not_matter() -> None:
    torch.manual_seed(0)
    model = VisModel(CONFIG).eval()
    mask = torch.zeros(1, 64, 128, dtype=torch.bool)
    mask[:, :, 96:] = True
    frames = torch.randn(1, 2, 3, 64, 128).masked_fill(mask[:, None, None], 0.0)
    clip = Clip(frames, mask)
    prediction = model(*clip)
    judge = Discriminator(CONFIG.hidden_dim)
    targets = [make_targets(1, 2, 64, 96)]
    real = true_foreground(targets, prediction)
    assert not real[..., 12:].any()
    losses = []
    for noise in (0.0, 1.0):
        fake = torch.full_like(real, 0.3)
        fake[..., 12:] = noise
        losses.append(float(discriminator_loss(judge, clip, prediction, real, fake)))
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)


@pytest.mark.parametrize("size", [(64, 96), (72, 104)])
def test_discriminator_learns_to_tell_masks_apart(size: tuple[int, int]) -> None:
    _, clip, prediction, targets, matches = predict(2, size)
    real, fake = true_foreground(targets, prediction), predicted_foreground(prediction, matches, [size])
    judge = Discriminator(CONFIG.hidden_dim)
    optimizer = torch.optim.AdamW(judge.parameters(), lr=2e-3)
    history = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = discriminator_loss(judge, clip, prediction, real, fake)
        loss.backward()
        optimizer.step()
        history.append(float(loss))
    assert history[0] == pytest.approx(math.log(2), abs=0.15)
    assert history[-1] < 0.3
