"""Two results on the same truth: is the one better than the other, how sure is that, and which videos make it so.

How sure is told by the paired bootstrap over videos: the videos are drawn again with replacement, and both results are
judged on the same draw. The interval of 95 % lies between the 2.5th and the 97.5th percentile of the differences.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from mssts.data.video_set import VideoSet
from mssts.evaluate.accumulate import NUMBER_NAMES, UNDEFINED
from mssts.evaluate.results_file import AnyResult
from mssts.evaluate.video_ap import MatchesByClass, match_results, video_ap
from mssts.evaluate.weighted_ap import weighted_numbers

NUM_RESAMPLES = 1000
MIN_VIDEOS = 6
"""Fewer videos give no interval: by pure chance all of n change for the same side in 2 of 2^n cases, which is below 5 %
from 6 on, and the bootstrap would call every such change sure."""
PERCENTILES = (2.5, 97.5)
# A bound on memory, not on precision: a row is one choice of videos.
_ROWS_AT_ONCE = 512
# A smaller change of AP is none.
_ROUNDING = 1e-12


class Difference(NamedTuple):
    """One of the twelve numbers of both results, -1 if undefined; second - first, and its interval of 95 %.

    The last three are NaN if the number is undefined, the interval also if there are fewer than `MIN_VIDEOS` videos.
    """

    first: float
    second: float
    difference: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


class VideoChange(NamedTuple):
    """What one video adds to the difference of AP over the set, and the AP of this video alone, -1 if undefined."""

    video_id: int
    change: float
    first: float
    second: float


class Comparison(NamedTuple):
    """The twelve numbers by name, and the videos whose results changed the AP, most changed first."""

    numbers: dict[str, Difference]
    videos: tuple[VideoChange, ...]


def compare_results(
    truth: VideoSet,
    first: Sequence[AnyResult],
    second: Sequence[AnyResult],
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
    names: tuple[str, str] = ("first results", "second results"),
) -> Comparison:
    """Compare two results of one set; the same seed gives the same intervals, and `names` are those of errors.

    Raises:
        BadInputError: A result does not belong to the set (see `check_results`).
    """
    video_ids = sorted(video.id for video in truth.videos)
    matches = match_results(truth, first, names[0]), match_results(truth, second, names[1])
    return compare_matches(video_ids, *matches, num_resamples, seed)


def compare_matches(
    video_ids: Sequence[int],
    first: MatchesByClass,
    second: MatchesByClass,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> Comparison:
    """Compare what `match_results` gave for two results.

    Args:
        video_ids: All videos of the set in growing order; those without truth and results are drawn too.
        first: Matches of the one.
        second: Matches of the other.
        num_resamples: How many times the videos are drawn.
        seed: Of the draws.
    """
    numbers = video_ap(first).numbers, video_ap(second).numbers
    differences = _resampled_differences(video_ids, first, second, num_resamples, seed)
    table = {
        name: _difference(numbers[0][name], numbers[1][name], differences[:, index], len(video_ids))
        for index, name in enumerate(NUMBER_NAMES)
    }
    return Comparison(table, _video_changes(video_ids, first, second))


def _difference(first: float, second: float, resampled: Float[np.ndarray, " S"], num_videos: int) -> Difference:
    """A number of both with its interval; draws for which it is undefined are left out."""
    if UNDEFINED in (first, second):
        return Difference(first, second, *[np.nan] * 3)
    defined = resampled[~np.isnan(resampled)]
    low, high = np.percentile(defined, PERCENTILES) if len(defined) and num_videos >= MIN_VIDEOS else [np.nan] * 2
    return Difference(first, second, second - first, float(low), float(high))


def _resampled_differences(
    video_ids: Sequence[int], first: MatchesByClass, second: MatchesByClass, num_resamples: int, seed: int
) -> Float[np.ndarray, "S 12"]:
    """Second - first for every draw of the videos, NaN where undefined."""
    num_videos = len(video_ids)
    if not num_videos:
        return np.full((num_resamples, len(NUMBER_NAMES)), np.nan)
    shares = np.full(num_videos, 1 / num_videos)
    draws = np.random.default_rng(seed).multinomial(num_videos, shares, size=num_resamples).astype(np.float64)
    numbers = [_in_parts(one, video_ids, draws) for one in (first, second)]
    is_undefined = (numbers[0] == UNDEFINED) | (numbers[1] == UNDEFINED)
    return np.where(is_undefined, np.nan, numbers[1] - numbers[0])


def _in_parts(
    matches: MatchesByClass, video_ids: Sequence[int], weights: Float[np.ndarray, "S V"]
) -> Float[np.ndarray, "S 12"]:
    starts = range(0, len(weights), _ROWS_AT_ONCE)
    parts = [weighted_numbers(matches, video_ids, weights[start : start + _ROWS_AT_ONCE]) for start in starts]
    return np.concatenate(parts) if parts else np.zeros((0, len(NUMBER_NAMES)))


def _video_changes(video_ids: Sequence[int], first: MatchesByClass, second: MatchesByClass) -> tuple[VideoChange, ...]:
    """The videos that changed AP, by how much.

    The change of a video is what the AP over the whole set gains when the results of this video alone are exchanged:
    the mean of bringing its new results into the first and of not taking its old ones back into the second. Unlike the
    AP of the video alone, it weighs a false alarm by its score among all others and a class by how often it is seen.
    """
    both, keys = _side_by_side(video_ids, first, second)
    exchanged, alone = _exchange_weights(len(video_ids)), np.eye(2 * len(video_ids))
    average_precision = _in_parts(both, keys, np.concatenate([exchanged, alone]))[:, NUMBER_NAMES.index("AP")]
    old, new, brought_in, taken_back, own = np.split(average_precision, [1, 2, 2 + len(video_ids), len(exchanged)])
    changes = ((brought_in - old) + (new - taken_back)) / 2
    return tuple(
        VideoChange(video_ids[index], float(changes[index]), float(own[2 * index]), float(own[2 * index + 1]))
        for index in np.argsort(-np.abs(changes), kind="stable")
        if abs(changes[index]) > _ROUNDING
    )


def _exchange_weights(num_videos: int) -> Float[np.ndarray, "rows columns"]:
    """Rows for `_side_by_side`: the first, the second, then each with one video after the other exchanged."""
    pure = np.tile(np.eye(2), num_videos)
    rows = np.repeat(pure, num_videos, axis=0)
    for index in range(num_videos):
        of_video = slice(2 * index, 2 * index + 2)
        rows[[index, num_videos + index], of_video] = rows[[num_videos + index, index], of_video]
    return np.concatenate([pure, rows])


def _side_by_side(
    video_ids: Sequence[int], first: MatchesByClass, second: MatchesByClass
) -> tuple[MatchesByClass, list[int]]:
    """Both matches as one, with each video twice: key 2 i as it is in the first, 2 i + 1 as in the second."""
    place = {video_id: index for index, video_id in enumerate(video_ids)}
    both: MatchesByClass = {}
    for category_id in first:
        sides = (first[category_id], second[category_id])
        entries = {2 * place[id_] + side: one for side, by_video in enumerate(sides) for id_, one in by_video.items()}
        both[category_id] = dict(sorted(entries.items()))
    return both, list(range(2 * len(video_ids)))
