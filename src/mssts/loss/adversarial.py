"""The adversarial game between encoder and discriminator over the foreground of each frame.

Paper: section 3.4 and Eq. 6, after pix2pix (Isola et al., CVPR 2017). `discriminator_loss` is what the discriminator
minimises, `generator_loss` what the encoder adds to its own losses; who steps when is the training step's business.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.func import functional_call

from mssts.loss.config import AdversarialConfig
from mssts.loss.criterion import MASK_OFFSET, MASK_STRIDE, matched_masks, stride4_masks
from mssts.loss.discriminator import PatchLogits
from mssts.types import Clip, Match, Prediction, Targets

# The discriminator's masks are at stride 8, predicted ones at stride 4.
POOLING = 2
NUM_LEVELS = 3


@torch.no_grad()
def true_foreground(targets: Sequence[Targets], prediction: Prediction) -> Float[Tensor, "B T h w"]:
    """Where any instance of a clip is, whatever its class: shares (0..1) of each stride-8 position.

    Sampled as the criterion's target masks are, so that nothing but its content tells it from a prediction.

    Args:
        targets: The truth of each clip, on one device.
        prediction: Of the same batch; only its size counts.
    """
    height, width = prediction.mask_features.shape[-2:]
    unions = [clip.masks.any(dim=0, keepdim=True) for clip in targets]
    stride4 = [stride4_masks(union, (POOLING * height, POOLING * width)) for union in unions]
    return F.avg_pool2d(torch.cat(stride4), POOLING)


@torch.no_grad()
def predicted_foreground(
    prediction: Prediction, matches: Sequence[Match], image_sizes: Sequence[tuple[int, int]]
) -> Float[Tensor, "B T h w"]:
    """How probable it is (0..1) that any matched query of a clip covers each stride-8 position.

    Paper: 3.4 asks for the union of the predicted instances in one binary mask; leaves open which and how. Ours: the
    matched queries of the last layer, and the largest of their probabilities, which stays soft. Empty without a match.

    Args:
        prediction: The model's output for B clips.
        matches: The last layer's, one per clip.
        image_sizes: Unpadded height and width in pixels of each clip; what is predicted beyond is left out.
    """
    # All that masks are made from, of the last layer alone.
    last = prediction._replace(
        mask_kernels=prediction.mask_kernels[-1:], reference_points=prediction.reference_points[-1:]
    )
    unions: list[Tensor] = []
    for clip, (found, size) in enumerate(zip(matches, image_sizes, strict=True)):
        masks = matched_masks(last, clip, found.query_index[None], size).sigmoid()
        # A layer of zeros, for the maximum of no mask at all.
        masks = torch.cat((masks.new_zeros(1, *masks.shape[1:]), masks))
        unions.append(masks.amax(dim=0) * _sampled_inside(masks, size))
    return F.avg_pool2d(torch.stack(unions), POOLING)


def discriminator_loss(
    discriminator: nn.Module,
    clip: Clip,
    prediction: Prediction,
    true_mask: Float[Tensor, "B T h w"],
    predicted_mask: Float[Tensor, "B T h w"],
) -> Float[Tensor, ""]:
    """What the discriminator minimises: how far it is from telling true and predicted masks apart.

    Paper: the first two terms of Eq. 6, negated. The L1 term is left to the encoder, as in pix2pix. No gradient reaches
    the model. One call of the discriminator that uses every weight of it, as data-parallel wrappers want.

    Args:
        discriminator: A `Discriminator`, wrapped or not.
        clip: What the model saw.
        prediction: What it made of it.
        true_mask: From `true_foreground`.
        predicted_mask: From `predicted_foreground`.

    Returns:
        Mean over the clips of the mean over their unpadded patches.
    """
    memory = [level.detach() for level in prediction.memory[:NUM_LEVELS]]
    logits = discriminator(*_inputs(clip, memory, true_mask, predicted_mask))
    true, predicted = _true_and_predicted(logits, len(clip.frames))
    return _mean_per_clip(F.softplus(-true) + F.softplus(predicted), logits.valid)


def generator_loss(
    discriminator: nn.Module,
    clip: Clip,
    prediction: Prediction,
    true_mask: Float[Tensor, "B T h w"],
    predicted_mask: Float[Tensor, "B T h w"],
    config: AdversarialConfig = AdversarialConfig(),
) -> Float[Tensor, ""]:
    """What the encoder adds to its losses, unweighted: features with which the predicted mask passes for a true one.

    Paper: Eq. 6 for `Enc`. Its log(1 - D) is replaced by -log D, whose gradient does not vanish while D is right, as in
    pix2pix. D is a probability, in the L1 term too. The gradient goes through `prediction.memory` to encoder and
    backbone and nowhere else: not to decoder and mask head (the masks count as given), not to the discriminator.

    Args:
        discriminator: A `Discriminator`, not wrapped for data-parallel training: its weights get no gradient.
        clip: What the model saw.
        prediction: What it made of it.
        true_mask: From `true_foreground`.
        predicted_mask: From `predicted_foreground`.
        config: For lambda_1.

    Returns:
        Mean over the clips of the mean over their unpadded patches.
    """
    weights = {name: parameter.detach() for name, parameter in discriminator.named_parameters()}
    logits = functional_call(discriminator, weights, _inputs(clip, prediction.memory, true_mask, predicted_mask))
    true, predicted = _true_and_predicted(logits, len(clip.frames))
    distance = (true.sigmoid() - predicted.sigmoid()).abs()
    return _mean_per_clip(F.softplus(-predicted) + config.l1_weight * distance, logits.valid)


def _inputs(
    clip: Clip, memory: Sequence[Tensor], true_mask: Float[Tensor, "B T h w"], predicted_mask: Float[Tensor, "B T h w"]
) -> tuple[Tensor, tuple[Tensor, ...], Tensor, Tensor | None]:
    """The arguments of the discriminator, which takes frames one by one, with both masks of each."""
    masks = torch.stack((true_mask, predicted_mask), dim=2).detach()
    padding = clip.padding_mask
    if padding is not None:
        padding = padding.repeat_interleave(clip.frames.shape[1], dim=0)
    levels = tuple(level.flatten(0, 1) for level in memory[:NUM_LEVELS])
    return clip.frames.flatten(0, 1), levels, masks.flatten(0, 1), padding


def _true_and_predicted(
    judged: PatchLogits, num_clips: int
) -> tuple[Float[Tensor, "{num_clips} T h w"], Float[Tensor, "{num_clips} T h w"]]:
    """The logits of both masks per clip and frame, in float32 whatever the network ran in."""
    true, predicted = judged.logits.float().unflatten(0, (num_clips, -1)).unbind(dim=2)
    return true, predicted


def _mean_per_clip(values: Float[Tensor, "B T h w"], valid: Bool[Tensor, "M h w"]) -> Float[Tensor, ""]:
    """Clips weigh the same however large they are, so that accumulated batches and ranks equal one large batch."""
    weights = valid.unflatten(0, values.shape[:2]).float()
    return ((values * weights).sum(dim=(1, 2, 3)) / weights.sum(dim=(1, 2, 3))).mean()


def _sampled_inside(masks: Float[Tensor, "K T h w"], image_size: tuple[int, int]) -> Bool[Tensor, "h w"]:
    """Where the pixel that a stride-4 position stands for belongs to the clip."""
    rows, columns = (MASK_STRIDE * torch.arange(side, device=masks.device) + MASK_OFFSET for side in masks.shape[-2:])
    return (rows < image_size[0])[:, None] & (columns < image_size[1])
