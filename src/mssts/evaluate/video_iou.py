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
from mssts.evaluate.kernels import count_shared, parse_codes


class Tube(NamedTuple):
    """A track's masks of T frames as runs of pixels, which are numbered down the columns of each frame.

    `runs` holds the first pixel of each run and the one behind it, frame t's at `firsts[t]` to `firsts[t + 1]`; `areas`
    are the pixels of each mask, 0 where there is none.
    """

    runs: Int32[np.ndarray, "runs 2"]
    firsts: Int64[np.ndarray, " T+1"]
    areas: Int64[np.ndarray, " T"]


def to_tube(segmentations: Sequence[Segmentation | None], height: int, width: int) -> Tube:
    """Judge and measure a track's masks; an empty segmentation counts as None, as it does officially.

    Raises:
        ValueError: A segmentation is not safe to decode; the message names its frame.
    """
    try:
        tube = json_to_tube(json.dumps(segmentations).encode("ascii"), len(segmentations), height, width)
    except (TypeError, ValueError, RecursionError):  # codes of bytes, as pycocotools makes them, or what is no JSON
        tube = None
    # Whatever is of another form or not sound is told apart one by one.
    return tube or _decode_each(segmentations, height, width)


def json_to_tube(text: bytes | msgspec.Raw, num_frames: int, height: int, width: int) -> Tube | None:
    """`to_tube` of JSON; None if it is anything but sound compressed codes and nulls, as many as there are frames."""
    if height * width > MAX_PIXELS:
        return None
    characters = np.frombuffer(text, dtype=np.uint8)
    tube = _empty_tube(len(characters) // 2, num_frames)
    if not parse_codes(characters, _code_start(height, width), height * width, *tube):
        return None
    return tube._replace(runs=tube.runs[: tube.firsts[-1]])


@lru_cache
def _code_start(height: int, width: int) -> UInt8[np.ndarray, " characters"]:
    """What stands before a code in JSON; a space is where JSON may have any white space or none."""
    return np.frombuffer(f'{{ "size" : [ {height} , {width} ] , "counts" : "'.encode(), dtype=np.uint8)


def _empty_tube(max_runs: int, num_frames: int) -> Tube:
    return Tube(
        np.empty((max_runs, 2), dtype=np.int32),
        np.zeros(num_frames + 1, dtype=np.int64),
        np.zeros(num_frames, dtype=np.int64),
    )


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
    tube = _empty_tube(0, len(runs))
    tube.firsts[1:] = np.cumsum([len(pairs) for pairs in runs])
    tube.areas[:] = [(pairs[:, 1] - pairs[:, 0]).sum() for pairs in runs]
    return tube._replace(runs=np.concatenate([tube.runs, *runs]))


def mean_area(tube: Tube) -> float:
    """Mean mask area in pixels over the frames where the track is visible; 0 for one that never is."""
    return float(tube.areas.sum()) / max(np.count_nonzero(tube.areas), 1)


def shared_pixels(detections: Sequence[Tube], truths: Sequence[Tube]) -> Int64[np.ndarray, "detections truths T"]:
    """The pixels that every detection shares with every ground-truth track of the same video, in each frame."""
    num_frames = len([*detections, *truths][0].areas) if detections or truths else 0
    shared = np.zeros((len(detections), len(truths), num_frames), dtype=np.int64)
    for row, detection in enumerate(detections):
        for column, truth in enumerate(truths):
            count_shared(detection.runs, detection.firsts, truth.runs, truth.firsts, shared[row, column])
    return shared


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
