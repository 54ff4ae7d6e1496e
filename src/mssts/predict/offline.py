"""Offline inference, the official protocol: the decoder sees the whole video at once.

The encoder works in windows of T frames, so memory grows only by the encoder's output per frame. With MS-STS attention
switched off the encoder treats frames one by one, and the result is that of one forward over the whole video.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mssts.model.precision import computing_in
from mssts.model.pyramid import Pyramid
from mssts.model.vis import VisModel
from mssts.predict.compose import compose_frame
from mssts.predict.near_online import named_slots
from mssts.predict.postprocess import confident_queries, distinct, masks_of
from mssts.predict.preprocess import to_clip
from mssts.predict.settings import PredictSettings
from mssts.types import Frame, FrameResult, Prediction

OFFICIAL_NUM_PAIRS = 10


class VideoInstances(NamedTuple):
    """The instances of a whole video: parallel lists of query, class slot and score, and what makes their masks.

    `best_score` is that of any query and class, found or not.
    """

    prediction: Prediction
    input_size: tuple[int, int]
    queries: Int[Tensor, " K"]
    slots: list[int]
    scores: list[float]
    best_score: float

    def results(self, frames: Iterable[Frame]) -> Iterator[FrameResult]:
        """Yield the results for the video's frames, decoded once more; the masks of one frame exist at a time."""
        track_ids = np.arange(1, len(self.queries) + 1)
        named = list(zip(self.slots, self.scores, strict=True))
        for position, frame in enumerate(frames):
            with torch.inference_mode():
                logits = masks_of(self._one_frame(position), self.queries, self.input_size)[:, 0]
            yield compose_frame(frame, logits.float().cpu().numpy(), self.input_size, track_ids, named)

    def _one_frame(self, position: int) -> Prediction:
        """The prediction with one frame left of those parts that the mask head reads."""
        return self.prediction._replace(
            mask_features=self.prediction.mask_features[:, position : position + 1],
            reference_points=self.prediction.reference_points[:, :, position : position + 1],
        )


@torch.inference_mode()
def predict_offline(model: VisModel, frames: Iterable[Frame], settings: PredictSettings) -> VideoInstances:
    """Find the instances of a whole video.

    With `settings.confidence` at 0 this is the official protocol: the 10 best pairs of query and class. Above 0 it is
    what a viewer wants: each confident query once, with its best class, without duplicates.

    Raises:
        ValueError: There are no frames.
    """
    with computing_in(settings.precision, next(model.parameters()).device):
        memory, input_size = _encode_in_windows(model, frames, settings)
        # The encoder's output is the largest part, and nothing after the decoder reads it.
        prediction = model.decode(memory)._replace(memory=())
    del memory
    class_scores = prediction.class_logits[-1][0].float().sigmoid() * named_slots(model)
    if settings.confidence <= 0:
        return _best_pairs(prediction, class_scores, input_size)
    queries = confident_queries(class_scores, settings.confidence, settings.max_instances)
    queries = queries[distinct(masks_of(prediction, queries, input_size), settings.max_duplicate_iou)]
    scores, slots = class_scores[queries].max(dim=1)
    best_score = float(class_scores.max())
    return VideoInstances(prediction, input_size, queries, slots.tolist(), scores.tolist(), best_score)


def _best_pairs(
    prediction: Prediction, class_scores: Float[Tensor, "N slots"], input_size: tuple[int, int]
) -> VideoInstances:
    """The official choice: the best (query, class) pairs, so one query may appear with several classes."""
    num_slots = class_scores.shape[1]
    scores, pairs = class_scores.flatten().topk(min(OFFICIAL_NUM_PAIRS, class_scores.numel()))
    queries, slots = pairs // num_slots, (pairs % num_slots).tolist()
    return VideoInstances(prediction, input_size, queries, slots, scores.tolist(), float(scores.max()))


def _encode_in_windows(
    model: VisModel, frames: Iterable[Frame], settings: PredictSettings
) -> tuple[Pyramid, tuple[int, int]]:
    """The encoder's output for all frames, computed window by window; also the height and width the model saw."""
    device = next(model.parameters()).device
    encoded: list[Pyramid] = []
    held: list[Frame] = []
    input_size = (0, 0)

    def _encode() -> None:
        nonlocal input_size
        clip = to_clip(held, settings.short_side, device)
        input_size = (clip.shape[-2], clip.shape[-1])
        encoded.append(model.encode(clip))
        held.clear()

    for frame in frames:
        held.append(frame)
        if len(held) == settings.window:
            _encode()
    if held:
        _encode()
    if not encoded:
        raise ValueError("a video without frames has no instances")
    return encoded[0]._replace(tokens=torch.cat([part.tokens for part in encoded], dim=1)), input_size
