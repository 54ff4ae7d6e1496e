"""Synthetic videos of moving, occluding objects, and the window detections that a model would make of them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from scipy.ndimage import binary_dilation, binary_erosion, generate_binary_structure

from mssts.types import WindowDetections

HEIGHT, WIDTH = 36, 64
NUM_SLOTS = 4
EMBEDDING_DIM = 64
SAME_CLASS_COSINE = 0.625  # times the 0.8 of one object seen twice gives 0.5 between two noisy neighbours

Path = Callable[[int], tuple[float, float]]


@dataclass
class SyntheticObject:
    """An ellipse whose centre follows `path` (pixels); later objects of a list hide earlier ones.

    `hidden` are frames in which it cannot be seen, `missed` are windows in which the model does not find it.
    """

    path: Path
    label: int = 0
    radii: tuple[float, float] = (5.0, 4.0)
    hidden: range = range(0)
    missed: tuple[int, ...] = ()
    twin_of: int | None = None


@dataclass(frozen=True)
class Noise:
    """How far the detections are from the truth; the defaults are exact."""

    cosine: float = 1.0
    drop: float = 0.0
    false_positives: float = 0.0
    box_sigma: float = 0.0
    mask: bool = False


NOISY = Noise(cosine=0.8, drop=0.1, false_positives=0.3, box_sigma=0.01, mask=True)


class Observation(NamedTuple):
    """One window and, per detection, which object it is (-1 is a false positive)."""

    detections: WindowDetections
    objects: np.ndarray


@dataclass
class Scene:
    objects: list[SyntheticObject]
    num_frames: int
    rng: np.random.Generator = field(default_factory=np.random.default_rng)

    def __post_init__(self) -> None:
        self.masks = np.stack([self._render(frame) for frame in range(self.num_frames)], axis=1)
        directions = {label: _direction(self.rng) for label in range(NUM_SLOTS)}
        self.prototypes: list[np.ndarray] = []
        for thing in self.objects:
            own = _mix(directions[thing.label], _direction(self.rng), SAME_CLASS_COSINE)
            self.prototypes.append(own if thing.twin_of is None else self.prototypes[thing.twin_of])

    def _render(self, frame: int) -> np.ndarray:
        rows, columns = np.mgrid[:HEIGHT, :WIDTH]
        masks = np.zeros((len(self.objects), HEIGHT, WIDTH), dtype=bool)
        for index, thing in enumerate(self.objects):
            if frame in thing.hidden:
                continue
            x, y = thing.path(frame)
            masks[index] = ((columns - x) / thing.radii[0]) ** 2 + ((rows - y) / thing.radii[1]) ** 2 <= 1
            masks[:index] &= ~masks[index]
        return masks

    def observe(self, starts: list[tuple[int, int]], noise: Noise) -> Iterator[Observation]:
        """The detections of each window (first frame, length), in random order."""
        for window_index, (start, length) in enumerate(starts):
            found = [
                index
                for index, thing in enumerate(self.objects)
                if self.masks[index, start : start + length].any()
                and window_index not in thing.missed
                and self.rng.random() >= noise.drop
            ]
            num_false = self.rng.poisson(noise.false_positives)
            objects = self.rng.permutation(np.array(found + [-1] * num_false, dtype=int))
            yield Observation(self._detect(objects, start, length, noise), objects)

    def _detect(self, objects: np.ndarray, start: int, length: int, noise: Noise) -> WindowDetections:
        masks = np.zeros((len(objects), length, HEIGHT, WIDTH), dtype=bool)
        scores = np.zeros((len(objects), NUM_SLOTS), dtype=np.float32)
        embeddings = np.zeros((len(objects), EMBEDDING_DIM), dtype=np.float32)
        for row, index in enumerate(objects):
            if index < 0:
                masks[row], label = _blob(self.rng), self.rng.integers(NUM_SLOTS)
                embeddings[row] = _direction(self.rng)
            else:
                masks[row], label = self.masks[index, start : start + length], self.objects[index].label
                embeddings[row] = 7 * _mix(self.prototypes[index], _direction(self.rng), noise.cosine)
            if noise.mask:
                masks[row] = _disturb(masks[row], self.rng)
            scores[row] = 0.02
            scores[row, label] = self.rng.uniform(0.5, 0.9)
        boxes = np.array([[_box(mask) for mask in clip] for clip in masks]).reshape(len(objects), length, 4)
        boxes += self.rng.normal(0, 1, boxes.shape) * noise.box_sigma
        logits = np.where(masks, 4.0, -4.0).astype(np.float32)
        return WindowDetections(start, logits, boxes.astype(np.float32), scores, embeddings, np.arange(len(objects)))


def window_starts(num_frames: int, length: int, overlap: int, last: str = "shifted") -> list[tuple[int, int]]:
    """(first frame, length) of windows that cover the video; the last one is `shifted` back or `shorter`."""
    stride = length - overlap
    starts = [(start, length) for start in range(0, max(num_frames - length, 0) + 1, stride)]
    covered = starts[-1][0] + length
    if covered < num_frames and last == "shifted":
        starts.append((num_frames - length, length))
    elif covered < num_frames:
        starts.append((starts[-1][0] + stride, num_frames - starts[-1][0] - stride))
    return starts


def _direction(rng: np.random.Generator) -> np.ndarray:
    vector = rng.normal(size=EMBEDDING_DIM)
    return vector / np.linalg.norm(vector)


def _mix(base: np.ndarray, other: np.ndarray, cosine: float) -> np.ndarray:
    """A unit vector; two that are mixed from one base with independent others have about this cosine similarity."""
    mixed = np.sqrt(cosine) * base + np.sqrt(1 - cosine) * other
    return mixed / np.linalg.norm(mixed)


def _blob(rng: np.random.Generator) -> np.ndarray:
    y, x = rng.integers(4, HEIGHT - 4), rng.integers(4, WIDTH - 4)
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[y - 3 : y + 4, x - 4 : x + 5] = True
    return mask


def _disturb(clip: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each frame's mask is eroded, dilated or kept, and shifted by up to one pixel; small ones are not erased."""
    in_plane = generate_binary_structure(2, 1)[None]
    variants = np.stack([clip, binary_erosion(clip, in_plane), binary_dilation(clip, in_plane)])
    result = variants[rng.integers(3, size=len(clip)), np.arange(len(clip))]
    for frame, shift in enumerate(rng.integers(-1, 2, size=(len(clip), 2))):
        if not result[frame].any():
            result[frame] = clip[frame]
        elif result[frame].sum() > 8:
            result[frame] = np.roll(result[frame], shift, axis=(0, 1))
    return result


def _box(mask: np.ndarray) -> tuple[float, float, float, float]:
    """Normalised cxcywh; an empty mask has a box that means nothing, as with a real model."""
    if not mask.any():
        return 0.5, 0.5, 0.1, 0.1
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    return (left + right) / 2 / WIDTH, (top + bottom) / 2 / HEIGHT, (right - left) / WIDTH, (bottom - top) / HEIGHT


def window(first_frame: int, boxes: Sequence[tuple[int, int] | None], length: int = 3, embedding: int = 0):
    """Detections from one place per frame each: `boxes` are (x, y) corners of 8x8 masks, None is invisible."""
    rows = len(boxes) // length
    logits = np.full((rows, length, HEIGHT, WIDTH), -1.0, dtype=np.float32)
    normalised = np.full((rows, length, 4), 0.5, dtype=np.float32)
    for flat, corner in enumerate(boxes):
        if corner is not None:
            row, frame = divmod(flat, length)
            x, y = corner
            logits[row, frame, y : y + 8, x : x + 8] = 1
            normalised[row, frame] = ((x + 4) / WIDTH, (y + 4) / HEIGHT, 8 / WIDTH, 8 / HEIGHT)
    embeddings = np.tile(np.eye(4, dtype=np.float32)[embedding], (rows, 1))
    scores = np.full((rows, 2), 0.5, dtype=np.float32)
    return WindowDetections(first_frame, logits, normalised, scores, embeddings, np.arange(rows))
