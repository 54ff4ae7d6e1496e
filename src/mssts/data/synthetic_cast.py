"""Who plays in a synthetic video: the classes, colours and motions of its objects, and what they are to show."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from mssts.data.synthetic_motion import (
    Motion,
    change_aspect,
    change_size,
    leave_view,
    meet,
    move_fast,
    sample_motion,
)
from mssts.data.synthetic_shapes import APPEARANCES, two_colours

ATTRIBUTES = ("fast_motion", "size_change", "aspect_change", "occlusion", "leaving", "same_class")
# The share of the hardest videos that are built to show each attribute; others show it by chance.
ATTRIBUTE_SHARE = 0.7
MOST_INSTANCES = 5
# Smaller texture than this, as a share of the shorter side of the frame, would be lost at the model's resolution.
FINEST_TEXTURE = 0.035


class Actor(NamedTuple):
    """One moving object: its class slot, its two colours (0..255), the fineness of its texture, its motion."""

    slot: int
    colours: Float[np.ndarray, "2 3"]
    fineness: float
    motion: Motion


def sample_cast(
    random: np.random.Generator, height: int, width: int, difficulty: float, attributes: frozenset[str] | None = None
) -> tuple[list[Actor], frozenset[str]]:
    """Choose the objects in painting order, and which of `ATTRIBUTES` they are made to show, unless that is given."""
    drawn = frozenset(name for name in ATTRIBUTES if random.random() < ATTRIBUTE_SHARE * difficulty)
    shown = drawn if attributes is None else attributes
    least = 1 + ("occlusion" in shown or "same_class" in shown) + ({"occlusion", "leaving"} <= shown)
    most = min(MOST_INSTANCES, 3 + round(4 * difficulty))
    count = max(least, min(most, 1 + int(random.binomial(MOST_INSTANCES - 1, 0.15 + 0.4 * difficulty))))
    motions = _sample_motions(random, count, height, width, difficulty)
    _direct(random, motions, shown, height, width)
    slots = random.integers(0, len(APPEARANCES), count)
    if "same_class" in shown:
        twins = random.permutation(count)[: random.integers(2, count + 1)]
        slots[twins] = slots[twins[0]]
    actors = [
        _dress(random, int(slot), motion, min(height, width)) for slot, motion in zip(slots, motions, strict=True)
    ]
    return actors, shown


def _sample_motions(
    random: np.random.Generator, count: int, height: int, width: int, difficulty: float
) -> list[Motion]:
    """Choose ordinary motions; the easier the video, the further apart they start."""
    num_candidates = 1 + round(11 * (1 - difficulty))
    motions: list[Motion] = []
    for _ in range(count):
        candidates = [sample_motion(random, height, width, difficulty) for _ in range(num_candidates)]
        motions.append(max(candidates, key=lambda candidate: _clearance(candidate, motions)))
    return motions


def _clearance(motion: Motion, others: list[Motion]) -> float:
    """The smallest gap in pixels between a motion's object and the others in frame 0, from circle to circle."""
    poses = [(other.pose(0), other.half_size) for other in others]
    own = motion.pose(0)
    gaps = [np.hypot(own.x - pose.x, own.y - pose.y) - motion.half_size - size for pose, size in poses]
    return float(min(gaps, default=0.0))


def _direct(random: np.random.Generator, motions: list[Motion], shown: frozenset[str], height: int, width: int) -> None:
    """Change the motions, in place, so that they show the attributes."""
    if "fast_motion" in shown:
        index = random.integers(len(motions))
        motions[index] = move_fast(random, motions[index], height, width)
    if "size_change" in shown:
        index = random.integers(len(motions))
        motions[index] = change_size(random, motions[index])
    if "aspect_change" in shown:
        index = random.integers(len(motions))
        motions[index] = change_aspect(random, motions[index])
    order = list(random.permutation(len(motions)))
    if "leaving" in shown:
        index = order.pop()
        motions[index] = leave_view(random, motions[index], height, width)
    if "occlusion" in shown:
        first, second = order[:2]
        motions[first], motions[second] = meet(random, motions[first], motions[second])


def _dress(random: np.random.Generator, slot: int, motion: Motion, side: int) -> Actor:
    """Choose colours and texture; neither says anything about the class beyond the texture's kind."""
    fineness = min(random.uniform(2.2, 3.8), motion.half_size / (FINEST_TEXTURE * side))
    return Actor(slot, two_colours(random), float(fineness), motion)
