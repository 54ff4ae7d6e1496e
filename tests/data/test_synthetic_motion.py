import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mssts.data.synthetic_motion import (
    EVENT_FRAMES,
    Motion,
    change_aspect,
    change_size,
    leave_view,
    meet,
    move_fast,
    sample_motion,
)
from mssts.data.synthetic_shapes import REACH, SHAPES, outline

HEIGHT, WIDTH = 128, 224
seeds = st.integers(0, 2**32 - 1)
difficulties = st.floats(0, 1)


def any_motion(random: np.random.Generator, difficulty: float) -> Motion:
    motion = sample_motion(random, HEIGHT, WIDTH, difficulty)
    if random.random() < 0.5:
        motion = move_fast(random, motion, HEIGHT, WIDTH)
    if random.random() < 0.5:
        motion = change_size(random, motion)
    if random.random() < 0.5:
        motion = change_aspect(random, motion)
    return motion


def ratio(values: list[float]) -> float:
    return max(values) / min(values)


@settings(max_examples=60, deadline=None)
@given(seeds, difficulties)
def test_a_centre_stays_in_bounds_and_never_jumps(seed: int, difficulty: float) -> None:
    motion = any_motion(np.random.default_rng(seed), difficulty)
    poses = [motion.pose(frame) for frame in range(80)]
    centres = np.array([(pose.x, pose.y) for pose in poses])
    assert (centres >= np.array(motion.low) - 1e-9).all()
    assert (centres <= np.array(motion.high) + 1e-9).all()
    steps = np.linalg.norm(np.diff(centres, axis=0), axis=1)
    # A reflection only ever shortens a step. The sway goes along (1, 0.6).
    assert steps.max() <= motion.speed + 1.17 * motion.sway.amplitude * motion.sway.frequency + 1e-9


@settings(max_examples=60, deadline=None)
@given(seeds, difficulties)
def test_ordinary_motion_is_slower_than_the_papers_fast_motion(seed: int, difficulty: float) -> None:
    motion = sample_motion(np.random.default_rng(seed), HEIGHT, WIDTH, difficulty)
    assert motion.speed < 0.3 * 2 * motion.half_size


@settings(max_examples=60, deadline=None)
@given(seeds)
def test_changes_exceed_the_papers_thresholds_within_the_event_frames(seed: int) -> None:
    random = np.random.default_rng(seed)
    motion = sample_motion(random, HEIGHT, WIDTH, 1.0)
    changed = change_size(random, motion)
    growing = [changed.pose(frame) for frame in range(EVENT_FRAMES)]
    assert ratio([np.sqrt(pose.half_width * pose.half_height) for pose in growing]) > 1.5
    stretched = change_aspect(random, motion)
    stretching = [stretched.pose(frame) for frame in range(EVENT_FRAMES)]
    assert ratio([pose.half_width / pose.half_height for pose in stretching]) > 1.5
    fast = move_fast(random, motion, HEIGHT, WIDTH)
    assert fast.speed > 0.3 * 2 * fast.half_size


@settings(max_examples=60, deadline=None)
@given(seeds, difficulties)
def test_a_leaving_object_is_entirely_out_of_view_in_one_of_the_event_frames(seed: int, difficulty: float) -> None:
    random = np.random.default_rng(seed)
    motion = leave_view(random, any_motion(random, difficulty), HEIGHT, WIDTH)
    assert 0 <= motion.anchor_frame < EVENT_FRAMES
    pose = motion.pose(motion.anchor_frame)
    gap = max(-pose.x, pose.x - WIDTH, -pose.y, pose.y - HEIGHT)
    assert gap > REACH * max(pose.half_width, pose.half_height)
    centres = [motion.pose(frame) for frame in range(EVENT_FRAMES)]
    assert any(-1 < pose.x < WIDTH + 1 and -1 < pose.y < HEIGHT + 1 for pose in centres)


@settings(max_examples=60, deadline=None)
@given(seeds, difficulties)
def test_objects_that_meet_overlap_in_one_of_the_event_frames(seed: int, difficulty: float) -> None:
    random = np.random.default_rng(seed)
    first, second = meet(random, any_motion(random, difficulty), any_motion(random, difficulty))
    assert first.anchor_frame == second.anchor_frame < EVENT_FRAMES
    one, other = first.pose(first.anchor_frame), second.pose(second.anchor_frame)
    distance, sizes = np.hypot(one.x - other.x, one.y - other.y), first.half_size + second.half_size
    # A large object cannot follow a small one into the corner: it stays inside its own limits.
    outside = [max(second.low[axis] - first.anchor[axis], first.anchor[axis] - second.high[axis], 0) for axis in (0, 1)]
    assert distance <= 0.5 * sizes + np.hypot(*outside) + 1e-9
    assert distance < 0.7 * sizes


@pytest.mark.parametrize("shape", SHAPES)
def test_no_point_of_a_shape_is_beyond_its_reach(shape: str) -> None:
    v, u = np.mgrid[-2:2:401j, -2:2:401j]
    radius = np.hypot(u, v)[outline(shape, u, v) <= 0]
    assert 0.9 < radius.max() <= REACH
