"""Synthetic videos with exact truth: textured shapes that move over a cluttered, textured, moving background.

A video poses the difficulties that the paper studies (section 4.3: fast motion, change of size, change of aspect ratio)
and occlusion, leaving and entering, and neighbours of the same class. Shape and texture make the class; colour says
nothing about it. The same seed gives the same video.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image, ImageFilter

from mssts.config import Category
from mssts.data.synthetic_motion import Motion, Pose, sample_motion
from mssts.data.synthetic_shapes import SHAPES, TEXTURES, inside, texture

CATEGORIES = tuple(
    Category(slot, slot + 1, f"{texture_name} {shape}")
    for slot, (shape, texture_name) in enumerate((shape, texture_name) for shape in SHAPES for texture_name in TEXTURES)
)
MIN_VISIBLE_AREA_PX = 16
BACKGROUND_MARGIN_PX = 48


class SyntheticVideo(NamedTuple):
    """Frames and their truth: visible masks, class slots, boxes (x0, y0, x1, y1 in pixels, 0 where absent)."""

    frames: UInt8[np.ndarray, "T H W 3"]
    masks: Bool[np.ndarray, "K T H W"]
    labels: Int[np.ndarray, " K"]
    boxes: Float[np.ndarray, "K T 4"]


class _Actor(NamedTuple):
    """One moving shape: its class slot, its two colours, the fineness and phase of its texture, its motion."""

    slot: int
    colours: Float[np.ndarray, "2 3"]
    fineness: float
    motion: Motion


def synthesize_video(
    seed: int, *, num_frames: int, height: int = 128, width: int = 224, difficulty: float = 1.0
) -> SyntheticVideo:
    """Render a video.

    Args:
        seed: What the video looks like.
        num_frames: Its length.
        height: In pixels.
        width: In pixels.
        difficulty: From 0 (one to three slow shapes on a calm background) to 1 (everything at once).
    """
    random = np.random.default_rng(seed)
    actors = _cast(random, height, width, difficulty)
    backdrop = _backdrop(random, height, width, difficulty)
    pan = random.uniform(-1, 1, 2) * (0.3 + 1.2 * difficulty)
    frames = np.empty((num_frames, height, width, 3), dtype=np.uint8)
    masks = np.zeros((len(actors), num_frames, height, width), dtype=bool)
    for index in range(num_frames):
        canvas = _crop(backdrop, pan * index, height, width)
        for actor_index, actor in enumerate(actors):
            _draw(canvas, masks[:, index], actor_index, actor, actor.motion.pose(index))
        noise = random.normal(0, 2 + 4 * difficulty, canvas.shape).astype(np.float32)
        frames[index] = np.clip(_soften(canvas) + noise, 0, 255)
    visible = masks.sum(axis=(2, 3)).max(axis=1, initial=0) >= MIN_VISIBLE_AREA_PX
    masks = masks[visible]
    labels = np.array([actor.slot for actor in actors], dtype=np.int64)[visible]
    return SyntheticVideo(frames, masks, labels, boxes_of(masks))


def boxes_of(masks: Bool[np.ndarray, "K T H W"]) -> Float[np.ndarray, "K T 4"]:
    """The extents of each mask, 0 where it is empty."""
    boxes = np.zeros((*masks.shape[:2], 4), dtype=np.float32)
    rows, columns = masks.any(axis=3), masks.any(axis=2)
    present = rows.any(axis=2)
    height, width = masks.shape[2:]
    boxes[..., 0] = columns.argmax(axis=2)
    boxes[..., 1] = rows.argmax(axis=2)
    boxes[..., 2] = width - columns[..., ::-1].argmax(axis=2)
    boxes[..., 3] = height - rows[..., ::-1].argmax(axis=2)
    return boxes * present[..., None]


def _cast(random: np.random.Generator, height: int, width: int, difficulty: float) -> list[_Actor]:
    """Choose the shapes, in painting order; the harder the video, the more they are of one class."""
    count = int(random.integers(1, 4 + round(2 * difficulty)))
    slots = random.integers(0, len(CATEGORIES), count)
    if random.random() < 0.5 * difficulty:
        slots[:] = slots[0]
    return [
        _Actor(
            int(slot),
            _two_colours(random),
            float(random.uniform(2.2, 3.8)),
            sample_motion(random, height, width, difficulty),
        )
        for slot in slots
    ]


def _two_colours(random: np.random.Generator) -> Float[np.ndarray, "2 3"]:
    """Two colours that can be told apart."""
    while True:
        colours = random.uniform(10, 245, (2, 3))
        if np.abs(colours[0] - colours[1]).sum() > 200:
            return colours


def _backdrop(random: np.random.Generator, height: int, width: int, difficulty: float) -> Float[np.ndarray, "H W 3"]:
    """A background larger than the frame: smooth noise at several scales, and irregular textured patches as clutter."""
    height, width = height + 2 * BACKGROUND_MARGIN_PX, width + 2 * BACKGROUND_MARGIN_PX
    canvas = np.full((height, width, 3), random.uniform(60, 190, 3), dtype=np.float32)
    for cells, strength in ((3, 40.0), (9, 30.0 * (0.3 + difficulty)), (30, 22.0 * (0.3 + difficulty))):
        canvas += strength * _smooth_noise(random, height, width, cells)
    for _ in range(round(6 * difficulty)):
        field = _smooth_noise(random, height, width, 7)[..., 0]
        patch = field > np.quantile(field, random.uniform(0.93, 0.98))
        y, x = np.mgrid[0:height, 0:width].astype(np.float32) / random.uniform(6, 12)
        share = texture(TEXTURES[random.integers(len(TEXTURES))], x, y, 1.0)[..., None]
        colours = random.uniform(10, 245, (2, 3))
        canvas = np.where(patch[..., None], colours[0] * share + colours[1] * (1 - share), canvas)
    return canvas.astype(np.float32)


def _smooth_noise(random: np.random.Generator, height: int, width: int, cells: int) -> Float[np.ndarray, "H W 3"]:
    """Noise in about -1..1 that varies over 1 / cells of the height."""
    coarse = random.uniform(-1, 1, (cells + 1, round(cells * width / height) + 1, 3)).astype(np.float32)
    channels = [Image.fromarray(coarse[..., c]).resize((width, height), Image.Resampling.BICUBIC) for c in range(3)]
    return np.stack([np.asarray(channel) for channel in channels], axis=-1)


def _crop(
    backdrop: Float[np.ndarray, "_h _w 3"], offset: Float[np.ndarray, "2"], height: int, width: int
) -> Float[np.ndarray, "H W 3"]:
    """The part of the background in view, to whole pixels; it stays inside the backdrop."""
    y, x = np.clip(np.round(BACKGROUND_MARGIN_PX + offset), 0, 2 * BACKGROUND_MARGIN_PX).astype(int)
    return backdrop[y : y + height, x : x + width].copy()


def _draw(
    canvas: Float[np.ndarray, "H W 3"], masks: Bool[np.ndarray, "K H W"], index: int, actor: _Actor, pose: Pose
) -> None:
    """Paint an actor over what is there, and take the pixels it covers from the masks of those below."""
    height, width, _ = canvas.shape
    reach = 1.5 * max(pose.half_width, pose.half_height)
    y0, y1 = (int(np.clip(pose.y + side, 0, height)) for side in (-reach, reach + 1))
    x0, x1 = (int(np.clip(pose.x + side, 0, width)) for side in (-reach, reach + 1))
    if y0 >= y1 or x0 >= x1:
        return
    y, x = np.mgrid[y0:y1, x0:x1].astype(np.float32) + 0.5
    cos, sin = np.cos(pose.angle), np.sin(pose.angle)
    u = ((x - pose.x) * cos + (y - pose.y) * sin) / pose.half_width
    v = (-(x - pose.x) * sin + (y - pose.y) * cos) / pose.half_height
    category = CATEGORIES[actor.slot]
    texture_name, shape = category.name.split()
    covered = inside(shape, u, v)
    share = texture(texture_name, u, v, actor.fineness)[..., None]
    colours = actor.colours[0] * share + actor.colours[1] * (1 - share)
    canvas[y0:y1, x0:x1][covered] = colours[covered]
    masks[:, y0:y1, x0:x1] &= ~covered
    masks[index, y0:y1, x0:x1] = covered


def _soften(canvas: Float[np.ndarray, "H W 3"]) -> Float[np.ndarray, "H W 3"]:
    """Blur by less than a pixel, as a lens does, so that edges are not a giveaway."""
    image = Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(0.7)), dtype=np.float32)
