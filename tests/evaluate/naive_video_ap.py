"""The official numbers by the plainest possible loops over pixels, pairs, thresholds and recall points.

Shares nothing with the package: masks are arrays, sorting is Python's, and nothing is vectorised.
"""

from typing import NamedTuple

import numpy as np

SIZES = {"": (0, 1e10), "s": (0, 128**2), "m": (128**2, 256**2), "l": (256**2, 1e10)}
THRESHOLDS = [0.5 + 0.05 * step for step in range(10)]


class NaiveTrack(NamedTuple):
    """A found or true track; a mask, or None, per frame."""

    video_id: int
    category_id: int
    masks: list[np.ndarray | None]
    score: float = 0.0
    is_crowd: bool = False


def naive_numbers(truths: list[NaiveTrack], found: list[NaiveTrack], categories: list[int]) -> dict[str, float]:
    """The twelve numbers; all lists in file order."""
    numbers = {}
    for size in SIZES:
        precisions = {c: _class_precisions(truths, found, c, size, 100) for c in categories}
        defined = [p for p in precisions.values() if p is not None]
        numbers[f"AP{size}"] = _mean([value for curves, _ in defined for curve in curves for value in curve])
        numbers[f"AR{size or '100'}"] = _mean([value for _, recalls in defined for value in recalls])
        if size == "":
            numbers["AP50"] = _mean([value for curves, _ in defined for value in curves[0]])
            numbers["AP75"] = _mean([value for curves, _ in defined for value in curves[5]])
    for limit in (1, 10):
        pairs = [_class_precisions(truths, found, c, "", limit) for c in categories]
        numbers[f"AR{limit}"] = _mean([value for pair in pairs if pair is not None for value in pair[1]])
    return numbers


def _class_precisions(truths, found, category, size, limit):
    """Precision at 101 recalls and the recall reached, per threshold; None without ground truth."""
    curves, recalls = [], []
    videos = sorted({track.video_id for track in [*truths, *found]})
    for threshold in THRESHOLDS:
        verdicts, num_truths = [], 0
        for video in videos:
            true = [t for t in truths if (t.video_id, t.category_id) == (video, category)]
            best = [f for f in found if (f.video_id, f.category_id) == (video, category)]
            best = sorted(best, key=lambda track: -track.score)[:limit]
            num_truths += sum(not _is_ignored(track, size) for track in true)
            verdicts += _judge(best, true, threshold, size)
        if num_truths == 0:
            return None
        verdicts.sort(key=lambda verdict: -verdict[0])
        curve, recall = _curve([hit for _, hit in verdicts], num_truths)
        curves.append(curve)
        recalls.append(recall)
    return curves, recalls


def _judge(best, true, threshold, size):
    """Score and whether it is a hit, of each detection that counts."""
    order = sorted(range(len(true)), key=lambda index: _is_ignored(true[index], size))
    free = set(order)
    verdicts = []
    for detection in best:
        chosen, chosen_iou = None, threshold
        for index in order:
            if index not in free and not true[index].is_crowd:
                continue
            if chosen is not None and _is_ignored(true[index], size) and not _is_ignored(true[chosen], size):
                break
            iou = naive_iou(detection, true[index])
            if iou >= chosen_iou:
                chosen, chosen_iou = index, iou
        if chosen is not None:
            free.discard(chosen)
            if not _is_ignored(true[chosen], size):
                verdicts.append((detection.score, True))
        elif _is_within(detection, size):
            verdicts.append((detection.score, False))
    return verdicts


def _curve(hits, num_truths):
    """Precision at the recalls 0, 0.01, ... and the highest recall."""
    points = []
    for count in range(1, len(hits) + 1):
        num_hits = sum(hits[:count])
        points.append((num_hits / num_truths, num_hits / count))
    curve = []
    for step in range(101):
        # numpy's linspace, because step / 100 is another float for some steps
        recall = float(np.linspace(0, 1, 101)[step])
        curve.append(max([precision for reached, precision in points if reached >= recall], default=0.0))
    return curve, points[-1][0] if points else 0.0


def naive_iou(first: NaiveTrack, second: NaiveTrack) -> float:
    """Shared pixels of all frames / pixels of either."""
    shared = either = 0
    for a, b in zip(first.masks, second.masks, strict=True):
        if a is not None and b is not None:
            shared += int((a & b).sum())
            either += int((a | b).sum())
        else:
            either += sum(int(mask.sum()) for mask in (a, b) if mask is not None)
    return shared / either if either else 0.0


def _is_ignored(track, size):
    return track.is_crowd or not _is_within(track, size)


def _is_within(track, size):
    areas = [int(mask.sum()) for mask in track.masks if mask is not None and mask.any()]
    area = sum(areas) / len(areas) if areas else 0
    return SIZES[size][0] <= area <= SIZES[size][1]


def _mean(values):
    return sum(values) / len(values) if values else -1.0
