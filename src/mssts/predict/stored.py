"""Turn a `FrameResult` into what the track store keeps of it, and back."""

import numpy as np

from mssts.predict.compose import decode_mask, enclosing_boxes, encode_mask
from mssts.predict.track_store import StoredFrame, StoredInstance
from mssts.types import Frame, FrameResult


def to_stored(result: FrameResult) -> StoredFrame:
    """Run-length encode the masks and leave out the picture."""
    rows = zip(
        result.track_ids.tolist(),
        result.labels.tolist(),
        result.scores.tolist(),
        result.boxes.tolist(),
        result.masks,
        strict=True,
    )
    instances = [
        StoredInstance(track_id, label, score, (x0, y0, x1, y1), encode_mask(mask))
        for track_id, label, score, (x0, y0, x1, y1), mask in rows
    ]
    return StoredFrame(result.index, result.time_s, instances)


def from_stored(frame: Frame, stored: StoredFrame) -> FrameResult:
    """Put a frame's instances back beside its picture."""
    height, width, _ = frame.image.shape
    masks = np.zeros((len(stored.instances), height, width), dtype=bool)
    for mask, instance in zip(masks, stored.instances, strict=True):
        mask[:] = decode_mask(instance.rle, height, width)
    return FrameResult(
        index=frame.index,
        time_s=frame.time_s,
        image=frame.image,
        masks=masks,
        boxes=enclosing_boxes(masks),
        labels=np.array([instance.label for instance in stored.instances], dtype=np.int64),
        scores=np.array([instance.score for instance in stored.instances], dtype=np.float32),
        track_ids=np.array([instance.track_id for instance in stored.instances], dtype=np.int64),
    )
