"""Results in YouTube-VIS form: reading them with care, and writing them."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from mssts.atomic_file import write_atomically
from mssts.data.json_file import read_json
from mssts.data.rle import Segmentation
from mssts.data.video_set import VideoSet
from mssts.errors import BadInputError
from mssts.evaluate.track_codes import compress_track


class Result(NamedTuple):
    """One track that was found: its video, its class (an id of the file), and a segmentation or None per frame."""

    video_id: int
    category_id: int
    score: float | int
    segmentations: tuple[Segmentation | None, ...]


class _Entry(msgspec.Struct):
    video_id: int
    category_id: int
    score: float
    segmentations: tuple[dict | list | None, ...]


def load_results(path: Path, truth: VideoSet) -> list[Result]:
    """Read a results file for the videos and categories of a set.

    Raises:
        BadInputError: The file is missing, not JSON or not a list of results; or an entry names an unknown video or
            category, has another length than its video, a score that is no number, or a segmentation that is unsafe
            or of another size than its video.
    """
    entries: list[_Entry] = read_json(path, list[_Entry])
    results = [Result(entry.video_id, entry.category_id, entry.score, entry.segmentations) for entry in entries]
    check_results(results, truth, str(path))
    sizes = {video.id: (video.height, video.width) for video in truth.videos}
    for index, result in enumerate(results):
        try:
            compress_track(result.segmentations, *sizes[result.video_id])
        except ValueError as error:
            raise BadInputError(f"{path}: result {index}, {error}") from error
    return results


def check_results(results: Sequence[Result], truth: VideoSet, name: str = "results") -> None:
    """Refuse results that do not belong to a set; segmentations are not looked at.

    Raises:
        BadInputError: An entry names an unknown video or category, has another length than its video, or a score that
            is no number. Entries are counted from 0.
    """
    lengths = {video.id: len(video.file_names) for video in truth.videos}
    categories = {category_id for category_id, _ in truth.categories}
    for index, result in enumerate(results):
        where = f"{name}: result {index}"
        if result.video_id not in lengths:
            raise BadInputError(f"{where}: unknown video_id {result.video_id}")
        if result.category_id not in categories:
            raise BadInputError(f"{where}: unknown category_id {result.category_id}")
        if not math.isfinite(result.score):
            raise BadInputError(f"{where}: the score is {result.score}")
        length = lengths[result.video_id]
        if len(result.segmentations) != length:
            raise BadInputError(f"{where}: {len(result.segmentations)} segmentations for a video of {length} frames")


def save_results(results: Sequence[Result], path: Path) -> None:
    """Write results under their final name when complete.

    Raises:
        ResourceError: The file cannot be written.
    """
    write_atomically(path, msgspec.json.encode([result._asdict() for result in results]))
