"""The IoU of two tracks: the pixels they share in all frames / the pixels that either has in any frame.

Exact: everything is counted in whole pixels. pycocotools compares all pairs of one frame in one call.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int64
from pycocotools import mask as coco_mask

from mssts.data.rle import Segmentation, decode
from mssts.evaluate.track_codes import compress_track


class Tube(NamedTuple):
    """A track's masks: per frame a compressed run-length code, or None, and the area in pixels."""

    codes: tuple[dict | None, ...]
    areas: Int64[np.ndarray, " T"]


def to_tube(segmentations: Sequence[Segmentation | None], height: int, width: int) -> Tube:
    """Compress and measure a track's masks.

    Raises:
        ValueError: A segmentation is not safe to decode; the message names its frame.
    """
    codes = compress_track(segmentations, height, width)
    areas = np.zeros(len(codes), dtype=np.int64)
    given = [code for code in codes if code is not None]
    if given:
        areas[[code is not None for code in codes]] = coco_mask.area(given)  # pyright: ignore[reportArgumentType]
    return Tube(tuple(codes), areas)


def mean_area(tube: Tube) -> float:
    """Mean mask area in pixels over the frames where the track is visible; 0 for one that never is."""
    visible = tube.areas[tube.areas > 0]
    return float(visible.mean()) if len(visible) else 0.0


def shared_pixels(detections: Sequence[Tube], truths: Sequence[Tube]) -> Int64[np.ndarray, "detections truths T"]:
    """The pixels that every detection shares with every ground-truth track of the same video, in each frame."""
    num_frames = len([*detections, *truths][0].areas) if detections or truths else 0
    shared = np.zeros((len(detections), len(truths), num_frames), dtype=np.int64)
    for frame in range(num_frames):
        rows = [row for row, tube in enumerate(detections) if tube.areas[frame]]
        columns = [column for column, tube in enumerate(truths) if tube.areas[frame]]
        if rows and columns:
            shares = coco_mask.iou(
                [detections[row].codes[frame] for row in rows],  # pyright: ignore[reportArgumentType]
                [truths[column].codes[frame] for column in columns],  # pyright: ignore[reportArgumentType]
                # Against a crowd, pycocotools gives the shared part of the detection, from which the pixels follow.
                [1] * len(columns),
            )
            areas = np.array([detections[row].areas[frame] for row in rows])
            shared[np.ix_(rows, columns, [frame])] = np.rint(shares * areas[:, None])[..., None]
    return shared


def video_ious(detections: Sequence[Tube], truths: Sequence[Tube]) -> Float[np.ndarray, "detections truths"]:
    """The IoU of every detection with every ground-truth track of the same video; 0 for two empty ones."""
    if not (detections and truths):
        return np.zeros((len(detections), len(truths)))
    shared = shared_pixels(detections, truths).sum(axis=-1)
    detected_areas = np.array([tube.areas.sum() for tube in detections])
    true_areas = np.array([tube.areas.sum() for tube in truths])
    union = detected_areas[:, None] + true_areas - shared
    return shared / np.maximum(union, 1)


def frame_ious(detections: Sequence[Tube], truths: Sequence[Tube]) -> Float[np.ndarray, "detections truths T"]:
    """The IoU of every detection with every ground-truth track in each frame; 0 where neither is visible."""
    shared = shared_pixels(detections, truths)
    if not shared.size:
        return shared.astype(np.float64)
    detected_areas = np.stack([tube.areas for tube in detections])
    true_areas = np.stack([tube.areas for tube in truths])
    return shared / np.maximum(detected_areas[:, None] + true_areas - shared, 1)


def cut(tube: Tube, start: int, stop: int) -> Tube:
    """The part of a tube from frame `start` up to `stop`."""
    return Tube(tube.codes[start:stop], tube.areas[start:stop])


def frame_mask(tube: Tube, frame: int, height: int, width: int) -> Bool[np.ndarray, "{height} {width}"]:
    """The mask of one frame, empty where there is none; a transposed view."""
    code = tube.codes[frame]
    return np.zeros((height, width), dtype=bool) if code is None else decode(code, height, width)
