"""A track's masks as pycocotools takes them, judged all at once: judging mask by mask would take most of the time.

What is found unsound, or is of another form, goes to `data/rle.py` one by one, which decodes it or says what is wrong.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64
from pycocotools import mask as coco_mask

from mssts.data.rle import MAX_PIXELS, Segmentation, decode

# Characters of one count, 5 bits each; sums of these stay within int64.
_MAX_DIGITS = 7


def compress_track(segmentations: Sequence[Segmentation | None], height: int, width: int) -> list[dict | None]:
    """Compressed run-length codes, one per frame; an empty segmentation counts as None, as it does officially.

    Raises:
        ValueError: A segmentation is not safe to decode; the message names its frame.
    """
    codes = _sound_codes(segmentations, height, width)
    for frame, segmentation in enumerate(segmentations):
        if segmentation and codes[frame] is None:
            try:
                mask = decode(segmentation, height, width)
            except ValueError as error:
                raise ValueError(f"frame {frame}: {error}") from error
            codes[frame] = dict(coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8)))
    return codes


def _sound_codes(segmentations: Sequence[Segmentation | None], height: int, width: int) -> list[dict | None]:
    """The compressed codes among a track's segmentations; None for the others, and for all if one is not sound."""
    size = [height, width]
    codes: list[dict | None] = [None] * len(segmentations)
    for frame, segmentation in enumerate(segmentations):
        if isinstance(segmentation, dict) and segmentation.get("size") == size:
            counts = segmentation.get("counts")
            if isinstance(counts, str) and counts.isascii():
                counts = counts.encode("ascii")
            if isinstance(counts, bytes):
                codes[frame] = {"size": size, "counts": counts}
    counts = [code["counts"] for code in codes if code is not None]
    if height * width > MAX_PIXELS or not _add_up(counts, height * width):
        return [None] * len(segmentations)
    return codes


def _add_up(codes: Sequence[bytes], num_pixels: int) -> bool:
    """Whether each code's counts add up to the frame, and all but the first are more than 0.

    A count of 0 within is no fault, but pycocotools stops early where two codes have one at the same pixel.
    """
    if not codes:
        return True
    if not all(codes):
        return False
    digits = np.frombuffer(b"".join(codes), dtype=np.uint8).astype(np.int64) - 48
    if ((digits < 0) | (digits > 63)).any():
        return False
    ends = np.cumsum([len(code) for code in codes])
    last_digits = np.flatnonzero(digits < 32)  # bit 5 says that the count goes on
    if (digits[ends - 1] >= 32).any() or np.diff(last_digits, prepend=-1).max() > _MAX_DIGITS:
        return False
    first_runs = np.searchsorted(last_digits, np.append(0, ends[:-1]))
    runs = _undo_differences(_stored_counts(digits, last_digits), first_runs)
    least = np.ones_like(runs)
    least[first_runs] = 0
    if ((runs < least) | (runs > num_pixels)).any():
        return False
    return bool((np.add.reduceat(runs, first_runs) == num_pixels).all())


def _stored_counts(
    digits: Int64[np.ndarray, " digits"], last_digits: Int64[np.ndarray, " N"]
) -> Int64[np.ndarray, " N"]:
    """Put the groups of 5 bits together, lowest first; the top bit of a count is its sign."""
    lengths = np.diff(last_digits, prepend=-1)
    starts = last_digits - lengths + 1
    places = np.arange(len(digits)) - np.repeat(starts, lengths)
    counts = np.add.reduceat((digits & 31) << (5 * places), starts)
    return counts - (((digits[last_digits] & 16) >> 4) << (5 * lengths))


def _undo_differences(
    counts: Int64[np.ndarray, " N"], first_runs: Int64[np.ndarray, " codes"]
) -> Int64[np.ndarray, " N"]:
    """From a code's fourth count on, what is stored is the difference to the count two before.

    So the counts of odd places are one sum that grows, and those of even places from the third on another.
    """
    sums = counts.copy()
    for first in range(2):
        np.cumsum(sums[first::2], out=sums[first::2])
    lengths = np.diff(first_runs, append=len(counts))
    places = np.arange(len(counts)) - np.repeat(first_runs, lengths)
    # What belongs to earlier codes, and for even places to the code's own first count, is taken off again.
    before_odd, before_even = np.append(0, sums)[first_runs], sums[first_runs]
    runs = sums - np.where(places % 2, np.repeat(before_odd, lengths), np.repeat(before_even, lengths))
    runs[first_runs] = counts[first_runs]
    return runs
