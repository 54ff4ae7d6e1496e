"""The discriminator by itself: sizes, padding, masks judged one by one, and that it learns."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mssts.loss.config import AdversarialConfig
from mssts.loss.discriminator import Discriminator

CHANNELS = 16
Inputs = tuple[Tensor, tuple[Tensor, Tensor, Tensor], Tensor]


def sizes_of(height: int, width: int) -> list[tuple[int, int]]:
    return [(-(-height // stride), -(-width // stride)) for stride in (8, 16, 32)]


def random_inputs(
    height: int, width: int, num_frames: int = 2, num_masks: int = 1, seed: int = 0, channels: int = CHANNELS
) -> Inputs:
    random = torch.Generator().manual_seed(seed)
    fine, middle, coarse = (
        torch.randn(num_frames, channels, *size, generator=random).requires_grad_() for size in sizes_of(height, width)
    )
    frames = torch.randn(num_frames, 3, height, width, generator=random)
    return frames, (fine, middle, coarse), torch.rand(num_frames, num_masks, *fine.shape[-2:], generator=random)


def make_discriminator() -> Discriminator:
    """With biases other than 0, as after some training: without them padding would stay 0 by itself."""
    torch.manual_seed(0)
    discriminator = Discriminator(CHANNELS)
    for parameter in discriminator.parameters():
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter, std=0.3)
    return discriminator


def pad(x: Tensor, size: tuple[int, int], value: float) -> Tensor:
    return F.pad(x, (0, size[1] - x.shape[-1], 0, size[0] - x.shape[-2]), value=value)


@pytest.mark.parametrize("size", [(8, 8), (64, 64), (75, 101), (360, 640), (33, 300)])
def test_a_patch_per_cell_of_stride_32(size: tuple[int, int]) -> None:
    judged = make_discriminator()(*random_inputs(*size))
    assert judged.logits.shape == (2, 1, *sizes_of(*size)[-1])
    assert judged.logits.isfinite().all()
    assert judged.valid.all()


def test_every_weight_and_every_level_gets_a_gradient() -> None:
    discriminator, (frames, memory, masks) = make_discriminator(), random_inputs(75, 101)
    discriminator(frames, memory, masks).logits.square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in discriminator.parameters())
    assert all(level.grad is not None and level.grad.any() for level in memory)


def test_first_convolution_is_the_one_over_the_concatenation() -> None:
    discriminator, (frames, memory, masks) = make_discriminator(), random_inputs(64, 96)
    features = torch.cat((memory[0], F.avg_pool2d(frames, 8)), dim=1)
    mixed = discriminator._mix_inputs(features, masks)
    assert torch.allclose(mixed[:, 0], discriminator.conv8(torch.cat((features, masks), dim=1)), atol=1e-5)


def test_masks_and_frames_are_judged_one_by_one() -> None:
    discriminator, (frames, memory, masks) = make_discriminator(), random_inputs(64, 96, 3, 2)
    together = discriminator(frames, memory, masks).logits
    for frame in range(3):
        one = slice(frame, frame + 1)
        for index in range(2):
            fine, middle, coarse = (level[one] for level in memory)
            alone = discriminator(frames[one], (fine, middle, coarse), masks[one, index : index + 1]).logits
            assert torch.allclose(together[one, index], alone[:, 0], atol=1e-5)


@pytest.mark.parametrize("size", [(72, 104), (75, 101), (96, 96)])
@pytest.mark.parametrize("padded_size", [(96, 128), (160, 192)])
@pytest.mark.parametrize("content", [0.0, 5.0, float("nan")])
def test_padding_changes_nothing(size: tuple[int, int], padded_size: tuple[int, int], content: float) -> None:
    discriminator, (frames, memory, masks) = make_discriminator(), random_inputs(*size, num_masks=2)
    alone = discriminator(frames, memory, masks)
    padding_mask = torch.ones(2, *padded_size, dtype=torch.bool)
    padding_mask[:, : size[0], : size[1]] = False
    fine, middle, coarse = (
        pad(level, larger, content) for level, larger in zip(memory, sizes_of(*padded_size), strict=True)
    )
    larger_masks = pad(masks, sizes_of(*padded_size)[0], content)
    padded = discriminator(pad(frames, padded_size, content), (fine, middle, coarse), larger_masks, padding_mask)
    rows, columns = alone.logits.shape[-2:]
    assert torch.allclose(padded.logits[..., :rows, :columns], alone.logits, atol=1e-5)
    assert padded.valid[:, :rows, :columns].all()
    assert padded.valid.sum() == alone.valid.sum()


def test_learns_at_the_configured_rate_to_tell_masks_apart() -> None:
    """Features are noise and new at every step, so that only the masks can tell: true ones here are whole blocks."""
    torch.manual_seed(0)
    discriminator, config = Discriminator(64), AdversarialConfig()
    optimizer = torch.optim.AdamW(discriminator.parameters(), lr=config.learning_rate, betas=config.betas)
    answers = []
    for step in range(60):
        frames, memory, _ = random_inputs(64, 96, num_frames=8, seed=step, channels=64)
        true = (torch.rand(8, 1, 2, 3) > 0.5).float().repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
        noise = (torch.rand(8, 1, 8, 12) > 0.5).float()
        logits = discriminator(frames, memory, torch.cat((true, noise), dim=1)).logits
        loss = F.softplus(-logits[:, 0]).mean() + F.softplus(logits[:, 1]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        answers.append(((logits[:, 0] > 0).float().mean() + (logits[:, 1] < 0).float().mean()).item() / 2)
    assert sum(answers[:5]) / 5 < 0.65
    assert sum(answers[-20:]) / 20 > 0.8
