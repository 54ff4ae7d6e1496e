"""Synthetic videos with exact truth: textured shapes that move over a cluttered, textured, moving background.

A video poses the difficulties that the paper studies (section 4.3: fast motion, change of size, change of aspect ratio)
and occlusion, leaving and entering, and neighbours of the same class. Shape and texture make the class; colour says
nothing about it. The same seed gives the same video, and a longer one begins with the frames of a shorter one.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from mssts.config import Category
from mssts.data.synthetic_background import Background
from mssts.data.synthetic_cast import Actor, sample_cast
from mssts.data.synthetic_motion import Pose
from mssts.data.synthetic_shapes import APPEARANCES, REACH, outline, texture

CATEGORIES = tuple(
    Category(slot, slot + 1, f"{texture_name} {shape}") for slot, (shape, texture_name) in enumerate(APPEARANCES)
)
# An object that is never seen with more than this is not listed, though it may be painted.
MIN_VISIBLE_AREA_PX = 16
# Over how many pixels an object's edge fades into what is behind it.
EDGE_WIDTH_PX = 1.6
# The camera's noise is one pattern that is seen from another place in each frame, by up to this many pixels.
NOISE_SHIFT_PX = 32


class SyntheticVideo(NamedTuple):
    """Frames and their truth: visible masks, class slots, boxes (x0, y0, x1, y1 in pixels, 0 where absent).

    `attributes` names what the video was built to show (of `synthetic_cast.ATTRIBUTES`) within its first 12 frames.
    """

    frames: UInt8[np.ndarray, "T H W 3"]
    masks: Bool[np.ndarray, "K T H W"]
    labels: Int[np.ndarray, " K"]
    boxes: Float[np.ndarray, "K T 4"]
    attributes: frozenset[str] = frozenset()


def synthesize_video(
    seed: int | np.random.SeedSequence,
    *,
    num_frames: int,
    height: int = 128,
    width: int = 224,
    difficulty: float = 1.0,
    attributes: frozenset[str] | None = None,
) -> SyntheticVideo:
    """Render a video.

    Args:
        seed: What the video looks like.
        num_frames: Its length; 12 or more show all of its attributes.
        height: In pixels; objects scale with the shorter side.
        width: In pixels.
        difficulty: From 0 (one to three slow shapes on a calm background) to 1 (everything at once).
        attributes: What it is built to show, of `synthetic_cast.ATTRIBUTES`; None leaves that to the seed.
    """
    random = np.random.default_rng(seed)
    actors, shown = sample_cast(random, height, width, difficulty, attributes)
    background = Background(random, height, width, difficulty)
    noise = random.standard_normal((height + NOISE_SHIFT_PX, width + NOISE_SHIFT_PX, 3), dtype=np.float32)
    noise *= np.float32(2 + 4 * difficulty)
    frames = np.empty((num_frames, height, width, 3), dtype=np.uint8)
    masks = np.zeros((len(actors), num_frames, height, width), dtype=bool)
    for frame in range(num_frames):
        canvas = background.view(frame)
        for index, actor in enumerate(actors):
            _paint(canvas, masks[:, frame], index, actor, actor.motion.pose(frame))
        row, column = random.integers(0, NOISE_SHIFT_PX + 1, 2)
        canvas += noise[row : row + height, column : column + width]
        frames[frame] = np.clip(canvas, 0, 255, out=canvas)
    listed = masks.sum(axis=(2, 3)).max(axis=1, initial=0) >= MIN_VISIBLE_AREA_PX
    masks = masks[listed]
    labels = np.array([actor.slot for actor in actors], dtype=np.int64)[listed]
    return SyntheticVideo(frames, masks, labels, boxes_of(masks), shown)


def boxes_of(masks: Bool[np.ndarray, "K T H W"]) -> Float[np.ndarray, "K T 4"]:
    """The extents of each mask, 0 where it is empty."""
    boxes = np.zeros((*masks.shape[:2], 4), dtype=np.float32)
    rows = np.any(masks, axis=3)
    columns = np.any(masks, axis=2)
    present = np.any(rows, axis=2)
    height, width = masks.shape[2:]
    boxes[..., 0] = columns.argmax(axis=2)
    boxes[..., 1] = rows.argmax(axis=2)
    boxes[..., 2] = width - columns[..., ::-1].argmax(axis=2)
    boxes[..., 3] = height - rows[..., ::-1].argmax(axis=2)
    return boxes * present[..., None]


def _paint(
    canvas: Float[np.ndarray, "H W 3"], masks: Bool[np.ndarray, "K H W"], index: int, actor: Actor, pose: Pose
) -> None:
    """Paint an actor over what is there, and take the pixels it covers from the masks of those below."""
    height, width, _ = canvas.shape
    reach = REACH * max(pose.half_width, pose.half_height) + EDGE_WIDTH_PX
    y0, y1 = (int(np.clip(pose.y + side, 0, height)) for side in (-reach, reach + 1))
    x0, x1 = (int(np.clip(pose.x + side, 0, width)) for side in (-reach, reach + 1))
    if y0 >= y1 or x0 >= x1:
        return
    shape, texture_name = APPEARANCES[actor.slot]
    u, v = _object_coordinates(pose, (y0, y1), (x0, x1))
    outside_px = outline(shape, u, v) * np.float32(min(pose.half_width, pose.half_height))
    share = texture(texture_name, u, v, actor.fineness)[..., None]
    first, second = actor.colours
    alpha = np.clip(0.5 - outside_px / np.float32(EDGE_WIDTH_PX), 0, 1)[..., None]
    region = canvas[y0:y1, x0:x1]
    region += alpha * (second + (first - second) * share - region)
    covered = outside_px < 0
    masks[:index, y0:y1, x0:x1] &= ~covered
    masks[index, y0:y1, x0:x1] = covered


def _object_coordinates(
    pose: Pose, rows: tuple[int, int], columns: tuple[int, int]
) -> tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w"]]:
    """The centres of a block of pixels in the object's own frame, where it fills about -1..1."""
    y = (np.arange(*rows) + 0.5 - pose.y).astype(np.float32)[:, None]
    x = (np.arange(*columns) + 0.5 - pose.x).astype(np.float32)[None]
    cos, sin = np.float32(np.cos(pose.angle)), np.float32(np.sin(pose.angle))
    return (x * cos + y * sin) / np.float32(pose.half_width), (y * cos - x * sin) / np.float32(pose.half_height)
