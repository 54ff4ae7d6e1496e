"""The loss terms one by one, each a value per instance; the criterion weighs and adds them."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from mssts.loss.boxes import cxcywh_to_xyxy, generalized_iou

FOCAL_ALPHA = 0.25
FOCAL_GAMMA = 2.0
DICE_SMOOTHING = 1.0


def sigmoid_focal_loss(logits: Float[Tensor, "*shape"], targets: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Focal loss of every element, which lets easy elements weigh little.

    Lin et al., ICCV 2017, with alpha 0.25 and gamma 2.
    """
    cross_entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    probability = logits.sigmoid()
    miss = probability + targets - 2 * probability * targets
    balance = FOCAL_ALPHA * targets + (1 - FOCAL_ALPHA) * (1 - targets)
    return balance * cross_entropy * miss**FOCAL_GAMMA


def box_l1_loss(boxes: Float[Tensor, "M T 4"], targets: Float[Tensor, "M T 4"]) -> Float[Tensor, " M"]:
    """Sum of the absolute differences of the four `cxcywh` numbers, averaged over the frames."""
    return (boxes - targets).abs().sum(dim=-1).mean(dim=-1)


def box_giou_loss(boxes: Float[Tensor, "M T 4"], targets: Float[Tensor, "M T 4"]) -> Float[Tensor, " M"]:
    """1 - generalised IoU (0..2) of `cxcywh` boxes, averaged over the frames."""
    return (1 - generalized_iou(cxcywh_to_xyxy(boxes), cxcywh_to_xyxy(targets))).mean(dim=-1)


def mask_focal_loss(logits: Float[Tensor, "M T h w"], targets: Float[Tensor, "M T h w"]) -> Float[Tensor, " M"]:
    """Focal loss averaged over the pixels of the whole tube."""
    return sigmoid_focal_loss(logits, targets).flatten(1).mean(dim=1)


def mask_dice_loss(logits: Float[Tensor, "M T h w"], targets: Float[Tensor, "M T h w"]) -> Float[Tensor, " M"]:
    """1 - Dice overlap (0..1) of the whole tube, smoothed so that two empty tubes agree.

    One overlap for all frames: a frame where the instance is absent then costs only what is painted there.
    """
    probability, target = logits.sigmoid().flatten(1), targets.flatten(1)
    overlap = 2 * (probability * target).sum(dim=1)
    return 1 - (overlap + DICE_SMOOTHING) / (probability.sum(dim=1) + target.sum(dim=1) + DICE_SMOOTHING)
