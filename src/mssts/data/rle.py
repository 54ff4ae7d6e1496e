"""Segmentations of annotation files as masks: run-length codes (compressed or not) and polygons.

pycocotools ends the whole process on malformed counts and on absurd sizes or coordinates, so every segmentation is
judged here before it gets there. Run-length codes are decoded by NumPy alone, which is as fast; pycocotools only
fills polygons and compresses.
"""

import reprlib
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64
from pycocotools import mask as coco_mask

Segmentation = dict | list
"""As in the file: {"size": [h, w], "counts": str or list of int}, or polygons [[x, y, ...], ...] in pixels."""

MAX_PIXELS = 2**28
"""The largest frame that is taken for real; 16384 x 16384."""
MAX_OUTLINE = 1_000_000
"""The longest sum of polygon edges in pixels: filling takes about 100 bytes per pixel of it."""
_MAX_DIGITS = 7
"""Characters of one count, 5 bits each; keeps sums of any number of counts within int64."""
_BEYOND = 16
"""Polygon corners may lie outside the frame by this many of its sides."""


class Extent(NamedTuple):
    """A mask's area and the box around it in pixels, x1 and y1 exclusive; all 0 for an empty mask."""

    area: int
    x0: int
    y0: int
    x1: int
    y1: int


def segmentation_fault(segmentation: object, height: int, width: int) -> str | None:
    """Say in a few words why a segmentation cannot be decoded; None if it is safe to decode.

    Args:
        segmentation: Anything that a JSON file can hold.
        height: Of the frame that the segmentation belongs to, in pixels.
        width: Likewise.
    """
    try:
        if isinstance(segmentation, list):
            _check_polygons(segmentation, height, width)
        else:
            run_lengths(segmentation, height, width)
    except ValueError as error:
        return str(error)
    return None


def decode(segmentation: object, height: int, width: int) -> Bool[np.ndarray, "{height} {width}"]:
    """Turn a segmentation into a mask; the array may be a transposed view.

    Raises:
        ValueError: The segmentation is not safe to decode; the message is that of `segmentation_fault`.
    """
    runs = run_lengths(segmentation, height, width)
    values = np.zeros(len(runs), dtype=bool)
    values[1::2] = True
    return np.repeat(values, runs).reshape(width, height).T


def mask_extent(segmentation: object, height: int, width: int) -> Extent:
    """Measure a mask without making it.

    Raises:
        ValueError: The segmentation is not safe to decode; the message is that of `segmentation_fault`.
    """
    ends = np.cumsum(run_lengths(segmentation, height, width))
    starts, ends = ends[: len(ends) // 2 * 2 : 2], ends[1::2]
    inside = starts < ends
    if not inside.any():
        return Extent(0, 0, 0, 0, 0)
    starts, lasts = starts[inside], ends[inside] - 1
    one_column = starts // height == lasts // height  # a run over two columns touches the bottom and the top
    top = (starts % height).min() if one_column.all() else 0
    bottom = (lasts % height).max() if one_column.all() else height - 1
    area = int((lasts - starts + 1).sum())
    return Extent(area, int(starts[0] // height), int(top), int(lasts[-1] // height) + 1, int(bottom) + 1)


def to_compressed(segmentation: object, height: int, width: int) -> dict:
    """Turn a segmentation into a compressed run-length code {"size": [h, w], "counts": bytes}, as pycocotools wants it.

    Raises:
        ValueError: The segmentation is not safe to decode; the message is that of `segmentation_fault`.
    """
    if isinstance(segmentation, list):
        return _fill(segmentation, height, width)
    runs = run_lengths(segmentation, height, width)
    size = [height, width]
    counts = segmentation["counts"]  # pyright: ignore[reportIndexIssue]
    if isinstance(counts, list):
        return coco_mask.frPyObjects({"size": size, "counts": runs.tolist()}, height, width)  # pyright: ignore
    return {"size": size, "counts": counts.encode() if isinstance(counts, str) else counts}


def run_lengths(segmentation: object, height: int, width: int) -> Int64[np.ndarray, " runs"]:
    """The lengths of a segmentation's runs in pixels, 0 and 1 in turn, in column order; they add up to the frame.

    Raises:
        ValueError: The segmentation is not safe to decode; the message is that of `segmentation_fault`.
    """
    if isinstance(segmentation, list):
        return _parse_counts(_fill(segmentation, height, width)["counts"])
    if not isinstance(segmentation, dict):
        raise ValueError(f"neither a run-length code nor polygons but {type(segmentation).__name__}")
    for key in ("size", "counts"):
        if key not in segmentation:
            raise ValueError(f"run-length code without {key}")
    size = segmentation["size"]
    if not isinstance(size, (list, tuple)) or list(size) != [height, width]:
        raise ValueError(f"RLE size {reprlib.repr(size)} is not the frame's [{height}, {width}]")
    _check_size(height, width)
    counts = segmentation["counts"]
    if isinstance(counts, (str, bytes)):
        runs = _parse_counts(counts)
    elif isinstance(counts, list):
        runs = _listed_counts(counts)
    else:
        raise ValueError(f"RLE counts are {type(counts).__name__}, neither a string nor a list")
    if (runs < 0).any():
        raise ValueError("RLE holds a negative count")
    if (runs > height * width).any() or runs.sum() != height * width:
        raise ValueError(f"RLE counts do not add up to the frame's {height * width} pixels")
    return runs


def _check_size(height: int, width: int) -> None:
    if height < 1 or width < 1 or height * width > MAX_PIXELS:
        raise ValueError(f"a frame of {height} x {width} is not possible")


def _listed_counts(counts: list) -> Int64[np.ndarray, " runs"]:
    """The counts of an uncompressed code."""
    try:
        runs = np.asarray(counts or [0])
    except (ValueError, OverflowError):  # lists within the list
        runs = np.empty(0)
    if runs.ndim != 1 or runs.dtype.kind != "i":
        raise ValueError("RLE counts are not all whole numbers of pixels")
    return runs.astype(np.int64, copy=False)


def _parse_counts(counts: str | bytes) -> Int64[np.ndarray, " runs"]:
    """The counts of a compressed code: groups of 5 bits, lowest first; from the fourth on as differences.

    The inverse of what pycocotools writes.
    """
    try:
        characters = counts.encode("ascii") if isinstance(counts, str) else counts
    except UnicodeEncodeError as error:
        raise ValueError("RLE counts hold a character that no code has") from error
    digits = np.frombuffer(characters, dtype=np.uint8).astype(np.int64) - 48
    if ((digits < 0) | (digits > 63)).any():
        raise ValueError("RLE counts hold a character that no code has")
    lasts = np.flatnonzero(digits < 32)  # bit 5 says that the count goes on
    if len(lasts) == 0 or lasts[-1] != len(digits) - 1:
        raise ValueError("RLE counts are empty or cut off")
    lengths = np.diff(lasts, prepend=-1)
    if lengths.max() > _MAX_DIGITS:
        raise ValueError("RLE holds a count larger than any frame")
    firsts = lasts - lengths + 1
    places = np.arange(len(digits)) - np.repeat(firsts, lengths)
    runs = np.add.reduceat((digits & 31) << (5 * places), firsts)
    runs -= ((digits[lasts] & 16) >> 4) << (5 * lengths)  # the top bit is the sign
    np.cumsum(runs[1::2], out=runs[1::2])
    np.cumsum(runs[2::2], out=runs[2::2])
    return runs


def _check_polygons(polygons: list, height: int, width: int) -> None:
    """Raise ValueError unless every polygon can be filled."""
    _check_size(height, width)
    if not polygons:
        raise ValueError("an empty list of polygons")
    outline = 0.0
    for index, polygon in enumerate(polygons):
        corners = _corners(polygon, index)
        beyond = np.abs(corners - (width / 2, height / 2)) > (_BEYOND + 0.5) * np.array([width, height])
        if beyond.any():
            raise ValueError(f"polygon {index} lies far outside the frame")
        outline += float(np.abs(np.diff(corners, axis=0, append=corners[:1])).max(axis=1).sum())
    if outline > MAX_OUTLINE:
        raise ValueError(f"polygons with an outline of {outline:.3g} pixels")


def _corners(polygon: object, index: int) -> np.ndarray:
    """The corners of a polygon as rows of finite x, y."""
    if not isinstance(polygon, list):
        raise ValueError(f"polygon {index} is not a list of coordinates")
    try:
        values = np.asarray(polygon)
    except (ValueError, OverflowError):
        values = np.empty((0, 0))
    if values.ndim != 1 or (len(values) and values.dtype.kind not in ("i", "u", "f")):
        raise ValueError(f"polygon {index} is not a list of numbers")
    if len(values) < 6 or len(values) % 2:
        raise ValueError(f"polygon {index} has {len(values)} coordinates; 3 corners or more are needed")
    if not np.isfinite(values).all():
        raise ValueError(f"polygon {index} holds NaN or Infinity")
    return values.astype(np.float64, copy=False).reshape(-1, 2)


def _fill(polygons: list, height: int, width: int) -> dict:
    """The union of polygons as a compressed code."""
    _check_polygons(polygons, height, width)
    codes = coco_mask.frPyObjects(polygons, height, width)  # pyright: ignore[reportArgumentType]
    return dict(coco_mask.merge(codes))  # pyright: ignore[reportArgumentType]
