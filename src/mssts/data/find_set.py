"""Which annotation file a set has, and of which form. Needs no torch, so that a wrong path is told at once."""

from pathlib import Path

import msgspec

from mssts.data.coco_set import find_coco_annotations
from mssts.data.video_set import find_annotations


class _Keys(msgspec.Struct):
    """The keys of a file that tell its form."""

    videos: msgspec.Raw = msgspec.Raw()
    images: msgspec.Raw = msgspec.Raw()


def find_set(source: Path, split: str) -> Path:
    """The annotation file of a set in either form; a file is its own.

    Where a folder holds neither form, the search for videos says what is missing.

    Raises:
        BadInputError: There is no such file or folder, or it has no annotations of the split.
    """
    if source.is_file():
        return source
    return find_coco_annotations(source, split) or find_annotations(source, split)


def holds_images(path: Path) -> bool:
    """Whether an annotation file is in COCO form; what is wrong with a broken one is for its reader to say."""
    try:
        keys = msgspec.json.decode(path.read_bytes(), type=_Keys)
    except (OSError, RecursionError, UnicodeDecodeError, msgspec.MsgspecError):
        return False
    return bool(memoryview(keys.images).nbytes) and not memoryview(keys.videos).nbytes
