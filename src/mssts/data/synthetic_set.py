"""Writes sets of synthetic videos in YouTube-VIS form, with exact truth, for evaluation and training from files."""

import math
import zlib
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from tqdm import tqdm

from mssts.data.attributes import video_attributes
from mssts.data.set_writer import SetCounts, SetWriter, encode_mask
from mssts.data.synthetic import CATEGORIES, SyntheticVideo, synthesize_video
from mssts.data.synthetic_cast import ATTRIBUTE_SHARE, ATTRIBUTES

# The lowest at which videos have up to five instances and 30 % and more of them show each attribute.
DEFAULT_DIFFICULTY = 0.5
# Out of as many videos in a row as this, an equal number are built to show each attribute: at least the share that
# `synthetic_cast` would draw, so that chance leaves no set without.
BLOCK = 10
# Neighbouring pixels of two objects make an occlusion from this many pairs on, not the touch of a corner.
MIN_SHARED_EDGE_PX = 8
# JPEG as in the real sets, half as large as PNG. Its colours are not subsampled, since the textures are narrow: that
# would change pixels by 9 of 255 (RMS); so they change by 4, which is less than the camera's noise.
JPEG_OPTIONS = {"format": "JPEG", "quality": 95, "subsampling": 0}


class Recipe(NamedTuple):
    """What makes a video of a set: the seed of its picture, its number of frames, what it is built to show."""

    seed: np.random.SeedSequence
    num_frames: int
    attributes: frozenset[str]


class SyntheticSummary(NamedTuple):
    """What was written, and the shares (0..1) of the videos that were built to show, and do show, each attribute."""

    counts: SetCounts
    built: dict[str, float]
    shown: dict[str, float]


def video_recipe(
    seed: int,
    split: str,
    index: int,
    min_frames: int = 12,
    max_frames: int = 36,
    difficulty: float = DEFAULT_DIFFICULTY,
) -> Recipe:
    """Derive a video of a set from the set's seed, its split and the video's number; other videos do not matter.

    The random numbers come from a branch of the seed (its spawn key). A plain whole number, which training gives to
    `synthesize_video`, never leads there, so no seed of a set repeats a training video, and two splits of one seed
    have no video in common.

    Args:
        seed: Of the set, 0 or more.
        split: Its name.
        index: Of the video, from 0.
        min_frames: The shortest length.
        max_frames: The longest length.
        difficulty: 0..1; also decides how many videos show each attribute.
    """
    branch = zlib.crc32(split.encode())
    picture, length = np.random.SeedSequence(seed, spawn_key=(branch, 0, index)).spawn(2)
    num_frames = int(np.random.default_rng(length).integers(min_frames, max_frames + 1))
    plan = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(branch, 1, index // BLOCK)))
    places = plan.permuted(np.tile(np.arange(BLOCK), (len(ATTRIBUTES), 1)), axis=1)[:, index % BLOCK]
    num_built = math.ceil(ATTRIBUTE_SHARE * difficulty * BLOCK - 1e-9)
    built = frozenset(name for name, place in zip(ATTRIBUTES, places, strict=True) if place < num_built)
    return Recipe(picture, num_frames, built)


def write_synthetic_set(
    out: Path,
    split: str,
    num_videos: int,
    seed: int,
    height: int = 128,
    width: int = 224,
    min_frames: int = 12,
    max_frames: int = 36,
    difficulty: float = DEFAULT_DIFFICULTY,
    progress: bool = True,
) -> SyntheticSummary:
    """Write one split of a synthetic set; the same arguments give the same files, byte for byte.

    Args:
        out: The set's folder.
        split: The split's name, usually train or valid.
        num_videos: How many videos.
        seed: What they look like; see `video_recipe`.
        height: In pixels.
        width: In pixels.
        min_frames: The shortest length; videos of 12 frames and more show all that they are built to show.
        max_frames: The longest length.
        difficulty: Of the videos, 0..1.
        progress: Whether to show a progress bar.

    Raises:
        BadInputError: The split exists already.
    """
    info = {"description": "synthetic videos with exact truth, made by mssts data synthesize"}
    info |= {"seed": seed, "split": split, "difficulty": difficulty}
    built: Counter[str] = Counter()
    shown: Counter[str] = Counter()
    with SetWriter(out, split, [(category.id, category.name) for category in CATEGORIES], info) as writer:
        for index in tqdm(range(num_videos), unit="video", disable=not progress, dynamic_ncols=True):
            recipe = video_recipe(seed, split, index, min_frames, max_frames, difficulty)
            video = synthesize_video(
                recipe.seed,
                num_frames=recipe.num_frames,
                height=height,
                width=width,
                difficulty=difficulty,
                attributes=recipe.attributes,
            )
            _write_video(writer, f"{index:05d}", video)
            built.update(video.attributes)
            shown.update(shown_attributes(video))
    shares = ({name: counts[name] / num_videos for name in ATTRIBUTES} for counts in (built, shown))
    return SyntheticSummary(writer.counts, *shares)


def shown_attributes(video: SyntheticVideo) -> frozenset[str]:
    """Read from the truth alone which of `synthetic_cast.ATTRIBUTES` a video shows.

    The paper's three are judged by `video_attributes`. Two objects occlude each other where their masks share an edge,
    an object leaves or enters if it is invisible in some frame, and neighbours of the same class are visible together.
    """
    paper = video_attributes([boxes_xywh(boxes) for boxes in video.boxes])
    found = {name for name, value in paper._asdict().items() if value}
    present = np.any(video.masks, axis=(2, 3))
    if not present.all():
        found.add("leaving")
    if any(len(set(video.labels[seen].tolist())) < seen.sum() for seen in np.moveaxis(present, 1, 0)):
        found.add("same_class")
    if _share_an_edge(video):
        found.add("occlusion")
    return frozenset(found)


def boxes_xywh(boxes: np.ndarray) -> list[tuple[float, ...] | None]:
    """One object's boxes (x0, y0, x1, y1 in pixels, rows of a [T 4] array) as annotation files have them."""
    return [(x0, y0, x1 - x0, y1 - y0) if x1 > x0 else None for x0, y0, x1, y1 in boxes.tolist()]


def _share_an_edge(video: SyntheticVideo) -> bool:
    """Whether in some frame the pixels of two objects are neighbours along an edge."""
    numbers = np.arange(1, len(video.masks) + 1, dtype=np.uint8)[:, None, None, None]
    ids = (video.masks * numbers).max(axis=0, initial=0)
    pairs = np.zeros(len(ids), dtype=np.int64)
    for one, other in ((ids[:, 1:], ids[:, :-1]), (ids[:, :, 1:], ids[:, :, :-1])):
        pairs += np.sum((one != other) & (one > 0) & (other > 0), axis=(1, 2))
    return bool((pairs >= MIN_SHARED_EDGE_PX).any())


def _write_video(writer: SetWriter, name: str, video: SyntheticVideo) -> None:
    """Write the frames, and note the truth."""
    num_frames, height, width, _ = video.frames.shape
    names = [f"{frame:05d}.jpg" for frame in range(num_frames)]
    video_id, folder = writer.add_video(name, height, width, names)
    for file_name, frame in zip(names, video.frames, strict=True):
        _write_jpeg(folder / file_name, frame)
    for label, masks in zip(video.labels, video.masks, strict=True):
        writer.add_track(video_id, CATEGORIES[label].id, [encode_mask(mask) for mask in masks])


def _write_jpeg(path: Path, frame: UInt8[np.ndarray, "H W 3"]) -> None:
    Image.fromarray(frame).save(path, **JPEG_OPTIONS)
