"""A report on a small synthetic set whose results are the truth, moved and mixed."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from pycocotools import mask as coco_mask

from mssts.data.rle import decode
from mssts.data.synthetic_set import write_synthetic_set
from mssts.data.video_set import VideoSet, load_video_set
from mssts.evaluate.analysis import PARTS, Analysis, analyse
from mssts.evaluate.results_file import Result
from mssts.report.page import write_report

NUM_VIDEOS = 5
TITLE = "results <b>of</b> & on a set"


class SmallReport(NamedTuple):
    """The page and what it was made of."""

    path: Path
    truth: VideoSet
    results: list[Result]
    analysis: Analysis


def make_report(folder: Path, with_pictures: bool = True) -> SmallReport:
    write_synthetic_set(folder, "valid", NUM_VIDEOS, 11, 64, 96, progress=False)
    truth = load_video_set(folder, "valid")
    truth = truth._replace(categories=tuple((id_, f"<i>{name}</i>") for id_, name in truth.categories))
    if not with_pictures:
        truth = truth._replace(image_root=folder / "nowhere")
    sizes = {video.id: (video.height, video.width) for video in truth.videos}
    random = np.random.default_rng(0)
    results = []
    for index, track in enumerate(truth.tracks):
        shift = int(random.integers(0, 9))
        masks = [decode(code, *sizes[track.video_id]) if code else None for code in track.segmentations]
        codes = tuple(None if mask is None else encode(np.roll(mask, shift, axis=1)) for mask in masks)
        category_id = track.category_id if index % 5 else truth.categories[0][0]
        results.append(Result(track.video_id, category_id, float(random.random()), codes))
    analysis = analyse(truth, results, PARTS)
    return SmallReport(write_report(truth, results, analysis, folder / "report", TITLE), truth, results, analysis)


def encode(mask: np.ndarray) -> dict:
    code = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": list(mask.shape), "counts": code["counts"].decode("ascii")}  # pyright: ignore
