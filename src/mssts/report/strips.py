"""Film strips: some frames of a video, the truth above what was found; the same object has the same colour in both."""

import io
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image
from scipy.optimize import linear_sum_assignment

from mssts.data.rle import Segmentation, decode
from mssts.data.video_set import Video, VideoSet
from mssts.errors import BadInputError
from mssts.evaluate.video_iou import to_tube, video_ious
from mssts.predict.compose import enclosing_boxes
from mssts.predict.images import read_image
from mssts.types import FrameResult
from mssts.visualize.overlay import draw_overlay

NUM_FRAMES = 6
FRAME_WIDTH = 300
GAP = 4
_WHITE, _GRAY = 255, 96


class ShownTrack(NamedTuple):
    """A track to draw: its class, its score (1 for a true one), and a segmentation or None per frame."""

    category_id: int
    score: float
    segmentations: Sequence[Segmentation | None]


def film_strip(truth: VideoSet, video: Video, true: Sequence[ShownTrack], found: Sequence[ShownTrack]) -> bytes:
    """A JPEG with `NUM_FRAMES` columns and two rows; where a frame's picture cannot be read, it is gray.

    Args:
        truth: The set, for pictures and names.
        video: Of the set.
        true: Its objects.
        found: What to show below them.

    Raises:
        ValueError: A segmentation is not safe to decode, or of another size than the video.
    """
    names = dict(truth.categories)
    colors = matching_ids(video, true, found)
    places = np.unique(np.linspace(0, len(video.file_names) - 1, NUM_FRAMES).round().astype(int))
    columns = []
    for place in map(int, places):
        picture = _picture(truth, video, place)
        rows = [
            overlay_tracks(picture, place, video, tracks, ids, names)
            for tracks, ids in ((true, range(1, len(true) + 1)), (found, colors))
        ]
        columns.append(_stack(rows, axis=0))
    data = io.BytesIO()
    Image.fromarray(_stack(columns, axis=1)).save(data, format="JPEG", quality=82)
    return data.getvalue()


def matching_ids(
    video: Video, true: Sequence[ShownTrack], found: Sequence[ShownTrack], min_iou: float = 0.0
) -> list[int]:
    """A number for each found track: that of the true track it fits best, counted from 1, or one of its own.

    Two tracks fit if their IoU over the video is above `min_iou`.
    """
    tubes = [[to_tube(track.segmentations, video.height, video.width) for track in group] for group in (found, true)]
    ious = video_ious(*tubes)
    ids = list(range(len(true) + 1, len(true) + len(found) + 1))
    for row, column in zip(*linear_sum_assignment(ious, maximize=True), strict=True):
        if ious[row, column] > min_iou:
            ids[row] = int(column) + 1
    return ids


def _picture(truth: VideoSet, video: Video, place: int) -> UInt8[np.ndarray, "h w 3"]:
    """A frame at the strip's size."""
    size = FRAME_WIDTH, max(1, round(FRAME_WIDTH * video.height / video.width))
    try:
        image = Image.fromarray(read_image(truth.image_root / video.file_names[place]))
    except BadInputError:
        return np.full((size[1], size[0], 3), _GRAY, dtype=np.uint8)
    return np.array(image.resize(size, Image.Resampling.BILINEAR))


def overlay_tracks(
    picture: UInt8[np.ndarray, "h w 3"],
    place: int,
    video: Video,
    tracks: Sequence[ShownTrack],
    ids: Sequence[int],
    names: Mapping[int, str],
) -> UInt8[np.ndarray, "h w 3"]:
    """The frame with those tracks drawn in that are visible in it."""
    masks = np.zeros((len(tracks), *picture.shape[:2]), dtype=bool)
    for mask, track in zip(masks, tracks, strict=True):
        code = track.segmentations[place]
        if code:
            mask[:] = _shrink(decode(code, video.height, video.width), picture.shape[:2])
    visible: list[int] = np.flatnonzero(masks.any(axis=(1, 2))).tolist()
    labels = sorted({track.category_id for track in tracks})
    result = FrameResult(
        index=place,
        time_s=0.0,
        image=picture,
        masks=masks[visible],
        boxes=enclosing_boxes(masks[visible]),
        labels=np.array([labels.index(tracks[row].category_id) for row in visible], dtype=np.int64),
        scores=np.array([tracks[row].score for row in visible], dtype=np.float32),
        track_ids=np.array([ids[row] for row in visible], dtype=np.int64),
    )
    return draw_overlay(result, [names[label] for label in labels])


def _shrink(mask: Bool[np.ndarray, "H W"], size: tuple[int, ...]) -> Bool[np.ndarray, "h w"]:
    """The mask at another size, by the nearest pixels."""
    return np.array(Image.fromarray(mask).resize((size[1], size[0]), Image.Resampling.NEAREST))


def _stack(pictures: Sequence[UInt8[np.ndarray, "_h _w 3"]], axis: int) -> UInt8[np.ndarray, "_h _w 3"]:
    """Pictures in a row or column, with white gaps."""
    shape = list(pictures[0].shape)
    shape[axis] = GAP
    gap = np.full(shape, _WHITE, dtype=np.uint8)
    spaced = [part for picture in pictures for part in (gap, picture)][1:]
    return np.concatenate(spaced, axis=axis)
