"""Build a `FrameResult` from stride-4 mask logits, and turn it to and from its stored form."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from pycocotools import mask as coco_mask

from mssts.predict.postprocess import full_size_masks
from mssts.types import Frame, FrameResult


def compose_frame(
    frame: Frame,
    mask_logits: Float[np.ndarray, "K h w"],
    input_size: tuple[int, int],
    track_ids: Int[np.ndarray, " K"],
    named: Sequence[tuple[int, float]],
) -> FrameResult:
    """Bring the masks to the frame's size and keep the instances that are visible in it.

    Args:
        frame: The source's frame.
        mask_logits: Logits of this frame at stride 4 of the model's input.
        input_size: Height and width of the model's input in pixels.
        track_ids: Track of each instance.
        named: Class slot and score of each instance.
    """
    height, width, _ = frame.image.shape
    if len(track_ids):
        masks = full_size_masks(torch.from_numpy(mask_logits), input_size, (height, width)).numpy()
    else:
        masks = np.zeros((0, height, width), dtype=bool)
    visible = masks.any(axis=(1, 2))
    masks = masks[visible]
    labels = np.array([slot for slot, _ in named], dtype=np.int64)[visible]
    scores = np.array([score for _, score in named], dtype=np.float32)[visible]
    ids = np.asarray(track_ids, dtype=np.int64)[visible]
    return FrameResult(frame.index, frame.time_s, frame.image, masks, enclosing_boxes(masks), labels, scores, ids)


def keep_tracks(result: FrameResult, track_ids: Int[np.ndarray, " M"]) -> FrameResult:
    """The same frame with the instances of these tracks only."""
    kept = np.isin(result.track_ids, track_ids)
    return result._replace(
        masks=result.masks[kept],
        boxes=result.boxes[kept],
        labels=result.labels[kept],
        scores=result.scores[kept],
        track_ids=result.track_ids[kept],
    )


def enclosing_boxes(masks: Bool[np.ndarray, "K H W"]) -> Float[np.ndarray, "K 4"]:
    """Boxes (x0, y0, x1, y1) in pixels, the last two exclusive, around masks that are not empty."""
    boxes = np.zeros((len(masks), 4), dtype=np.float32)
    for box, mask in zip(boxes, masks, strict=True):
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        box[:] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return boxes


def encode_mask(mask: Bool[np.ndarray, "H W"]) -> bytes:
    """Compressed COCO run-length code of a mask."""
    height, width = mask.shape
    columns = np.flatnonzero(mask.any(axis=0))
    # Codes run down the columns. Only those with the object are brought into that order, the slowest part.
    first, end = (int(columns[0]), int(columns[-1]) + 1) if len(columns) else (0, 0)
    pixels = np.ascontiguousarray(mask[:, first:end].T).ravel()
    starts = first * height + np.flatnonzero(np.diff(pixels, prepend=False, append=False))
    runs = np.diff(starts, prepend=0, append=height * width)
    # Where the last pixel is inside, nothing follows.
    runs = runs[: len(runs) - (runs[-1] == 0)]
    code = {"size": [height, width], "counts": runs.tolist()}
    counts = coco_mask.frPyObjects(code, height, width)["counts"]  # pyright: ignore
    return counts.encode("ascii") if isinstance(counts, str) else counts


def decode_mask(counts: bytes, height: int, width: int) -> Bool[np.ndarray, "H W"]:
    """The mask of a compressed COCO run-length code."""
    return coco_mask.decode({"size": [height, width], "counts": counts}).astype(bool)
