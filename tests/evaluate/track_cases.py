"""Tracks as arrays of masks, made by hand or at random, and the same as a set and results in their file form."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from pycocotools import mask as coco_mask

from mssts.data.video_set import Track, Video, VideoSet
from mssts.evaluate.results_file import Result

CATEGORIES = (5, 9, 700)
HEIGHT, WIDTH = 36, 44


class MaskTrack(NamedTuple):
    """A found or true track; a mask, or None, per frame."""

    video_id: int
    category_id: int
    masks: list[np.ndarray | None]
    score: float = 1.0
    is_crowd: bool = False


class TrackCase(NamedTuple):
    """Videos with true and found tracks."""

    videos: list[Video]
    truths: list[MaskTrack]
    found: list[MaskTrack]


def encode(mask: np.ndarray | None) -> dict | None:
    """A compressed run-length code, as pycocotools writes it."""
    return None if mask is None else dict(coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8)))


def to_set(case: TrackCase) -> VideoSet:
    tracks = [
        Track(
            index, track.video_id, track.category_id, tuple(map(encode, track.masks)),
            (None,) * len(track.masks), track.is_crowd,
        )
        for index, track in enumerate(case.truths)
    ]  # fmt: skip
    categories = tuple((id_, f"class {id_}") for id_ in CATEGORIES)
    return VideoSet(Path("gt.json"), Path(), tuple(case.videos), tuple(tracks), categories, bool(tracks))


def to_results(case: TrackCase) -> list[Result]:
    return [Result(one.video_id, one.category_id, one.score, tuple(map(encode, one.masks))) for one in case.found]


def box(top: int, left: int, bottom: int, right: int, size: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    """A rectangle of pixels, bottom and right exclusive."""
    mask = np.zeros(size, dtype=bool)
    mask[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = True
    return mask


def ellipse(random: np.random.Generator, shift: float, centre: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """An ellipse that has moved, with a ragged outline; it may reach over the frame's border."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    distance = ((rows - centre[0]) / radii[0]) ** 2 + ((columns - centre[1] - shift) / radii[1]) ** 2
    return distance + random.normal(0, 0.1, distance.shape) < 1


def random_case(seed: int, with_crowds: bool = False, max_finds: int = 2) -> TrackCase:
    """Tracks that come and go; found ones that are shifted, lost, swapped with another's, of a wrong class or nothing.

    A track is found up to `max_finds` times. With crowds, a video has at most one of a class.
    """
    random = np.random.default_rng(seed)
    videos = [Video(id_, HEIGHT, WIDTH, tuple(map(str, range(random.integers(1, 9))))) for id_ in (30, 4, 11)]
    truths, found = [], []
    for video in videos:
        num_truths = random.integers(0 if video is videos[-1] else 2, 5)
        own = [_random_track(random, video, int(random.choice(CATEGORIES[:2]))) for _ in range(num_truths)]
        truths += own
        found += [_find(random, track, own) for track in own for _ in range(random.integers(0, max_finds + 1))]
        found += [_random_track(random, video, int(random.choice(CATEGORIES))) for _ in range(random.integers(0, 3))]
        if with_crowds:
            crowds = [_random_track(random, video, category_id) for category_id in CATEGORIES[:2]]
            truths += [crowd._replace(is_crowd=True) for crowd in crowds]
            found += [_find(random, crowd, crowds) for crowd in crowds for _ in range(2)]
    found = [track._replace(score=float(random.random())) for track in found]
    return TrackCase(videos, truths, found)


def _random_track(random: np.random.Generator, video: Video, category_id: int) -> MaskTrack:
    centre, radii, speed = random.uniform(0, (HEIGHT, WIDTH)), random.uniform(4, 16, 2), random.uniform(-3, 3)
    masks = [ellipse(random, speed * time, centre, radii) for time in range(len(video.file_names))]
    return MaskTrack(video.id, category_id, [mask if random.random() < 0.85 else None for mask in masks])


def _find(random: np.random.Generator, track: MaskTrack, others: list[MaskTrack]) -> MaskTrack:
    shift, switch = random.integers(-2, 3), random.integers(0, 2 * len(track.masks) + 1)
    other = others[random.integers(len(others))]
    masks = [*track.masks[:switch], *other.masks[switch:]]
    moved = [None if mask is None or random.random() < 0.1 else np.roll(mask, shift, axis=0) for mask in masks]
    is_wrong = random.random() < 0.15
    return track._replace(masks=moved, category_id=int(random.choice(CATEGORIES)) if is_wrong else track.category_id)
