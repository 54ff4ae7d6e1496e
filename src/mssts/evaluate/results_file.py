"""Results in YouTube-VIS form: reading them with care, and writing them."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from mssts.atomic_file import write_atomically
from mssts.data.json_file import read_json
from mssts.data.rle import Segmentation
from mssts.data.video_set import Video, VideoSet
from mssts.errors import BadInputError
from mssts.evaluate.threads import map_in_threads
from mssts.evaluate.video_iou import Tube, json_to_tubes, to_json, to_tube


class Result(NamedTuple):
    """One track that was found: its video, its class (an id of the file), and a segmentation or None per frame."""

    video_id: int
    category_id: int
    score: float | int
    segmentations: tuple[Segmentation | None, ...]


class StoredResult(msgspec.Struct, frozen=True):
    """An entry of a results file whose segmentations are still JSON: far less memory than objects take."""

    video_id: int
    category_id: int
    score: float
    segmentations: msgspec.Raw


AnyResult = Result | StoredResult
_SEGMENTATIONS = msgspec.json.Decoder(tuple[dict | list | None, ...])


def open_results(path: Path, truth: VideoSet) -> list[StoredResult]:
    """Read a results file for the videos and categories of a set, all but the segmentations.

    Raises:
        BadInputError: The file is missing, not JSON or not a list of results; or an entry names an unknown video or
            category, or has a score that is no number.
    """
    results: list[StoredResult] = read_json(path, list[StoredResult])
    check_results(results, truth, str(path))
    return results


def open_nonempty_results(path: Path, truth: VideoSet) -> list[StoredResult]:
    """Read a results file of which something is to be said.

    Raises:
        BadInputError: As `open_results` does; or the file holds no results.
    """
    results = open_results(path, truth)
    if not results:
        raise BadInputError(f"{path}: holds no results; nothing can be said of an empty list")
    return results


def load_results(path: Path, truth: VideoSet) -> list[Result]:
    """Read a results file for the videos and categories of a set, and judge every segmentation.

    Raises:
        BadInputError: As `open_results` and `result_tubes` do.
    """
    stored = open_results(path, truth)
    places: dict[int, list[int]] = {video.id: [] for video in truth.videos}
    for index, result in enumerate(stored):
        places[result.video_id].append(index)

    def judge(video: Video) -> None:
        result_tubes([(index, stored[index]) for index in places[video.id]], video, str(path))

    map_in_threads(judge, truth.videos)
    return [as_result(result, f"{path}: result {index}") for index, result in enumerate(stored)]


def result_tubes(results: Sequence[tuple[int, AnyResult]], video: Video, name: str) -> list[Tube]:
    """Judge and measure the masks of a video's results.

    Args:
        results: Some results of the video, with their places in the whole list.
        video: The video.
        name: What errors call the list.

    Raises:
        BadInputError: The segmentations of a result are of another form, or not as many as the video has frames; or
            one is unsafe to decode or of another size than the video.
    """
    texts = [one.segmentations if isinstance(one, StoredResult) else to_json(one.segmentations) for _, one in results]
    tubes = json_to_tubes(texts, len(video.file_names), video.height, video.width)
    return [
        tube or _judge(result, video, f"{name}: result {index}")
        for (index, result), tube in zip(results, tubes, strict=True)
    ]


def _judge(result: AnyResult, video: Video, where: str) -> Tube:
    """The masks of a result of any form, or what is wrong with it.

    Raises:
        BadInputError: As `result_tubes` does.
    """
    if isinstance(result, StoredResult):
        result = as_result(result, where)
    length = len(video.file_names)
    if len(result.segmentations) != length:
        raise BadInputError(f"{where}: {len(result.segmentations)} segmentations for a video of {length} frames")
    try:
        return to_tube(result.segmentations, video.height, video.width)
    except ValueError as error:
        raise BadInputError(f"{where}, {error}") from error


def as_result(result: AnyResult, where: str) -> Result:
    """The result with its segmentations as objects; `where` is how an error names it.

    Raises:
        BadInputError: They are of another form.
    """
    if isinstance(result, Result):
        return result
    try:
        segmentations = _SEGMENTATIONS.decode(result.segmentations)
    except RecursionError as error:
        raise BadInputError(f"{where}: nested too deeply") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        text, _, place = str(error).replace("`", "").partition(" - at $")
        raise BadInputError(f"{where}: {text} at $.segmentations{place}") from error
    return Result(result.video_id, result.category_id, result.score, segmentations)


def check_results(results: Sequence[AnyResult], truth: VideoSet, name: str = "results") -> None:
    """Refuse results that do not belong to a set; segmentations are not looked at.

    Raises:
        BadInputError: An entry names an unknown video or category, or a score that is no number. Entries are counted
            from 0.
    """
    video_ids = {video.id for video in truth.videos}
    category_ids = {category_id for category_id, _ in truth.categories}
    for index, result in enumerate(results):
        where = f"{name}: result {index}"
        if result.video_id not in video_ids:
            raise BadInputError(f"{where}: unknown video_id {result.video_id}")
        if result.category_id not in category_ids:
            raise BadInputError(f"{where}: unknown category_id {result.category_id}")
        if not math.isfinite(result.score):
            raise BadInputError(f"{where}: the score is {result.score}")


def save_results(results: Sequence[Result], path: Path) -> None:
    """Write results under their final name when complete.

    Raises:
        ResourceError: The file cannot be written.
    """
    write_atomically(path, msgspec.json.encode([result._asdict() for result in results]))
