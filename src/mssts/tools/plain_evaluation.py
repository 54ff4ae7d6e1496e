"""Video AP the plain way, to time the evaluator against: one call of pycocotools after the other, mask by mask.

Run as `python -m mssts.tools.plain_evaluation GT RESULTS OUT`. It trusts its files, which must hold compressed codes,
and shares the matching and the curves, which take next to no time, with the evaluator.
"""

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from pycocotools import mask as coco_mask

from mssts.evaluate.accumulate import MAX_DETECTIONS, accumulate, summarize
from mssts.evaluate.matching import Matches, match_video


def plain_numbers(truth_path: Path, results_path: Path) -> dict[str, float]:
    """The twelve official numbers of a results file without faults."""
    truth, results = json.loads(truth_path.read_text()), json.loads(results_path.read_text())
    groups: dict[tuple[int, int], tuple[list, list]] = defaultdict(lambda: ([], []))
    for track in truth["annotations"]:
        groups[track["category_id"], track["video_id"]][0].append(track)
    for result in results:
        groups[result["category_id"], result["video_id"]][1].append(result)
    matches: dict[int, list[Matches]] = {category["id"]: [] for category in truth["categories"]}
    for (category_id, _), (tracks, found) in sorted(groups.items(), key=lambda item: item[0]):
        matches[category_id].append(_match(tracks, found))
    return summarize([accumulate(videos) for videos in matches.values()])


def _match(tracks: list[dict[str, Any]], found: list[dict[str, Any]]) -> Matches:
    best = sorted(found, key=lambda result: -result["score"])[: MAX_DETECTIONS[-1]]
    ious = np.zeros((len(best), len(tracks)))
    for row, result in enumerate(best):
        for column, track in enumerate(tracks):
            ious[row, column] = _iou(result["segmentations"], track["segmentations"])
    return match_video(
        ious,
        np.array([result["score"] for result in best], dtype=np.float64),
        _mean_areas(best),
        _mean_areas(tracks),
        np.array([bool(track["iscrowd"]) for track in tracks], dtype=bool),
    )


def _iou(first: list, second: list) -> float:
    """The IoU of two tracks."""
    shared = joined = 0
    for a, b in zip(first, second, strict=True):
        if a and b:
            shared += int(coco_mask.area(coco_mask.merge([a, b], intersect=True)))
            joined += int(coco_mask.area(coco_mask.merge([a, b])))
        elif a or b:
            joined += int(coco_mask.area(a or b))
    return shared / joined if joined else 0.0


def _mean_areas(tracks: list[dict[str, Any]]) -> Float[np.ndarray, " N"]:
    """The mean area of each track over the frames where it is visible."""
    areas = [[int(coco_mask.area(code)) for code in track["segmentations"] if code] for track in tracks]
    return np.array([np.mean([area for area in of_one if area] or [0]) for of_one in areas], dtype=np.float64)


if __name__ == "__main__":
    gt, found_path, out = map(Path, sys.argv[1:])
    out.write_text(json.dumps(plain_numbers(gt, found_path)))
