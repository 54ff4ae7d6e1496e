"""Writes a set in YouTube-VIS form: OUT/split/JPEGImages/<video>/<frame> and, last of all, OUT/split/instances.json."""

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import NamedTuple

import msgspec
import numpy as np
from jaxtyping import Bool
from pycocotools import mask as coco_mask

from mssts.atomic_file import write_atomically
from mssts.errors import BadInputError

IMAGES = "JPEGImages"
ANNOTATIONS = "instances.json"


class SetCounts(NamedTuple):
    """What a written split holds, and where its annotation file is."""

    path: Path
    num_videos: int
    num_frames: int
    num_tracks: int

    def __str__(self) -> str:
        return f"wrote {self.path}: {self.num_videos} videos, {self.num_frames} frames, {self.num_tracks} instances"


def encode_mask(mask: Bool[np.ndarray, "height width"]) -> dict | None:
    """Turn a mask into a compressed run-length code as it stands in a JSON file; None if it is empty."""
    if not mask.any():
        return None
    code = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return as_text({"size": [int(side) for side in mask.shape], "counts": code["counts"]})


def as_text(code: dict) -> dict:
    """A compressed code of pycocotools, whose counts are bytes, as it stands in a JSON file."""
    return code | {"counts": code["counts"].decode("ascii")}


class SetWriter:
    """Writes one split of a set; as a context manager it finishes the split, or removes it if something fails.

    Args:
        out: The set's folder.
        split: The split's name.
        categories: Pairs of id and name.
        info: Whatever the file is to say about itself.

    Raises:
        BadInputError: The split exists already, or its name is not that of a folder.
    """

    def __init__(self, out: Path, split: str, categories: Sequence[tuple[int, str]], info: dict) -> None:
        _refuse_existing(out, split)
        self.folder, self.images = out / split, out / split / IMAGES
        self._content = {"info": info, "videos": [], "annotations": []}
        self._content["categories"] = [{"id": id_, "name": name, "supercategory": "object"} for id_, name in categories]
        self._names: set[str] = set()

    def __enter__(self) -> "SetWriter":
        self.images.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if kind is not None:
            # The folder was empty when the writer began, so nothing here is anybody else's.
            shutil.rmtree(self.folder, ignore_errors=True)
            return
        self._finish()

    @property
    def counts(self) -> SetCounts:
        """What was added so far."""
        videos, tracks = self._content["videos"], self._content["annotations"]
        return SetCounts(self.folder / ANNOTATIONS, len(videos), sum(v["length"] for v in videos), len(tracks))

    def add_video(self, name: str, height: int, width: int, frame_names: Sequence[str]) -> tuple[int, Path]:
        """Note a video, and make the folder that its frames are to be put into.

        Args:
            name: Of the video, which may hold slashes: the frames' folder below the split's pictures.
            height: In pixels.
            width: In pixels.
            frame_names: The frames' file names in order.

        Returns:
            The video's id, and the folder.

        Raises:
            BadInputError: The name leads out of the set, or another video has it.
        """
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise BadInputError(f"'{name}' cannot be the name of a video's folder")
        if str(path) in self._names:
            raise BadInputError(f"two videos are named '{path}'")
        self._names.add(str(path))
        video_id = len(self._content["videos"]) + 1
        file_names = [str(path / frame) for frame in frame_names]
        video = {"id": video_id, "width": width, "height": height, "length": len(file_names), "file_names": file_names}
        self._content["videos"].append(video)
        folder = self.images / path
        folder.mkdir(parents=True, exist_ok=True)
        return video_id, folder

    def add_track(
        self, video_id: int, category_id: int, segmentations: Sequence[dict | None], is_crowd: bool = False
    ) -> bool:
        """Note an instance, unless it has no pixel at all; boxes and areas are those of the codes.

        Args:
            video_id: Of its video.
            category_id: Of its category.
            segmentations: A compressed code per frame; None, or an empty one, where it is absent.
            is_crowd: Whether it is a region in which nothing is to be counted.

        Returns:
            Whether it was noted.
        """
        areas = [int(coco_mask.area(code)) if code else 0 for code in segmentations]  # pyright: ignore[reportArgumentType]
        codes = [code if area else None for code, area in zip(segmentations, areas, strict=True)]
        if not any(areas):
            return False
        boxes = [code and coco_mask.toBbox(code).tolist() for code in codes]  # pyright: ignore[reportArgumentType]
        video = self._content["videos"][video_id - 1]
        track = {"id": len(self._content["annotations"]) + 1, "video_id": video_id, "category_id": category_id}
        track |= {"iscrowd": int(is_crowd)} | {key: video[key] for key in ("width", "height", "length")}
        track |= {"segmentations": codes, "bboxes": boxes, "areas": [area or None for area in areas]}
        self._content["annotations"].append(track)
        return True

    def _finish(self) -> None:
        """Write the annotation file, under its final name when complete."""
        write_atomically(self.folder / ANNOTATIONS, msgspec.json.encode(self._content))


def place_image(source: Path, target: Path, copy: bool) -> None:
    """Bring a picture into a set: a hard link, or a copy where that is asked for or links are not possible.

    Raises:
        BadInputError: The source cannot be read.
    """
    source = source.resolve()
    if not copy:
        with suppress(OSError):
            os.link(source, target)
            return
    try:
        source.open("rb").close()
    except OSError as error:
        raise BadInputError(f"{source}: cannot be read ({error.strerror or error})") from error
    shutil.copyfile(source, target)


def _refuse_existing(out: Path, split: str) -> None:
    folder, beside = out / split, out / f"{split}.json"
    if Path(split).name != split or split in {"", "..", IMAGES}:
        raise BadInputError(f"'{split}' is not the name of a split")
    for path in (out, folder):
        if path.exists() and not path.is_dir():
            raise BadInputError(f"{path}: is not a folder")
    for path in (folder / ANNOTATIONS, beside):
        if path.exists():
            raise BadInputError(f"{path}: the split exists already; choose another folder or split")
    if folder.is_dir() and any(folder.iterdir()):
        reason = "holds files but no annotations, as an interrupted run leaves it; remove it first"
        raise BadInputError(f"{folder}: {reason}")
