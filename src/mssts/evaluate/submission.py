"""The zip that the evaluation servers of YouTube-VIS and OVIS take, checked before a submission is spent on it.

What is known of the servers, from their pages and from what their users report:

- They take a zip with one file at its root, `results.json`: a list of results with video_id, category_id, score, and
  per frame a segmentation or null. So says the page of YouTube-VIS 2019; no other form is known of 2021, 2022 and OVIS.
- The official loader, which OVIS names as its own too, stops at the video of another set and at an empty list. It
  measures compressed run-length codes only, no polygons and no lists of counts.
- The official evaluator counts the best 100 of a video and class. It does not complain of unknown categories, or of
  tracks longer or shorter than their video, but what it then counts is not what was meant; both are refused here.
- CodaLab's maintainers name 300 MB as the usual limit of a file (2022, 2023); a challenge can set its own.
"""

import io
import zipfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from mssts.atomic_file import write_atomically
from mssts.data.rle import to_compressed
from mssts.data.set_writer import as_text
from mssts.data.video_set import VideoSet
from mssts.errors import BadInputError
from mssts.evaluate.accumulate import MAX_DETECTIONS
from mssts.evaluate.results_file import Result, check_results, result_tubes

ENTRY = "results.json"
USUAL_LIMIT = 300_000_000
"""Bytes that CodaLab takes for most challenges."""
# Zip files hold the time of each entry; the earliest that they can hold makes equal results equal bytes.
_NO_TIME = (1980, 1, 1, 0, 0, 0)


class Submission(NamedTuple):
    """What was written: results, and the sizes of the zip and of what is in it in bytes.

    `notes` are sentences on what is allowed but seldom meant.
    """

    num_results: int
    size: int
    unpacked_size: int
    notes: tuple[str, ...]


def write_submission(results: Sequence[Result], videos: VideoSet, path: Path, name: str = "results") -> Submission:
    """Check results and write them as a zip for an evaluation server, under its final name when complete.

    Polygons and lists of counts become compressed codes, empty segmentations null. More than 100 results of one video
    and class are cut to the best 100, as the servers do: that changes no number. The same results give the same bytes
    on the same machine.

    Args:
        results: What was found.
        videos: The set that the server evaluates; its truth is not needed.
        path: The zip, whose name must end in .zip.
        name: What errors call the results.

    Raises:
        BadInputError: There is no result; one does not belong to the set (see `check_results`), is there twice, or has
            a segmentation that is not safe to decode or of another size than its video; or the path is no zip's.
        ResourceError: The file cannot be written.
    """
    if path.suffix.lower() != ".zip":
        raise BadInputError(f"{path}: the servers take a file whose name ends in .zip")
    if not results:
        raise BadInputError(f"{name}: holds no result, on which the servers fail")
    check_results(results, videos, name)
    compressed = _compressed(results, videos, name)
    _refuse_twins(compressed, name)
    kept = _best(compressed)
    content = msgspec.json.encode([result._asdict() for result in kept])
    packed = _zipped(content)
    write_atomically(path, packed)
    notes = (*_notes(compressed, kept, videos), *_size_notes(len(packed)))
    return Submission(len(kept), len(packed), len(content), notes)


def _compressed(results: Sequence[Result], videos: VideoSet, name: str) -> list[Result]:
    """The results with every segmentation as a compressed code whose counts are text, or None."""
    by_id = {video.id: video for video in videos.videos}
    compressed = []
    for index, result in enumerate(results):
        video = by_id[result.video_id]
        result_tubes([(index, result)], video, name)  # refuses what is not sound
        codes = [
            as_text(to_compressed(segmentation, video.height, video.width)) if segmentation else None
            for segmentation in result.segmentations
        ]
        compressed.append(result._replace(segmentations=tuple(codes)))
    return compressed


def _refuse_twins(results: Sequence[Result], name: str) -> None:
    """Refuse a result that is there twice, as after joining files; several without any mask may be alike by chance."""
    first_places: dict[bytes, int] = {}
    for index, result in enumerate(results):
        if any(result.segmentations):
            place = first_places.setdefault(msgspec.json.encode(result), index)
            if place != index:
                raise BadInputError(f"{name}: result {index} is result {place} once more")


def _best(results: Sequence[Result]) -> list[Result]:
    """The results that count, in their order: of equal scores, the earlier counts."""
    of_group: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, result in enumerate(results):
        of_group[result.video_id, result.category_id].append(index)
    kept = [
        index
        for group in of_group.values()
        for index in sorted(group, key=lambda index: -results[index].score)[: MAX_DETECTIONS[-1]]
    ]
    return [results[index] for index in sorted(kept)]


def _zipped(content: bytes) -> bytes:
    """A zip with the content as its only entry."""
    entry = zipfile.ZipInfo(ENTRY, date_time=_NO_TIME)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = 3  # as on Unix, on every system
    entry.external_attr = 0o644 << 16
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr(entry, content)
    return packed.getvalue()


def _notes(results: Sequence[Result], kept: Sequence[Result], videos: VideoSet) -> list[str]:
    """What is allowed but seldom meant."""
    notes = []
    per_video = Counter(result.video_id for result in results)
    without = [video.id for video in videos.videos if video.id not in per_video]
    if without:
        examples = ", ".join(map(str, without[:3])) + (", …" if len(without) > 3 else "")
        notes.append(f"{len(without)} of {len(videos.videos)} videos have no result (video_id {examples})")
    if len(kept) < len(results):
        num_left_out, limit = len(results) - len(kept), MAX_DETECTIONS[-1]
        notes.append(f"{num_left_out} results left out: only the best {limit} of a video and class count")
    num_empty = sum(not any(result.segmentations) for result in kept)
    if num_empty:
        notes.append(f"{num_empty} results have no mask in any frame")
    return notes


def _size_notes(size: int) -> list[str]:
    if size <= USUAL_LIMIT:
        return []
    return [f"{size / 1e6:.0f} MB are more than CodaLab's usual limit of {USUAL_LIMIT / 1e6:.0f} MB"]
