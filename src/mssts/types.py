"""The nouns that cross module boundaries, with shapes and units.

Axes: B clips in a batch, T frames, L levels, D decoder layers, N queries, K instances, C channels, H and W pixels.
Everything that a model consumes or returns is a NamedTuple of tensors, because those survive torch.export,
torch.compile and data-parallel wrappers. What a user reads (`FrameResult`) holds NumPy arrays.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor


class Clip(NamedTuple):
    """A batch of clips as the model takes it: ImageNet-normalised RGB, padded right and bottom to one size.

    `padding_mask` is True where padded and None where nothing is; all frames of a clip share it.
    """

    frames: Float[Tensor, "B T 3 H W"]
    padding_mask: Bool[Tensor, "B H W"] | None = None


class Targets(NamedTuple):
    """The truth of one clip at its own, unpadded size. An instance absent from a frame has box 0 and an empty mask.

    Labels are class slots, boxes are normalised by the unpadded width and height.
    """

    labels: Int[Tensor, " K"]
    boxes_cxcywh: Float[Tensor, "K T 4"]
    masks: Bool[Tensor, "K T H W"]


class Prediction(NamedTuple):
    """What `VisModel.forward` returns, for all decoder layers; masks are made from it by `predict_masks`.

    `reference_points` are the ones each layer started from (normalised x, y of the unpadded clip): the mask head
    measures its relative coordinates from them. `memory` is the encoder output per level, finest first.
    """

    class_logits: Float[Tensor, "D B N slots"]
    boxes_cxcywh: Float[Tensor, "D B T N 4"]
    reference_points: Float[Tensor, "D B T N 2"]
    mask_kernels: Float[Tensor, "D B N parameters"]
    embeddings: Float[Tensor, "D B N C"]
    mask_features: Float[Tensor, "B T c h w"]
    memory: tuple[Float[Tensor, "B T C _h _w"], ...]


class Match(NamedTuple):
    """Which query of a clip is supervised by which target; equal lengths, ordered by query."""

    query_index: Int[Tensor, " K"]
    target_index: Int[Tensor, " K"]


class Frame(NamedTuple):
    """One decoded frame of a source: 0-based index, presentation time in seconds, RGB pixels as displayed."""

    index: int  # pyright: ignore[reportIncompatibleMethodOverride]
    time_s: float
    image: UInt8[np.ndarray, "H W 3"]


class FrameResult(NamedTuple):
    """The instances visible in one frame, at the source's resolution.

    `labels` are class slots of the model (`Segmenter.names` maps them to names), `track_ids` start at 1 and stay
    with an object through the video, boxes enclose the masks and are in pixels (x0, y0, x1, y1; x1 and y1 exclusive).
    """

    index: int  # pyright: ignore[reportIncompatibleMethodOverride]
    time_s: float
    image: UInt8[np.ndarray, "H W 3"]
    masks: Bool[np.ndarray, "K H W"]
    boxes: Float[np.ndarray, "K 4"]
    labels: Int[np.ndarray, " K"]
    scores: Float[np.ndarray, " K"]
    track_ids: Int[np.ndarray, " K"]


class WindowDetections(NamedTuple):
    """The instances that the model found in one window of T frames, before they are linked to tracks.

    `mask_logits` are at stride 4 of the model's input, `boxes` are normalised cxcywh, `class_scores` are
    probabilities per class slot, `embeddings` are the decoder's instance features, `queries` the numbers of the model's
    queries that found them.
    """

    first_frame: int
    mask_logits: Float[np.ndarray, "K T h w"]
    boxes: Float[np.ndarray, "K T 4"]
    class_scores: Float[np.ndarray, "K slots"]
    embeddings: Float[np.ndarray, "K C"]
    queries: Int[np.ndarray, " K"]
