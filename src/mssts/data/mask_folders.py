"""What data sets whose masks are pictures of object ids have in common: folders of frames beside folders of masks."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int
from PIL import Image

from mssts.data.set_writer import SetWriter, encode_mask, place_image
from mssts.errors import BadInputError

PICTURES = {".jpg", ".jpeg", ".png"}
# 0 is the background in every such set.
ReadIds = Callable[[Path], Int[np.ndarray, "height width"]]


class MaskVideo(NamedTuple):
    """A video to be converted: the frames that have a mask, each with it, and how many frames have none."""

    name: str
    frames: tuple[tuple[Path, Path], ...]
    num_without_mask: int


def pair_frames(name: str, pictures: Path, masks: Path) -> MaskVideo:
    """Bring the pictures and the masks of a video together by their names without suffix.

    Raises:
        BadInputError: A mask has no picture, or there is no mask.
    """
    by_stem = {path.stem: path for path in files_of(pictures, PICTURES)}
    pairs = []
    for mask in files_of(masks, {".png"}):
        if mask.stem not in by_stem:
            raise BadInputError(f"{mask}: no frame of that name in {pictures}")
        pairs.append((by_stem[mask.stem], mask))
    if not pairs:
        raise BadInputError(f"{masks}: holds no masks")
    return MaskVideo(name, tuple(pairs), len(by_stem) - len(pairs))


def files_of(folder: Path, suffixes: set[str]) -> list[Path]:
    """The files of a folder with one of the suffixes, by name; none of a folder that is not there."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in suffixes)


def choose_videos(names: Sequence[str], only: Path | None) -> list[str]:
    """All videos of a set, or those that a text file lists, one a line.

    Raises:
        BadInputError: The list cannot be read or names a video that is not there.
    """
    if only is None:
        return list(names)
    try:
        wanted = [line.strip() for line in only.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(f"{only}: cannot be read ({error})") from error
    unknown = [name for name in wanted if name not in set(names)]
    if unknown or not wanted:
        raise BadInputError(f"{only}: {f'names the unknown video {unknown[0]}' if unknown else 'names no video'}")
    return wanted


def open_mask(path: Path) -> Image.Image:
    """Decode a mask.

    Raises:
        BadInputError: The file is not a picture, or is damaged.
    """
    try:
        with Image.open(path) as image:
            image.load()
            return image
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadInputError(f"{path}: cannot be read as a mask ({error})") from error


def convert_video(
    writer: SetWriter, video: MaskVideo, read_ids: ReadIds, category_of: Callable[[int], int], copy: bool
) -> None:
    """Write a video whose pixel values tell the object in all of its frames.

    Args:
        writer: Where it goes.
        video: Its frames.
        read_ids: Gives the object ids of a mask file.
        category_of: Gives an object's category.
        copy: Whether to copy the pictures rather than to link them.

    Raises:
        BadInputError: A file cannot be read, or the sizes differ.
    """
    size = picture_size(video.frames[0][0])
    video_id, folder = writer.add_video(video.name, *size, [picture.name for picture, _ in video.frames])
    tracks: dict[int, list[dict | None]] = {}
    for frame, (picture, mask) in enumerate(video.frames):
        ids = read_ids(mask)
        for path, found in ((picture, picture_size(picture)), (mask, ids.shape)):
            if tuple(found) != size:
                raise BadInputError(
                    f"{path}: is {found[0]} x {found[1]}, the video's first frame {size[0]} x {size[1]}"
                )
        for id_ in np.unique(ids[ids != 0]).tolist():
            track = tracks.setdefault(id_, [None] * len(video.frames))
            track[frame] = encode_mask(ids == id_)
        place_image(picture, folder / picture.name, copy)
    for id_, segmentations in sorted(tracks.items()):
        writer.add_track(video_id, category_of(id_), segmentations)


def picture_size(path: Path) -> tuple[int, int]:
    """Height and width in pixels, read from the file's head.

    Raises:
        BadInputError: The file is not a picture.
    """
    try:
        with Image.open(path) as image:
            return image.height, image.width
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadInputError(f"{path}: cannot be read as a picture ({error})") from error
