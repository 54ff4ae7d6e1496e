"""Video AP by the length of tracks: how many frames an object is visible in, as object sizes divide it by area."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mssts.data.video_set import VideoSet
from mssts.evaluate.results_file import AnyResult
from mssts.evaluate.video_ap import SizeRanges, match_results, video_ap
from mssts.evaluate.video_iou import Tube

LENGTHS = {"up to 10 frames": "s", "11 to 20 frames": "m", "21 frames or more": "l"}
"""The classes of length, and the letter of the official size that stands for each."""


class LengthAp(NamedTuple):
    """AP and AR100 (shares 0..1, -1 if undefined) over the true tracks of a length, and how many there are."""

    num_tracks: int
    ap: float
    ar100: float


def visible_frames(tube: Tube) -> float:
    """In how many frames a track is visible."""
    return float(np.count_nonzero(tube.areas))


BY_LENGTH = SizeRanges(visible_frames, np.array([[0, np.inf], [0, 10], [11, 20], [21, np.inf]]))


def length_ap(truth: VideoSet, results: Sequence[AnyResult], name: str = "results") -> dict[str, LengthAp]:
    """AP for each class of length; tracks of other lengths are ignored, as those of other areas are in APs.

    Raises:
        BadInputError: As `match_results` does.
    """
    matches = match_results(truth, results, name, sizes=BY_LENGTH)
    numbers = video_ap(matches).numbers
    counts = sum((one.num_truths for by_video in matches.values() for one in by_video.values()), np.zeros(4, np.int64))
    return {
        label: LengthAp(int(count), numbers[f"AP{letter}"], numbers[f"AR{letter}"])
        for (label, letter), count in zip(LENGTHS.items(), counts[1:], strict=True)
    }
