"""Arithmetic of boxes: conversions and generalised IoU.

`cxcywh` is centre and size, `xyxy` the two corners; `_px` in a name means pixels, all else is normalised to 0..1.
"""

import torch
from jaxtyping import Float
from torch import Tensor

# Keeps 0 / 0 out of the IoU of empty boxes without touching the smallest box a target can have (side 1e-6).
SMALLEST_AREA = 1e-16


def cxcywh_to_xyxy(boxes: Float[Tensor, "*shape 4"]) -> Float[Tensor, "*shape 4"]:
    """Convert centre and size to corners."""
    centre, size = boxes.split(2, dim=-1)
    return torch.cat((centre - size / 2, centre + size / 2), dim=-1)


def xyxy_px_to_cxcywh(boxes: Float[Tensor, "*shape 4"], height: int, width: int) -> Float[Tensor, "*shape 4"]:
    """Convert corners in pixels to centre and size, normalised by the frame's height and width in pixels."""
    low, high = (boxes / boxes.new_tensor((width, height, width, height))).split(2, dim=-1)
    return torch.cat(((low + high) / 2, high - low), dim=-1)


def generalized_iou(first: Float[Tensor, "*#shape 4"], second: Float[Tensor, "*#shape 4"]) -> Float[Tensor, "*shape"]:
    """Generalised IoU (-1..1) of pairs of `xyxy` boxes; the leading axes broadcast.

    Rezatofighi et al., CVPR 2019: IoU minus the share of the enclosing box that neither covers.
    """
    intersection = _area(torch.maximum(first[..., :2], second[..., :2]), torch.minimum(first[..., 2:], second[..., 2:]))
    enclosing = _area(torch.minimum(first[..., :2], second[..., :2]), torch.maximum(first[..., 2:], second[..., 2:]))
    union = _area(first[..., :2], first[..., 2:]) + _area(second[..., :2], second[..., 2:]) - intersection
    iou = intersection / union.clamp(min=SMALLEST_AREA)
    return iou - (enclosing - union) / enclosing.clamp(min=SMALLEST_AREA)


def _area(low: Float[Tensor, "*shape 2"], high: Float[Tensor, "*shape 2"]) -> Float[Tensor, "*shape"]:
    """Area between two corners, 0 if they are the wrong way round."""
    return (high - low).clamp(min=0).prod(dim=-1)
