"""Opens every frame of a set: is it there, can it be decoded to the end, is it of its video's size."""

import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from tqdm import tqdm

from mssts.data.check_report import CheckedVideo, Findings
from mssts.data.video_set import find_image_root

_MAX_THREADS = 8


class _Frame(NamedTuple):
    where: str
    path: Path
    height: int | None
    width: int | None


def check_frames(annotations: Path, folder: Path | None, videos: Sequence[CheckedVideo], findings: Findings) -> None:
    """Open the frames of all videos and record what is wrong with them.

    Args:
        annotations: The annotation file.
        folder: The set's folder; None where only the annotation file is known.
        videos: Their files are opened, below the image root that the first file found tells.
        findings: Where faults are recorded.
    """
    root = _image_root(annotations, folder, videos)
    frames = [_Frame(where, root / name, video.height, video.width) for video in videos for where, name in video.files]
    threads = min(_MAX_THREADS, os.cpu_count() or 1)
    with warnings.catch_warnings(), ThreadPoolExecutor(threads) as pool:
        warnings.simplefilter("ignore")  # Pillow warns of pictures that are only odd
        faults = tqdm(pool.map(_frame_fault, frames), findings.name, len(frames), unit="frame", disable=None)
        for frame, fault in zip(frames, faults, strict=True):
            if fault:
                findings.add(fault[0], frame.where, f"{frame.path}: {fault[1]}")


def _image_root(annotations: Path, folder: Path | None, videos: Sequence[CheckedVideo]) -> Path:
    """The folder below which the first frame lies that exists at all."""
    for name in _first_names(videos):
        root = find_image_root(annotations, name, folder)
        if os.path.isfile(root / name):
            return root
    return find_image_root(annotations, None, folder)


def _first_names(videos: Sequence[CheckedVideo]) -> Iterator[str]:
    """The first file of every video."""
    for video in videos:
        if video.files:
            yield video.files[0][1]


def _frame_fault(frame: _Frame) -> tuple[str, str] | None:
    """The kind of fault of a frame and a description, or None."""
    if not os.path.isfile(frame.path):
        return "missing frame", "no such file"
    try:
        with Image.open(frame.path) as image:
            width, height = image.size
            if None not in (frame.width, frame.height) and (width, height) != (frame.width, frame.height):
                return "frame of another size", f"{width} x {height} instead of {frame.width} x {frame.height}"
            image.load()
    except Exception as error:  # Pillow's readers raise whatever comes up in damaged files
        return "unreadable frame", str(error) or type(error).__name__
    return None
