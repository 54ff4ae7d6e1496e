"""Converts DAVIS 2016 and 2017 folders, and others that are laid out like them, to YouTube-VIS form."""

from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Int
from tqdm import tqdm

from mssts.data.mask_folders import MaskVideo, choose_videos, convert_video, open_mask, pair_frames
from mssts.data.set_writer import SetCounts, SetWriter
from mssts.errors import BadInputError

CATEGORY = (1, "object")
# Unlabelled pixels in some sets with several objects, and the object itself in DAVIS 2016.
VOID = 255
# Sets come in one or more of these sizes; sets like YouTube-VOS have no such level.
RESOLUTIONS = ("480p", "Full-Resolution", "1080p", ".")


def convert_davis(
    source: Path, out: Path, split: str, *, only: Path | None = None, copy: bool = False, progress: bool = True
) -> tuple[SetCounts, list[str]]:
    """Convert JPEGImages/480p/<video>/*.jpg with Annotations/480p/<video>/*.png, whose pixel values are object ids.

    The sets do not name classes: every object is of the category `object`. The value 255 is left out as unlabelled,
    unless a video has no other object, as in DAVIS 2016. Frames without a mask are left out.

    Args:
        source: The set's folder.
        out: Folder of the new set.
        split: Of the new set.
        only: A text file with the names of the videos to take, such as DAVIS' ImageSets/2017/train.txt.
        copy: Whether to copy the pictures rather than to link them.
        progress: Whether to show a progress bar.

    Returns:
        What was written, and lines that tell what was left out.

    Raises:
        BadInputError: The folder is not laid out like this, a file is damaged, or the split exists already.
    """
    pictures, masks = _find_folders(source)
    names = choose_videos(sorted(path.name for path in masks.iterdir() if path.is_dir()), only)
    if not names:
        raise BadInputError(f"{masks}: holds no folders of masks")
    videos = [pair_frames(name, pictures / name, masks / name) for name in names]
    num_void = 0
    with SetWriter(out, split, [CATEGORY], {"description": f"converted from the DAVIS folder {source.name}"}) as writer:
        for video in tqdm(videos, unit="video", disable=not progress, dynamic_ncols=True):
            void = _void_value(video)
            num_void += void is not None
            convert_video(writer, video, partial(read_ids, void=void), lambda _id: CATEGORY[0], copy)
    return writer.counts, _notices(videos, num_void)


def read_ids(path: Path, void: int | None = None) -> Int[np.ndarray, "height width"]:
    """Read the object ids of a mask; pixels of the value `void` become background.

    Raises:
        BadInputError: The file is damaged or a picture in colours.
    """
    image = open_mask(path)
    values = np.asarray(image)
    if values.ndim == 3 and image.mode in {"RGB", "RGBA"} and (values[..., :3] == values[..., :1]).all():
        values = values[..., 0]
    if values.ndim != 2 or values.dtype.kind not in "bui":
        raise BadInputError(f"{path}: a mask has object ids for pixel values, not colours (mode {image.mode})")
    ids = values.astype(np.int64)
    return ids if void is None else np.where(ids == void, 0, ids)


def _find_folders(source: Path) -> tuple[Path, Path]:
    """The folders that hold a folder per video: pictures, masks."""
    for resolution in RESOLUTIONS:
        pictures, masks = source / "JPEGImages" / resolution, source / "Annotations" / resolution
        if pictures.is_dir() and masks.is_dir():
            return pictures, masks
    raise BadInputError(f"{source}: not a DAVIS folder, which has JPEGImages/480p and Annotations/480p")


def _void_value(video: MaskVideo) -> int | None:
    """The value that means unlabelled in this video, if there is one."""
    values = set()
    for _, mask in video.frames:
        values |= set(np.unique(read_ids(mask)).tolist())
        if VOID in values and values - {0, VOID}:
            return VOID
    return None


def _notices(videos: list[MaskVideo], num_void: int) -> list[str]:
    left_out = sum(video.num_without_mask for video in videos)
    notices = [f"left out: {left_out} frames without a mask"] if left_out else []
    if num_void:
        notices.append(f"left out: pixels of value {VOID} (unlabelled) in {num_void} videos")
    return notices
