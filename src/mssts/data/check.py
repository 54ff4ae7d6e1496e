"""Finds every fault of an annotated set in one pass: its JSON, ids, lengths, masks, boxes and frames.

Sets in YouTube-VIS form and images in COCO's detection form are checked alike; an image is a video of one frame. What
`video_set.py` refuses is a fault here, and more: frames and masks are opened.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from mssts.data.check_document import Entry, read_document, type_name
from mssts.data.check_frames import check_frames
from mssts.data.check_report import CheckedTrack, CheckedVideo, Findings, statistics
from mssts.data.rle import MAX_PIXELS, Extent, mask_extent
from mssts.data.video_set import load_video_set, split_name
from mssts.errors import BadInputError

BOX_TOLERANCE = 2
"""Pixels by which a side of a box may lie off the mask's or outside the frame: boxes are rounded in many ways."""
Box = tuple[float | int, ...]
_FAR = 1e12


class _Form(NamedTuple):
    """The names that a file of videos and one of images have for the same things."""

    owners: str
    owner_id: str
    are_images: bool


_VIDEOS = _Form("videos", "video_id", are_images=False)
_IMAGES = _Form("images", "image_id", are_images=True)


class _Known(NamedTuple):
    """What annotations may refer to; None where the file does not tell."""

    videos: dict[int, CheckedVideo] | None
    names: dict[int, str] | None


def check_annotations(path: Path, folder: Path | None) -> tuple[Findings, list[str]]:
    """Check an annotation file and the frames that it names.

    Args:
        path: The annotation file.
        folder: The set's folder; None where only the file is known.

    Returns:
        The faults and notes, and the lines of the set's statistics.
    """
    findings = Findings(str(path.relative_to(folder)) if folder else path.name)
    document = read_document(path, findings)
    if document is None:
        return findings, []
    form = _IMAGES if "images" in document.value and "videos" not in document.value else _VIDEOS
    names = _check_categories(document)
    videos, videos_by_id = _check_videos(document, form)
    known = _Known(
        videos_by_id if isinstance(document.value.get(form.owners), list) else None,
        names if isinstance(document.value.get("categories"), list) else None,
    )
    tracks = _check_tracks(document, form, known)
    check_frames(path, folder, videos, findings)
    _judge(findings, split_name(path), form, videos_by_id, tracks)
    if not findings.num_faults and not form.are_images:
        _check_strictly(path, findings)
    return findings, list(statistics(findings, videos, tracks, names, form.are_images))


def _check_strictly(path: Path, findings: Findings) -> None:
    """What is clean here must load; otherwise the loader's word is a fault."""
    try:
        load_video_set(path)
    except BadInputError as error:
        findings.add("refused by the loader", "$", str(error))


def _check_categories(document: Entry) -> dict[int, str]:
    names: dict[int, str] = {}
    for entry in document.entries("categories"):
        id, name = entry.whole("id"), entry.text("name")
        if _is_new(entry, id, names):
            names[id] = name or "?"  # pyright: ignore[reportArgumentType]
    return names


def _is_new(entry: Entry, id: int | None, taken: dict) -> bool:
    """Whether an id is there and nobody's yet; the second one is a fault."""
    if id in taken:
        entry.findings.add("duplicate id", f"{entry.where}.id", f"{id} is taken already")
    return id is not None and id not in taken


def _check_videos(document: Entry, form: _Form) -> tuple[list[CheckedVideo], dict[int, CheckedVideo]]:
    """All videos, and those that can be referred to by their id."""
    videos: list[CheckedVideo] = []
    by_id: dict[int, CheckedVideo] = {}
    for entry in document.entries(form.owners):
        id = entry.whole("id")
        height, width = _check_size(entry)
        video = CheckedVideo(entry.where, height, width, *_check_files(entry, form))
        videos.append(video)
        if _is_new(entry, id, by_id):
            by_id[id] = video  # pyright: ignore[reportArgumentType]
    return videos, by_id


def _check_size(entry: Entry) -> tuple[int, int] | tuple[None, None]:
    height, width = entry.whole("height"), entry.whole("width")
    if height is None or width is None:
        return None, None
    if min(height, width) < 1 or height * width > MAX_PIXELS:
        entry.findings.add("impossible size", entry.where, f"{height} x {width}")
        return None, None
    return height, width


def _check_files(entry: Entry, form: _Form) -> tuple[int | None, tuple[tuple[str, str], ...]]:
    """How many frames a video has, and their files' JSON paths and names."""
    if form.are_images:
        name = entry.text("file_name")
        return 1, ((f"{entry.where}.file_name", name),) if name is not None else ()
    names = entry.items("file_names")
    if names is None:
        return None, ()
    if not names:
        entry.findings.add("no frames", f"{entry.where}.file_names", "an empty list")
    if entry.value.get("length") is not None:
        length = entry.whole("length")
        if length is not None and length != len(names):
            entry.findings.add("wrong length", f"{entry.where}.length", f"{length}, but {len(names)} files are named")
    files: list[tuple[str, str]] = []
    for index, name in enumerate(names):
        where = f"{entry.where}.file_names[{index}]"
        if isinstance(name, str):
            files.append((where, name))
        else:
            entry.findings.add("wrong type", where, f"{type_name(name)} instead of a text")
    return len(names), tuple(files)


def _check_tracks(document: Entry, form: _Form, known: _Known) -> list[CheckedTrack]:
    if document.value.get("annotations") is None:
        return []
    tracks: list[CheckedTrack] = []
    ids: dict[int, bool] = {}
    for entry in tqdm(list(document.entries("annotations")), f"{document.findings.name} masks", disable=None):
        id = entry.whole("id")
        if _is_new(entry, id, ids):
            ids[id] = True  # pyright: ignore[reportArgumentType]
        tracks.append(_check_track(entry, form, known))
    return tracks


def _check_track(entry: Entry, form: _Form, known: _Known) -> CheckedTrack:
    owner_id, category_id = entry.whole(form.owner_id), entry.whole("category_id")
    for key, id, ids in ((form.owner_id, owner_id, known.videos), ("category_id", category_id, known.names)):
        if id is not None and ids is not None and id not in ids:
            entry.findings.add("unknown id", f"{entry.where}.{key}", str(id))
    crowd = entry.value.get("iscrowd", 0)
    if type(crowd) not in (int, bool):
        entry.wrong_type("iscrowd", "0 or 1")
    video = (known.videos or {}).get(owner_id) if owner_id is not None else None
    boxes, num_masks = _check_image_masks(entry, video) if form.are_images else _check_video_masks(entry, video)
    return CheckedTrack(owner_id, category_id, tuple(boxes), num_masks, bool(crowd))


def _check_image_masks(entry: Entry, video: CheckedVideo | None) -> tuple[list[Box | None], int]:
    """The box and the mask of an image's annotation, both of which must be there."""
    places = (f"{entry.where}.segmentation", f"{entry.where}.bbox")
    has_both = [entry.has(key) for key in ("segmentation", "bbox")]
    if not all(has_both):
        return [], 0
    for key in ("segmentation", "bbox"):
        if entry.value[key] is None:
            entry.wrong_type(key, "a mask" if key == "segmentation" else "a box")
    segmentation, box = entry.value["segmentation"], entry.value["bbox"]
    checked = _check_frame(entry.findings, places, segmentation, box, video)
    return [checked], int(segmentation is not None)


def _check_video_masks(entry: Entry, video: CheckedVideo | None) -> tuple[list[Box | None], int]:
    """The usable boxes of a track and the number of its masks."""
    segmentations, boxes = entry.items("segmentations"), entry.items("bboxes")
    num_frames = video.num_frames if video else None
    for key, values in (("segmentations", segmentations), ("bboxes", boxes)):
        if values is not None and num_frames is not None and len(values) != num_frames:
            entry.findings.add("wrong length", f"{entry.where}.{key}", f"{len(values)} for {num_frames} frames")
    if num_frames is None and segmentations is not None and boxes is not None and len(segmentations) != len(boxes):
        entry.findings.add("wrong length", f"{entry.where}.bboxes", f"{len(boxes)} for {len(segmentations)} masks")
    num_masks = sum(value is not None for value in segmentations or ())
    if segmentations is not None and num_masks == 0:
        entry.findings.add("empty track", entry.where, "not visible in any frame")
    checked: list[Box | None] = []
    for index in range(max(len(segmentations or ()), len(boxes or ()))):
        places = (f"{entry.where}.segmentations[{index}]", f"{entry.where}.bboxes[{index}]")
        segmentation = _at(segmentations, index)
        box = _at(boxes, index)
        if segmentations and boxes and index < min(len(segmentations), len(boxes)):
            _check_presence(entry.findings, places, segmentation, box)
        checked.append(_check_frame(entry.findings, places, segmentation, box, video))
    return checked, num_masks


def _at(values: list | None, index: int) -> object:
    return values[index] if values is not None and index < len(values) else None


def _check_presence(findings: Findings, places: tuple[str, str], segmentation: object, box: object) -> None:
    if segmentation is not None and box is None:
        findings.add("box and mask disagree", places[1], "a mask without a box")
    if segmentation is None and box is not None:
        findings.add("box and mask disagree", places[0], "a box without a mask")


def _check_frame(
    findings: Findings, places: tuple[str, str], segmentation: object, box: object, video: CheckedVideo | None
) -> Box | None:
    """Check one object in one frame; returns its box if that is usable."""
    extent = None if segmentation is None else _check_mask(findings, places[0], segmentation, video)
    sides = None if box is None else _check_box(findings, places[1], box, video)
    if extent is None or sides is None or extent.area == 0:
        return sides
    x, y, width, height = sides
    edges = (x, y, x + width, y + height)
    if not any(_are_close(edges, others) for others in _mask_edges(segmentation, extent)):
        around = [extent.x0, extent.y0, extent.x1 - extent.x0, extent.y1 - extent.y0]
        findings.add("box and mask disagree", places[1], f"{list(sides)}, but the mask's is {around}")
    return sides


def _mask_edges(segmentation: object, extent: Extent) -> Iterator[Sequence[float | int]]:
    """The edges (left, top, right, bottom) of a mask, and of the corners of polygons, whose thin tips fill no pixel."""
    yield extent[1:]
    if isinstance(segmentation, list):
        columns = [x for polygon in segmentation for x in polygon[0::2]]
        rows = [y for polygon in segmentation for y in polygon[1::2]]
        yield min(columns), min(rows), max(columns), max(rows)


def _are_close(edges: Sequence[float | int], others: Sequence[float | int]) -> bool:
    return all(abs(edge - other) <= BOX_TOLERANCE for edge, other in zip(edges, others, strict=True))


def _check_mask(findings: Findings, where: str, segmentation: object, video: CheckedVideo | None) -> Extent | None:
    height, width = (video.height, video.width) if video else (None, None)
    if height is None or width is None:  # judged by what the code says of itself
        size = segmentation.get("size") if isinstance(segmentation, dict) else None
        if not isinstance(size, list) or len(size) != 2 or any(type(side) is not int for side in size):
            return None
        height, width = size
    try:
        extent = mask_extent(segmentation, height, width)
    except ValueError as error:
        findings.add("impossible mask", where, str(error))
        return None
    if extent.area == 0:
        findings.add("zero area", where, "an empty mask; an absent object is null")
    return extent


def _check_box(findings: Findings, where: str, box: object, video: CheckedVideo | None) -> Box | None:
    """The box as numbers if it is one that lies in the frame and has an area."""
    if not isinstance(box, list) or len(box) != 4 or any(type(side) not in (int, float) for side in box):
        what = f"{type_name(box)}" if not isinstance(box, list) else "a list of something else"
        findings.add("wrong type", where, f"{what} instead of 4 numbers")
        return None
    for index, side in enumerate(box):
        if not abs(side) < math.inf:  # unlike isfinite, this takes whole numbers of any size
            findings.add("NaN or Infinity", f"{where}[{index}]", f"the number {side}")
            return None
    x, y, width, height = (max(-_FAR, min(side, _FAR)) for side in box)  # sums and differences stay finite
    if width <= 0 or height <= 0:
        findings.add("zero area", where, f"a box of {width} x {height}")
        return None
    frame_height, frame_width = (video.height, video.width) if video else (None, None)
    if frame_height is None or frame_width is None:
        return None
    beyond = max(-x, -y, x + width - frame_width, y + height - frame_height)
    if beyond > BOX_TOLERANCE:
        findings.add("box out of the frame", where, f"{box} in a frame of {frame_height} x {frame_width}")
        return None
    return (x, y, width, height)


def _judge(
    findings: Findings, split: str, form: _Form, videos: dict[int, CheckedVideo], tracks: Sequence[CheckedTrack]
) -> None:
    """Whether the whole serves its purpose, and what is no fault but good to know."""
    is_usable = any(track.num_masks and not track.is_crowd for track in tracks)
    if split.startswith("train") and not is_usable and not findings.num_faults:
        findings.add("nothing to train on", "$.annotations", "no object that is no crowd is visible in any frame")
    if not tracks:
        findings.notes.append("no ground truth: it can be predicted, not trained on or evaluated")
        return
    num_crowds = sum(track.is_crowd for track in tracks)
    if num_crowds:
        findings.notes.append(f"{num_crowds} crowd {'annotations' if form.are_images else 'tracks'}")
    num_bare = len(videos.keys() - {track.video_id for track in tracks})
    if num_bare:
        findings.notes.append(f"{num_bare} {form.owners} without {'annotations' if form.are_images else 'tracks'}")
