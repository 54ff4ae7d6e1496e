"""The IoU of two tracks: the pixels they share in all frames / the pixels that either has in any frame.

Exact: everything is counted in whole pixels, on run-length codes that are never decoded to masks.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from jaxtyping import Float, Int32, Int64, UInt8

from mssts.data.rle import MAX_PIXELS, Segmentation, run_lengths
from mssts.evaluate.kernels import count_shared, find_codes, parse_codes


class Tube(NamedTuple):
    """A track's masks of T frames as runs of pixels, which are numbered down the columns of each frame.

    `runs` holds the first pixel of each run and the one behind it, frame t's at `firsts[t]` to `firsts[t + 1]`; `areas`
    are the pixels of each mask, 0 where there is none.
    """

    runs: Int32[np.ndarray, "runs 2"]
    firsts: Int64[np.ndarray, " T+1"]
    areas: Int64[np.ndarray, " T"]


class Codes(NamedTuple):
    """The compressed run-length codes of a track, one after the other, and where each ends; no length is no mask."""

    characters: UInt8[np.ndarray, " characters"]
    ends: Int64[np.ndarray, " T"]


def to_tube(segmentations: Sequence[Segmentation | None], height: int, width: int) -> Tube:
    """Judge and measure a track's masks; an empty segmentation counts as None, as it does officially.

    Raises:
        ValueError: A segmentation is not safe to decode; the message names its frame.
    """
    codes = _join_codes(segmentations, height, width)
    tube = None if codes is None else _parse(codes, height * width)
    # Whatever is of another form or not sound is told apart one by one.
    return tube or _decode_each(segmentations, height, width)


def json_to_tube(json: bytes | msgspec.Raw, num_frames: int, height: int, width: int) -> Tube | None:
    """`to_tube` of JSON; None if it is anything but sound compressed codes and nulls, as many as there are frames."""
    if height * width > MAX_PIXELS:
        return None
    text = np.frombuffer(json, dtype=np.uint8)
    code_start = f'{{ "size" : [ {height} , {width} ] , "counts" : "'.encode("ascii")
    codes = Codes(np.empty(len(text), dtype=np.uint8), np.empty(num_frames, dtype=np.int64))
    length = find_codes(text, np.frombuffer(code_start, dtype=np.uint8), *codes)
    return None if length < 0 else _parse(Codes(codes.characters[:length], codes.ends), height * width)


def _join_codes(segmentations: Sequence[Segmentation | None], height: int, width: int) -> Codes | None:
    """The compressed codes of a track; None if there is anything else among its segmentations."""
    size = [height, width]
    if height * width > MAX_PIXELS:
        return None
    codes = []
    for segmentation in segmentations:
        code = b""
        if segmentation:
            if not isinstance(segmentation, dict) or segmentation.get("size") != size:
                return None
            code = segmentation.get("counts")
            if isinstance(code, str) and code.isascii():
                code = code.encode("ascii")
            if not code or not isinstance(code, bytes):
                return None
        codes.append(code)
    ends = np.fromiter(map(len, codes), dtype=np.int64, count=len(codes)).cumsum()
    return Codes(np.frombuffer(b"".join(codes), dtype=np.uint8), ends)


def _parse(codes: Codes, num_pixels: int) -> Tube | None:
    """A tube of compressed codes; None if one is not sound."""
    tube = _empty_tube(len(codes.characters) // 2, len(codes.ends))
    if not parse_codes(*codes, num_pixels, *tube):
        return None
    return tube._replace(runs=tube.runs[: tube.firsts[-1]])


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
    visible = int(np.count_nonzero(tube.areas))
    return float(tube.areas.sum() / visible) if visible else 0.0


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
    detected_areas = np.array([tube.areas.sum() for tube in detections], dtype=np.int64)
    true_areas = np.array([tube.areas.sum() for tube in truths], dtype=np.int64)
    union = detected_areas[:, None] + true_areas - shared
    return shared / np.maximum(union, 1)
