"""The adversarial loss for the separation of foreground from background (paper: section 3.4, Eq. 6).

    encoder memory E, frames x ──► D ◄── true mask (real) or predicted mask (fake)

The discriminator D learns to tell the two masks apart. The encoder, the generator of the game, learns features with
which it cannot. The predicted mask enters as a constant: the model's term reaches encoder and backbone through E, and
leaves decoder and mask head to the criterion.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mssts.loss.criterion import matched_masks
from mssts.model.pyramid import resize_mask
from mssts.types import Clip, Match, Prediction, Targets

NUM_SCALES = 3
# Of the masks that the discriminator sees, in pixels.
STRIDE = 8


@dataclass(frozen=True)
class AdversarialConfig:
    """The game.

    Attributes:
        enabled: Whether it is played; the discriminator is part of no file that is made for inference.
        weight: Of the model's term in its total loss. Paper: leaves it open.
        l1_weight: Lambda_1 of Eq. 6: weighs the distance between D's two outputs.
        learning_rate: Of the discriminator's AdamW.
        betas: Of the discriminator's AdamW, as in pix2pix.
    """

    enabled: bool = True
    weight: float = 0.1
    l1_weight: float = 1.0
    learning_rate: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)


def true_foreground(targets: Sequence[Targets], prediction: Prediction) -> Float[Tensor, "B T h w"]:
    """The union of a clip's instances, whatever their class, as shares of the cells of stride 8."""
    height, width = (prediction.memory[0].shape[-2], prediction.memory[0].shape[-1])
    return torch.stack([_union(clip, height, width) for clip in targets])


def _union(targets: Targets, height: int, width: int) -> Float[Tensor, "T {height} {width}"]:
    """One clip's foreground; empty where the clip is padded."""
    anywhere = targets.masks.any(dim=0).float()
    padded = F.pad(anywhere, (0, STRIDE * width - anywhere.shape[-1], 0, STRIDE * height - anywhere.shape[-2]))
    return F.avg_pool2d(padded[:, None], STRIDE)[:, 0]


@torch.no_grad()
def predicted_foreground(
    prediction: Prediction, matches: Sequence[Match], image_sizes: Sequence[tuple[int, int]]
) -> Float[Tensor, "B T h w"]:
    """The probability that a cell of stride 8 belongs to any matched instance of the last decoder layer.

    Args:
        prediction: Of the model.
        matches: The last layer's, per clip; a clip without matches has no foreground.
        image_sizes: Unpadded height and width in pixels of each clip.
    """
    last = prediction._replace(
        mask_kernels=prediction.mask_kernels[-1:], reference_points=prediction.reference_points[-1:]
    )
    size = (prediction.memory[0].shape[-2], prediction.memory[0].shape[-1])
    clips = []
    for clip, match in enumerate(matches):
        if len(match.query_index) == 0:
            clips.append(prediction.mask_features.new_zeros(prediction.mask_features.shape[1], *size).float())
            continue
        logits = matched_masks(last, clip, match.query_index[None], image_sizes[clip])
        clips.append(F.adaptive_avg_pool2d(logits.sigmoid().amax(dim=0)[:, None], size)[:, 0])
    return torch.stack(clips)


def discriminator_loss(
    discriminator: Callable[..., Tensor],
    clip: Clip,
    prediction: Prediction,
    real: Float[Tensor, "B T h w"],
    fake: Float[Tensor, "B T h w"],
) -> Float[Tensor, ""]:
    """What D minimises: to say yes to the truth and no to the prediction. Nothing of the model gets a gradient."""
    detached = prediction._replace(memory=tuple(level.detach() for level in prediction.memory))
    # Both masks in one pass, so that ranks exchange gradients once.
    verdicts = _judge(discriminator, clip, detached, torch.stack((real, fake.detach())))
    yes, no = verdicts
    valid = _valid_patches(clip, yes)
    return 0.5 * (_mean(_against(yes, 1.0), valid) + _mean(_against(no, 0.0), valid))


def generator_loss(
    discriminator: nn.Module,
    clip: Clip,
    prediction: Prediction,
    real: Float[Tensor, "B T h w"],
    fake: Float[Tensor, "B T h w"],
    config: AdversarialConfig,
) -> Float[Tensor, ""]:
    """What the encoder minimises: that D says yes to the prediction, and the same as to the truth (paper: Eq. 6).

    D's own weights get no gradient from it.
    """
    constants = {name: parameter.detach() for name, parameter in discriminator.named_parameters()}

    def frozen(*inputs: object) -> Tensor:
        return torch.func.functional_call(discriminator, constants, inputs)

    yes, guess = _judge(frozen, clip, prediction, torch.stack((real, fake.detach())))
    valid = _valid_patches(clip, guess)
    return _mean(_against(guess, 1.0), valid) + config.l1_weight * _mean((yes - guess).abs(), valid)


def _judge(
    discriminator: Callable[..., Tensor], clip: Clip, prediction: Prediction, masks: Float[Tensor, "2 B T h w"]
) -> Float[Tensor, "2 B T _h _w"]:
    """D's logits for two masks of the same clips; frames, features and masks fold into one batch."""
    levels = prediction.memory[:NUM_SCALES]
    memory = tuple((level * _valid_cells(clip, level)).flatten(0, 1).repeat(2, 1, 1, 1) for level in levels)
    sides = (masks.shape[-2], masks.shape[-1])
    frames = F.adaptive_avg_pool2d(clip.frames.flatten(0, 1), sides)
    seen = masks[:, :, :, None] * _valid_cells(clip, levels[0])
    logits = discriminator(frames.repeat(2, 1, 1, 1), memory, seen.flatten(0, 2).to(memory[0].dtype))
    return logits[:, 0].float().unflatten(0, (2, *masks.shape[1:3]))


def _valid_cells(clip: Clip, level: Float[Tensor, "B T C h w"]) -> Float[Tensor, "_ 1 1 h w"]:
    """1 where a level's cell lies in the clip, 0 where it is padding, as the encoder counts them."""
    size = (level.shape[-2], level.shape[-1])
    if clip.padding_mask is None:
        return level.new_ones(1, 1, 1, *size)
    return (~resize_mask(clip.padding_mask, size)).to(level.dtype)[:, None, None]


def _valid_patches(clip: Clip, logits: Float[Tensor, "B T h w"]) -> Bool[Tensor, "B 1 h w"]:
    """The patches that hold any unpadded pixel."""
    height, width = (logits.shape[-2], logits.shape[-1])
    if clip.padding_mask is None:
        return torch.ones(len(logits), 1, height, width, dtype=torch.bool, device=logits.device)
    return F.adaptive_max_pool2d((~clip.padding_mask[:, None]).float(), (height, width)) > 0


def _against(logits: Float[Tensor, "B T h w"], answer: float) -> Float[Tensor, "B T h w"]:
    """Binary cross-entropy against one answer for all patches."""
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, answer), reduction="none")


def _mean(values: Float[Tensor, "B T h w"], valid: Bool[Tensor, "B 1 h w"]) -> Float[Tensor, ""]:
    """The mean over the valid patches of each clip, then over the clips: a clip counts alike in any batch."""
    weights = valid.expand_as(values).float()
    return ((values * weights).sum(dim=(1, 2, 3)) / weights.sum(dim=(1, 2, 3))).mean()
