"""A quick look at how well a model in training segments a few held-out synthetic clips; no benchmark."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mssts.data.synthetic import synthesize_video
from mssts.loss.criterion import matched_masks, stride4_masks
from mssts.model.vis import VisModel
from mssts.train.settings import ClipSettings
from mssts.train.synthetic_clips import Batch, collate
from mssts.types import Prediction, Targets

NUM_CLIPS = 8
NUM_FRAMES = 8
FOUND_SCORE = 0.3
CLAIM_SCORE = 0.5
CLAIM_IOU = 0.5


class QuickResult(NamedTuple):
    """Mean IoU (0..1) over the true tracks, their number, and how many confident predictions are no true track."""

    mean_iou: float
    num_tracks: int
    false_positives: int


def held_out_clips(settings: ClipSettings) -> list[Batch]:
    """The clips of the evaluation, one per batch: of the final difficulty, with seeds never trained on."""
    size = {"height": settings.height, "width": settings.width}
    return [
        collate([synthesize_video(seed, num_frames=NUM_FRAMES, difficulty=settings.difficulty, **size)])
        for seed in range(NUM_CLIPS)
    ]


@torch.no_grad()
def evaluate_quickly(model: VisModel, clips: Sequence[Batch]) -> QuickResult:
    """Compare the last layer's masks with the truth, as whole tubes at stride 4; leaves the model in training mode."""
    model.eval()
    ious: list[float] = []
    false_positives = 0
    device = next(model.parameters()).device
    for batch in clips:
        prediction = model(batch.clip.frames.to(device))
        truth = Targets(*(tensor.to(device) for tensor in batch.targets[0]))
        clip_ious, wrong = _compare(prediction, truth, batch.image_sizes[0])
        ious += clip_ious
        false_positives += wrong
    model.train()
    return QuickResult(sum(ious) / max(1, len(ious)), len(ious), false_positives)


def _compare(prediction: Prediction, truth: Targets, image_size: tuple[int, int]) -> tuple[list[float], int]:
    """The IoU of each true track of a clip, and the number of false positives."""
    scores, labels = prediction.class_logits[-1, 0].sigmoid().max(dim=-1)
    every_query = torch.arange(len(scores), device=scores.device)[None]
    masks = matched_masks(_last_layer(prediction), 0, every_query, image_size) > 0
    true_masks = stride4_masks(truth.masks, (masks.shape[-2], masks.shape[-1])) > 0
    same_class = labels[:, None] == truth.labels[None]
    overlap = torch.where(same_class, tube_iou(masks, true_masks), 0.0)
    found = torch.where(scores[:, None] > FOUND_SCORE, overlap, 0.0)
    return found.amax(dim=0).tolist(), count_false_positives(scores, overlap)


def _last_layer(prediction: Prediction) -> Prediction:
    """The prediction as if the model had only its last decoder layer."""
    return prediction._replace(
        class_logits=prediction.class_logits[-1:],
        boxes_cxcywh=prediction.boxes_cxcywh[-1:],
        reference_points=prediction.reference_points[-1:],
        mask_kernels=prediction.mask_kernels[-1:],
        embeddings=prediction.embeddings[-1:],
    )


def tube_iou(first: Bool[Tensor, "N T h w"], second: Bool[Tensor, "K T h w"]) -> Float[Tensor, "N K"]:
    """IoU over all frames of every pair of tubes, 0 where both are empty."""
    one, other = first.flatten(1).float(), second.flatten(1).float()
    intersection = one @ other.T
    return intersection / (one.sum(dim=1)[:, None] + other.sum(dim=1)[None] - intersection).clamp(min=1)


def count_false_positives(scores: Float[Tensor, " N"], overlap: Float[Tensor, "N K"]) -> int:
    """Count confident queries without a true track of their own; the more confident of two takes the track."""
    taken = torch.zeros(overlap.shape[1], dtype=torch.bool, device=overlap.device)
    wrong = 0
    for query in scores.argsort(descending=True).tolist():
        if scores[query] <= CLAIM_SCORE:
            break
        free = (overlap[query] >= CLAIM_IOU) & ~taken
        if free.any():
            taken[torch.where(free, overlap[query], -1.0).argmax()] = True
        else:
            wrong += 1
    return wrong
