"""Choose the queries worth a mask, and bring masks to the source's size."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mssts.model.mask_head import predict_masks
from mssts.types import Prediction

MASK_STRIDE = 4


def masks_of(
    prediction: Prediction, queries: Int[Tensor, " K"], input_size: tuple[int, int]
) -> Float[Tensor, "K T h w"]:
    """Mask logits at stride 4 of some queries of the first (only) clip, from the last decoder layer."""
    return predict_masks(
        prediction.mask_features,
        prediction.mask_kernels[-1][:, queries],
        prediction.reference_points[-1][:, :, queries],
        [input_size],
    )[0]


def confident_queries(
    class_scores: Float[Tensor, "N slots"], threshold: float, max_instances: int
) -> Int[Tensor, " K"]:
    """The queries whose best class scores at least `threshold`, best first, no more than `max_instances`."""
    best = class_scores.max(dim=1).values
    order = best.argsort(descending=True, stable=True)[:max_instances]
    return order[best[order] >= threshold]


def distinct(mask_logits: Float[Tensor, "K T h w"], max_iou: float) -> Int[Tensor, " D"]:
    """Drop an instance whose masks are those of a better-scored one (IoU over the whole window above `max_iou`).

    The instances come best first. Set prediction rarely gives duplicates, but a user sees each one as two tracks.
    """
    masks = (mask_logits > 0).flatten(1).float()
    area = masks.sum(1)
    shared = masks @ masks.T
    iou = shared / (area[:, None] + area[None] - shared).clamp(min=1)
    kept: list[int] = []
    for index in range(len(masks)):
        if area[index] > 0 and all(iou[index, better] <= max_iou for better in kept):
            kept.append(index)
    return torch.tensor(kept, dtype=torch.long, device=mask_logits.device)


def full_size_masks(
    mask_logits: Float[Tensor, "K h w"], input_size: tuple[int, int], size: tuple[int, int]
) -> Bool[Tensor, "K H W"]:
    """Bring stride-4 logits to the source's height and width (bilinear) and cut at probability 0.5.

    The logits may reach past the model's input, whose sides need not be multiples of 8; that rim is cut off.
    """
    scaled = [
        round(cells * MASK_STRIDE * side / input_side)
        for cells, side, input_side in zip(mask_logits.shape[-2:], size, input_size, strict=True)
    ]
    large = F.interpolate(mask_logits[None], size=scaled, mode="bilinear", align_corners=False)[0]
    return large[:, : size[0], : size[1]] > 0
