"""Converts MOTS PNGs (KITTI MOTS, MOTSChallenge) to YouTube-VIS form."""

from pathlib import Path

import numpy as np
from jaxtyping import Int
from tqdm import tqdm

from mssts.data.mask_folders import MaskVideo, choose_videos, convert_video, open_mask, pair_frames
from mssts.data.set_writer import SetCounts, SetWriter
from mssts.errors import BadInputError

CATEGORIES = ((1, "car"), (2, "pedestrian"))
# Pixel value = class * 1000 + instance.
CLASS_UNIT = 1000
IGNORE = 10_000
# Where the frames of a sequence are, in the sets as downloaded.
PICTURES = (
    "training/image_02/{name}",
    "image_02/{name}",
    "images/{name}",
    "train/{name}/img1",
    "{name}/img1",
    "train/images/{name}",
)
MASKS = ("instances", "training/instances", "train/instances")


def convert_mots(
    source: Path, out: Path, split: str, *, only: Path | None = None, copy: bool = False, progress: bool = True
) -> tuple[SetCounts, list[str]]:
    """Convert instances/<sequence>/000000.png, 16-bit pictures of class * 1000 + instance, with their frames.

    Regions to be ignored (10000) belong to no class, and a crowd in YouTube-VIS form needs one: they are left out.
    Frames without a mask file are left out.

    Args:
        source: The set's folder, which holds `instances` and the frames.
        out: Folder of the new set.
        split: Of the new set.
        only: A text file with the names of the sequences to take.
        copy: Whether to copy the pictures rather than to link them.
        progress: Whether to show a progress bar.

    Returns:
        What was written, and lines that tell what was left out.

    Raises:
        BadInputError: The folder is not laid out like this, a file is damaged, a pixel's class is neither car (1) nor
            pedestrian (2), or the split exists already.
    """
    masks = next((source / folder for folder in MASKS if (source / folder).is_dir()), None)
    if masks is None:
        raise BadInputError(f"{source}: not a MOTS folder, which has a folder instances")
    names = choose_videos(sorted(path.name for path in masks.iterdir() if path.is_dir()), only)
    if not names:
        raise BadInputError(f"{masks}: holds no folders of masks")
    videos = [pair_frames(name, _find_pictures(source, name), masks / name) for name in names]
    with SetWriter(out, split, CATEGORIES, {"description": f"converted from the MOTS folder {source.name}"}) as writer:
        for video in tqdm(videos, unit="video", disable=not progress, dynamic_ncols=True):
            convert_video(writer, video, read_ids, lambda id_: id_ // CLASS_UNIT, copy)
    return writer.counts, _notices(videos)


def read_ids(path: Path) -> Int[np.ndarray, "height width"]:
    """Read the ids (class * 1000 + instance) of a mask; regions to be ignored become background.

    Raises:
        BadInputError: The file is damaged, a picture in colours, or holds a class that MOTS does not have.
    """
    image = open_mask(path)
    values = np.asarray(image)
    if values.ndim != 2 or values.dtype.kind not in "ui":
        raise BadInputError(f"{path}: not a 16-bit greyscale PNG of instance ids (mode {image.mode})")
    ids = np.where(values == IGNORE, 0, values.astype(np.int64))
    known = [id_ for id_, _ in CATEGORIES]
    for id_ in np.unique(ids).tolist():
        if id_ and id_ // CLASS_UNIT not in known:
            raise BadInputError(
                f"{path}: the value {id_} is of class {id_ // CLASS_UNIT}, MOTS has 1 (car), 2 (pedestrian)"
            )
    return ids


def _find_pictures(source: Path, name: str) -> Path:
    """The folder of a sequence's frames."""
    folders = [source / folder.format(name=name) for folder in PICTURES]
    for folder in folders:
        if folder.is_dir():
            return folder
    raise BadInputError(f"{source}: no frames of the sequence {name} (looked for {PICTURES[0]} and the like)")


def _notices(videos: list[MaskVideo]) -> list[str]:
    left_out = sum(video.num_without_mask for video in videos)
    return [f"left out: {left_out} frames without a mask"] if left_out else []
