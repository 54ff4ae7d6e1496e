"""Reads a set of videos in YouTube-VIS form (YouTube-VIS 2019, 2021, 2022, OVIS, and any set laid out like them).

Structural faults end in one line with their JSON path. Pictures and segmentations are not opened here; `data/check.py`
looks at those, and finds all faults of a set at once.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from mssts.data.json_file import read_json
from mssts.data.rle import MAX_PIXELS, Segmentation
from mssts.errors import BadInputError

SPLITS = ("train", "valid", "val", "test", "train2017", "val2017")
"""What the splits of public sets are called."""
_LAYOUTS = (
    "{split}.json",
    "{split}/instances.json",
    "{split}/{split}.json",
    "annotations/{split}.json",
    "annotations/instances_{split}.json",
    "annotations_{split}.json",
    "instances_{split}.json",
    "annotations/instances_{split}_sub.json",
    "instances_{split}_sub.json",
    "annotations/annotations_{split}.json",
)
_IMAGE_ROOTS = (
    "{split}/JPEGImages",
    "JPEGImages",
    "{split}",
    "{split}_all_frames/JPEGImages",
    "{split}_all_frames",
    "images/{split}",
    "images",
    ".",
)


class Video(NamedTuple):
    """A video as the file names it; `file_names` are relative to the set's image root and say how long it is."""

    id: int
    height: int
    width: int
    file_names: tuple[str, ...]


class Track(NamedTuple):
    """One object of one video: per frame a segmentation and a box (x, y, width, height in pixels), or None.

    Files need not hold boxes; then all are None.
    """

    id: int
    video_id: int
    category_id: int
    segmentations: tuple[Segmentation | None, ...]
    boxes_xywh: tuple[tuple[float, ...] | None, ...]
    is_crowd: bool


class VideoSet(NamedTuple):
    """The content of one annotation file; `categories` are (id, name), `has_truth` is False without any track."""

    path: Path
    image_root: Path
    videos: tuple[Video, ...]
    tracks: tuple[Track, ...]
    categories: tuple[tuple[int, str], ...]
    has_truth: bool

    def tracks_by_video(self) -> dict[int, list[Track]]:
        """The tracks of each video id, an empty list where there are none."""
        tracks: dict[int, list[Track]] = {video.id: [] for video in self.videos}
        for track in self.tracks:
            tracks[track.video_id].append(track)
        return tracks


class _VideoEntry(msgspec.Struct):
    id: int
    height: int
    width: int
    file_names: tuple[str, ...]
    length: int | None = None


class _TrackEntry(msgspec.Struct):
    id: int
    video_id: int
    category_id: int
    segmentations: tuple[dict | list | None, ...]
    bboxes: tuple[tuple[float, float, float, float] | None, ...] | None = None
    iscrowd: int | bool = 0


class _CategoryEntry(msgspec.Struct):
    id: int
    name: str


class _File(msgspec.Struct):
    videos: tuple[_VideoEntry, ...]
    categories: tuple[_CategoryEntry, ...]
    annotations: tuple[_TrackEntry, ...] | None = None


def find_annotations(folder: Path, split: str) -> Path:
    """Find the annotation file of a split in a set's folder, laid out as the public sets are downloaded.

    Raises:
        BadInputError: There is no such folder, or none of the known names is in it; says which splits it has.
    """
    if not folder.is_dir():
        raise BadInputError(f"{folder}: no such file or folder")
    path = _annotations_of(folder, split)
    if path is None:
        names = ", ".join(layout.format(split=split) for layout in _LAYOUTS[:5])
        others = ", ".join(known_splits(folder))
        hint = f"; it has those of {others}" if others else ""
        raise BadInputError(f"{folder}: no annotations of the split {split} (looked for {names} and the like){hint}")
    return path


def known_splits(folder: Path) -> dict[str, Path]:
    """The annotation files of those of `SPLITS` that a set's folder has."""
    found = {split: _annotations_of(folder, split) for split in SPLITS}
    return {split: path for split, path in found.items() if path is not None}


def _annotations_of(folder: Path, split: str) -> Path | None:
    """The first of the known names that is in a folder."""
    paths = (folder / layout.format(split=split) for layout in _LAYOUTS)
    return next((path for path in paths if path.is_file()), None)


def find_image_root(annotations: Path, first_file: str | None, folder: Path | None = None) -> Path:
    """Find the folder that the file names of an annotation file start from.

    Args:
        annotations: The annotation file; its name tells the split.
        first_file: The set's first file name; the first known place that holds it wins, else the first that exists.
        folder: The set's folder; None takes the one that the annotation file is in, or the one above.
    """
    split = split_name(annotations)
    folders = [folder] if folder else [annotations.parent, annotations.parent.parent]
    roots = [place / root.format(split=split) for place in folders for root in _IMAGE_ROOTS]
    if first_file:
        for root in roots:
            if os.path.isfile(root / first_file):  # Path.is_file raises on impossible names
                return root
    return next((root for root in roots if root.is_dir()), annotations.parent)


def split_name(annotations: Path) -> str:
    """The split that an annotation file's name tells: "train" of instances_train_sub.json or train/instances.json."""
    if annotations.stem == "instances":
        return annotations.absolute().parent.name
    return annotations.stem.removeprefix("instances_").removeprefix("annotations_").removesuffix("_sub")


def load_video_set(source: Path, split: str = "train") -> VideoSet:
    """Read a set's annotations.

    Args:
        source: The set's folder, or an annotation file.
        split: Which annotations of a folder; a file is its own split.

    Raises:
        BadInputError: The file is missing or not JSON, a key is missing or of a wrong type, an id occurs twice or is
            unknown, or a track is not as long as its video.
    """
    is_file = source.exists() and not source.is_dir()  # or a pipe, as a shell's <(…) is
    folder = None if is_file else source
    path = source if folder is None else find_annotations(folder, split)
    content: _File = read_json(path, _File)
    categories = _unique(path, "categories", content.categories)
    videos = _unique(path, "videos", content.videos)
    for index, video in enumerate(content.videos):
        _check_video(video, f"{path}: $.videos[{index}]")
    entries = content.annotations or ()
    _unique(path, "annotations", entries)
    for index, entry in enumerate(entries):
        _check_track(entry, videos, categories, f"{path}: $.annotations[{index}]")
    first_file = content.videos[0].file_names[0] if content.videos else None
    return VideoSet(
        path=path,
        image_root=find_image_root(path, first_file, folder),
        videos=tuple(Video(video.id, video.height, video.width, video.file_names) for video in content.videos),
        tracks=tuple(_track(entry) for entry in entries),
        categories=tuple((category.id, category.name) for category in content.categories),
        has_truth=bool(entries),
    )


_Entry = TypeVar("_Entry", _VideoEntry, _TrackEntry, _CategoryEntry)


def _unique(path: Path, key: str, entries: Sequence[_Entry]) -> dict[int, _Entry]:
    """The entries by their ids, each of which may occur once."""
    by_id: dict[int, _Entry] = {}
    for index, entry in enumerate(entries):
        if entry.id in by_id:
            raise BadInputError(f"{path}: id {entry.id} is taken twice at $.{key}[{index}]")
        by_id[entry.id] = entry
    return by_id


def _check_video(video: _VideoEntry, where: str) -> None:
    if video.height < 1 or video.width < 1 or video.height * video.width > MAX_PIXELS:
        raise BadInputError(f"{where}: a video of {video.height} x {video.width} is not possible")
    if not video.file_names:
        raise BadInputError(f"{where}: a video without frames")
    if video.length is not None and video.length != len(video.file_names):
        raise BadInputError(f"{where}: length is {video.length}, but {len(video.file_names)} files are named")


def _check_track(entry: _TrackEntry, videos: dict[int, _VideoEntry], categories: Iterable[int], where: str) -> None:
    if entry.video_id not in videos:
        raise BadInputError(f"{where}: unknown video_id {entry.video_id}")
    if entry.category_id not in categories:
        raise BadInputError(f"{where}: unknown category_id {entry.category_id}")
    length = len(videos[entry.video_id].file_names)
    for key, values in (("segmentations", entry.segmentations), ("bboxes", entry.bboxes)):
        if values is not None and len(values) != length:
            raise BadInputError(f"{where}: {len(values)} {key} for a video of {length} frames")


def _track(entry: _TrackEntry) -> Track:
    boxes = entry.bboxes or (None,) * len(entry.segmentations)
    return Track(entry.id, entry.video_id, entry.category_id, entry.segmentations, boxes, is_crowd=bool(entry.iscrowd))
