"""The IoU of two tracks: the pixels they share in all frames / the pixels that either has in any frame.

Exact: everything is counted in whole pixels, on run-length codes that are never decoded to masks.
"""

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import msgspec
import numpy as np
from jaxtyping import Bool, Float, Int32, Int64, UInt8

from mssts.data.rle import MAX_PIXELS, Segmentation, run_lengths
from mssts.evaluate.kernels import count_shared, parse_tracks


class Tube(NamedTuple):
    """A track's masks of T frames as runs of pixels, which are numbered down the columns of each frame.

    `runs` holds the first pixel of each run and the one behind it, frame t's at `firsts[t]` to `firsts[t + 1]`; several
    tracks may share it. `areas` are the pixels of each mask, 0 where there is none.
    """

    runs: Int32[np.ndarray, "runs 2"]
    firsts: Int64[np.ndarray, " T+1"]
    areas: Int64[np.ndarray, " T"]


def to_tube(segmentations: Sequence[Segmentation | None], height: int, width: int) -> Tube:
    """Judge and measure a track's masks; an empty segmentation counts as None, as it does officially.

    Raises:
        ValueError: A segmentation is not safe to decode; the message names its frame.
    """
    tube = json_to_tubes([to_json(segmentations)], len(segmentations), height, width)[0]
    # Whatever is of another form or not sound is told apart one by one.
    return tube or _decode_each(segmentations, height, width)


def to_json(segmentations: Sequence[Segmentation | None]) -> bytes:
    """A track's segmentations as `json_to_tubes` takes them; nothing if they are no JSON."""
    try:
        return json.dumps(segmentations).encode("ascii")
    except (TypeError, ValueError, RecursionError):  # for example codes of bytes, as pycocotools makes them
        return b""


def json_to_tubes(texts: Sequence[bytes | msgspec.Raw], num_frames: int, height: int, width: int) -> list[Tube | None]:
    """`to_tube` of the JSON of some tracks at once, which is what makes threads worth while.

    None for a track that is anything but sound compressed codes and nulls, as many as there are frames.
    """
    if height * width > MAX_PIXELS:
        return [None] * len(texts)
    text = b"".join(texts)
    ends = np.cumsum([len(memoryview(one)) for one in texts], dtype=np.int64)
    runs = np.empty((len(text) // 2, 2), dtype=np.int32)
    firsts = np.zeros((len(texts), num_frames + 1), dtype=np.int64)
    areas = np.zeros((len(texts), num_frames), dtype=np.int64)
    is_sound = np.zeros(len(texts), dtype=bool)
    characters = np.frombuffer(text, dtype=np.uint8)
    parse_tracks(characters, ends, _code_start(height, width), height * width, runs, firsts, areas, is_sound)
    return [Tube(runs, firsts[row], areas[row]) if sound else None for row, sound in enumerate(is_sound)]


@lru_cache
def _code_start(height: int, width: int) -> UInt8[np.ndarray, " characters"]:
    """What stands before a code in JSON; a space is where JSON may have any white space or none."""
    return np.frombuffer(f'{{ "size" : [ {height} , {width} ] , "counts" : "'.encode(), dtype=np.uint8)


def _decode_each(segmentations: Sequence[Segmentation | None], height: int, width: int) -> Tube:
    """A tube of segmentations of any form.

    Raises:
        ValueError: As `to_tube` does.
    """
    runs = []
    for frame, segmentation in enumerate(segmentations):
        try:
            counts = run_lengths(segmentation, height, width) if segmentation else np.zeros(0, dtype=np.int64)
        except ValueError as error:
            raise ValueError(f"frame {frame}: {error}") from error
        ends = np.cumsum(counts)
        runs.append(ends[: len(ends) // 2 * 2].reshape(-1, 2).astype(np.int32))
    return Tube(
        np.concatenate([np.empty((0, 2), dtype=np.int32), *runs]),
        np.cumsum([0, *map(len, runs)], dtype=np.int64),
        np.array([(pairs[:, 1] - pairs[:, 0]).sum() for pairs in runs], dtype=np.int64),
    )


def mean_area(tube: Tube) -> float:
    """Mean mask area in pixels over the frames where the track is visible; 0 for one that never is."""
    return float(tube.areas.sum()) / max(np.count_nonzero(tube.areas), 1)


def shared_pixels(detections: Sequence[Tube], truths: Sequence[Tube]) -> Int64[np.ndarray, "detections truths T"]:
    """The pixels that every detection shares with every ground-truth track of the same video, in each frame."""
    num_frames = len([*detections, *truths][0].areas) if detections or truths else 0
    shared = np.zeros((len(detections), len(truths), num_frames), dtype=np.int64)
    if detections and truths:
        count_shared(*_join(detections), *_join(truths), shared)
    return shared


def _join(tubes: Sequence[Tube]) -> tuple[Int32[np.ndarray, "runs 2"], Int64[np.ndarray, "tubes places"]]:
    """The runs of some tracks in one array, and each track's places in it."""
    runs, firsts = tubes[0].runs, np.stack([tube.firsts for tube in tubes])
    if any(tube.runs is not runs for tube in tubes):
        runs = np.concatenate([tube.runs for tube in tubes])
        firsts += np.cumsum([0, *(len(tube.runs) for tube in tubes[:-1])])[:, None]
    return runs, firsts


def video_ious(detections: Sequence[Tube], truths: Sequence[Tube]) -> Float[np.ndarray, "detections truths"]:
    """The IoU of every detection with every ground-truth track of the same video; 0 for two empty ones."""
    if not (detections and truths):
        return np.zeros((len(detections), len(truths)))
    shared = shared_pixels(detections, truths).sum(axis=-1)
    detected_areas = np.stack([tube.areas for tube in detections]).sum(axis=-1)
    true_areas = np.stack([tube.areas for tube in truths]).sum(axis=-1)
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
    return Tube(tube.runs, tube.firsts[start : stop + 1], tube.areas[start:stop])


def frame_mask(tube: Tube, frame: int, height: int, width: int) -> Bool[np.ndarray, "{height} {width}"]:
    """The mask of one frame, empty where there is none; a transposed view."""
    edges = tube.runs[tube.firsts[frame] : tube.firsts[frame + 1]].ravel()
    lengths = np.diff(edges, prepend=0, append=height * width)
    return np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(width, height).T
