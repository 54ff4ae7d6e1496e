"""Which query answers for which instance: the cheapest one-to-one assignment of a decoder layer's outputs.

SeqFormer's matching (paper: section 2): a query stands for an instance in all frames of the clip at once.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from mssts.loss.boxes import cxcywh_to_xyxy, generalized_iou
from mssts.loss.config import MatchCosts
from mssts.loss.terms import FOCAL_ALPHA, FOCAL_GAMMA
from mssts.types import Match, Targets

LOG_EPSILON = 1e-8
# An absent instance's box 0, 0, 0, 0 is raised to this, so that it has an area; matcher and criterion agree on it.
SMALLEST_BOX_NUMBER = 1e-6
# In place of a cost that is not a number: the assignment must not fail before the loss can be found to be non-finite.
UNUSABLE_COST = 1e9


@torch.no_grad()
def match(
    class_logits: Float[Tensor, "B N slots"],
    boxes_cxcywh: Float[Tensor, "B T N 4"],
    targets: Sequence[Targets],
    costs: MatchCosts = MatchCosts(),
) -> list[Match]:
    """Assign the instances of each clip to queries of one decoder layer.

    Returns:
        A match per clip, on the device of the logits. With more instances than queries, the costliest stay unmatched.
    """
    return [
        _assign(match_cost(logits, boxes, clip, costs))
        for logits, boxes, clip in zip(class_logits, boxes_cxcywh, targets, strict=True)
    ]


def match_cost(
    class_logits: Float[Tensor, "N slots"], boxes_cxcywh: Float[Tensor, "T N 4"], targets: Targets, costs: MatchCosts
) -> Float[Tensor, "N K"]:
    """What it costs to make each query of a clip answer for each instance."""
    truth = clamp_boxes(targets.boxes_cxcywh)[None]
    guess = boxes_cxcywh.float().transpose(0, 1)[:, None]
    # The distance is the Euclidean one of the T boxes taken as one long vector.
    distance = (guess - truth).flatten(2).norm(dim=-1)
    giou = generalized_iou(cxcywh_to_xyxy(guess), cxcywh_to_xyxy(truth)).mean(dim=-1)
    label = _label_cost(class_logits.float(), targets.labels)
    return costs.label * label + costs.box * distance - costs.giou * giou


def clamp_boxes(boxes: Float[Tensor, "*shape 4"]) -> Float[Tensor, "*shape 4"]:
    """Raise each number of the target boxes to at least 1e-6, for frames in which an instance is absent."""
    return boxes.clamp(min=SMALLEST_BOX_NUMBER)


def _label_cost(logits: Float[Tensor, "N slots"], labels: Int[Tensor, " K"]) -> Float[Tensor, "N K"]:
    """The focal loss of saying yes to the instance's class, less that of saying no to it."""
    probability = logits.sigmoid()
    no = -(1 - FOCAL_ALPHA) * probability**FOCAL_GAMMA * (1 - probability + LOG_EPSILON).log()
    yes = -FOCAL_ALPHA * (1 - probability) ** FOCAL_GAMMA * (probability + LOG_EPSILON).log()
    return (yes - no)[:, labels]


def _assign(cost: Float[Tensor, "N K"]) -> Match:
    """Solve the assignment on the CPU."""
    usable = cost.nan_to_num(UNUSABLE_COST, UNUSABLE_COST, -UNUSABLE_COST).cpu().numpy()
    queries, targets = (torch.from_numpy(index).to(cost.device) for index in linear_sum_assignment(usable))
    return Match(queries, targets)
