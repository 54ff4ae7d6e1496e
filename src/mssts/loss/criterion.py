"""What training minimises besides the adversarial game: class, box and mask losses of every decoder layer.

SeqFormer's losses (paper: section 2). Each layer is matched and supervised by itself, its masks included. Layers are an
axis here, not a loop: every layer matches the same number of a clip's instances.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.distributed
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mssts.loss.config import CriterionConfig
from mssts.loss.matcher import clamp_boxes, match
from mssts.loss.terms import box_giou_loss, box_l1_loss, mask_dice_loss, mask_focal_loss, sigmoid_focal_loss
from mssts.model.mask_head import predict_masks
from mssts.types import Match, Prediction, Targets

MASK_STRIDE = 4
# The input pixel of a 4 x 4 block that the stride-4 mask stands for.
MASK_OFFSET = 2


class Losses(NamedTuple):
    """The unweighted loss terms, a number per decoder layer, last layer last: class, box L1, GIoU, mask, Dice."""

    ce: Float[Tensor, " D"]
    bbox: Float[Tensor, " D"]
    giou: Float[Tensor, " D"]
    mask: Float[Tensor, " D"]
    dice: Float[Tensor, " D"]

    def named(self) -> dict[str, Tensor]:
        """The terms under the names of the field: `loss_ce` of the last layer, `loss_ce_0` of the first, and so on."""
        depth = len(self.ce)
        suffixes = [*(f"_{layer}" for layer in range(depth - 1)), ""]
        return {
            f"loss_{term}{suffix}": values[layer]
            for term, values in self._asdict().items()
            for layer, suffix in enumerate(suffixes)
        }


class CriterionOutput(NamedTuple):
    """The weighted total to minimise, its terms, and the matches per decoder layer and clip."""

    total: Float[Tensor, ""]
    losses: Losses
    matches: list[list[Match]]


class Criterion:
    """Compare predictions with targets; has no weights, so it is no module.

    Args:
        config: Weights of the terms.
    """

    def __init__(self, config: CriterionConfig = CriterionConfig()) -> None:
        self.config = config

    def __call__(
        self,
        prediction: Prediction,
        targets: Sequence[Targets],
        image_sizes: Sequence[tuple[int, int]],
        instance_count: Float[Tensor, ""] | None = None,
    ) -> CriterionOutput:
        """Match every layer and add up the losses of the batch.

        A batch without any instance gives finite losses and a gradient to every weight, be it zero.

        Args:
            prediction: The model's output for B clips.
            targets: The truth of each clip, on the same device.
            image_sizes: Unpadded height and width in pixels of each clip.
            instance_count: What the losses are divided by; None counts the batch's instances, over all ranks. A step
                that accumulates several batches gives the count of them all, so that they equal one large batch.
        """
        layers = zip(prediction.class_logits, prediction.boxes_cxcywh, strict=True)
        matches = [match(logits, boxes, targets, self.config.match_costs) for logits, boxes in layers]
        sums = [self._clip_losses(prediction, targets, image_sizes, matches, clip) for clip in range(len(targets))]
        device = prediction.class_logits.device
        count = count_instances(targets, device) if instance_count is None else instance_count
        losses = Losses(*(torch.stack(term).sum(dim=0) / count for term in zip(*sums, strict=True)))
        weighted = [getattr(self.config, term) * values.sum() for term, values in losses._asdict().items()]
        return CriterionOutput(torch.stack(weighted).sum(), losses, matches)

    def _clip_losses(
        self,
        prediction: Prediction,
        targets: Sequence[Targets],
        image_sizes: Sequence[tuple[int, int]],
        matches: list[list[Match]],
        clip: int,
    ) -> Losses:
        """The losses of one clip per layer, summed over its instances and not yet divided by their number."""
        truth = targets[clip]
        query_index = torch.stack([layer[clip].query_index for layer in matches])
        target_index = torch.stack([layer[clip].target_index for layer in matches])
        boxes = matched_boxes(prediction, clip, query_index)
        true_boxes = clamp_boxes(truth.boxes_cxcywh)[target_index.flatten()]
        masks = matched_masks(prediction, clip, query_index, image_sizes[clip])
        true_masks = stride4_masks(truth.masks, (masks.shape[-2], masks.shape[-1]))[target_index.flatten()]
        return Losses(
            _class_loss(prediction.class_logits[:, clip].float(), query_index, truth.labels[target_index]),
            _sum_layers(box_l1_loss(boxes, true_boxes), query_index),
            _sum_layers(box_giou_loss(boxes, true_boxes), query_index),
            _sum_layers(mask_focal_loss(masks, true_masks), query_index),
            _sum_layers(mask_dice_loss(masks, true_masks), query_index),
        )


def count_instances(targets: Sequence[Targets], device: torch.device) -> Float[Tensor, ""]:
    """The number of instances that the losses are divided by, at least 1; over several ranks, the mean.

    The mean, because gradients are averaged over ranks too: several ranks then equal one with all clips.
    """
    count = torch.tensor(float(sum(len(clip.labels) for clip in targets)), device=device)
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return count.clamp(min=1)
    torch.distributed.all_reduce(count)
    return count.clamp(min=1) / torch.distributed.get_world_size()


def matched_boxes(prediction: Prediction, clip: int, query_index: Int[Tensor, "D K"]) -> Float[Tensor, "D*K T 4"]:
    """The boxes of a clip's matched queries, layer after layer."""
    tracks = prediction.boxes_cxcywh[:, clip].float().transpose(1, 2)
    return tracks[_layer_index(query_index), query_index].flatten(0, 1)


def matched_masks(
    prediction: Prediction, clip: int, query_index: Int[Tensor, "D K"], image_size: tuple[int, int]
) -> Float[Tensor, "D*K T h w"]:
    """The mask logits of a clip's matched queries at stride 4, layer after layer, from mask features computed once."""
    layer = _layer_index(query_index)
    kernels = prediction.mask_kernels[layer, clip, query_index].flatten(0, 1)
    points = prediction.reference_points[:, clip].transpose(1, 2)[layer, query_index].flatten(0, 1)
    features = prediction.mask_features[clip : clip + 1]
    return predict_masks(features, kernels[None], points.transpose(0, 1)[None], [image_size])[0].float()


def stride4_masks(masks: Bool[Tensor, "K T H W"], size: tuple[int, int]) -> Float[Tensor, "K T h w"]:
    """Sample target masks as the predicted ones are aligned, empty where the clip is padded to `size` at stride 4."""
    height, width = (MASK_STRIDE * side for side in size)
    padded = F.pad(masks, (0, width - masks.shape[-1], 0, height - masks.shape[-2]))
    return padded[..., MASK_OFFSET::MASK_STRIDE, MASK_OFFSET::MASK_STRIDE].float()


def _class_loss(
    logits: Float[Tensor, "D N slots"], query_index: Int[Tensor, "D K"], labels: Int[Tensor, "D K"]
) -> Float[Tensor, " D"]:
    """Focal loss over all queries and slots of each layer; a query without an instance says no to every class."""
    wanted = torch.zeros_like(logits)
    wanted[_layer_index(query_index), query_index, labels] = 1
    return sigmoid_focal_loss(logits, wanted).sum(dim=(1, 2))


def _layer_index(query_index: Int[Tensor, "D K"]) -> Int[Tensor, "D 1"]:
    """The layer of each matched query, to index with beside it."""
    return torch.arange(len(query_index), device=query_index.device)[:, None]


def _sum_layers(values: Float[Tensor, "M"], query_index: Int[Tensor, "D K"]) -> Float[Tensor, " D"]:
    """Sum values per instance into one per layer."""
    return values.view(query_index.shape).sum(dim=1)
