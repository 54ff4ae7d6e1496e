from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssts.data.clip_sampling import choose_frames


@given(data=st.data(), length=st.integers(1, 40), num_frames=st.integers(1, 12), seed=st.integers(0, 10**6))
def test_rule(data: st.DataObject, length: int, num_frames: int, seed: int) -> None:
    """Restated: some step back and some step forth explain the clip, and what is left repeats nothing needlessly."""
    key = data.draw(st.integers(0, length - 1))
    chosen = choose_frames(key, length, num_frames, np.random.default_rng(seed)).tolist()
    assert len(chosen) == num_frames
    assert chosen == sorted(chosen)
    assert set(chosen) <= set(range(length))
    neighbours = [(max(0, key - back), min(length - 1, key + forth)) for back in (1, 2, 3) for forth in (1, 2, 3)]
    explained = False
    for pair in neighbours:
        for near in [[key, *pair]] if num_frames >= 3 else [[key, pair[0]], [key, pair[1]]][:num_frames]:
            others = Counter(chosen) - Counter(near[:num_frames])
            if sum(others.values()) != num_frames - len(near[:num_frames]):
                continue
            rest = set(range(length)) - set(near)
            drawn_first = set(others) & rest
            enough = len(rest) >= sum(others.values())
            explained |= max(others.values(), default=1) == 1 and set(others) <= rest if enough else drawn_first == rest
    assert explained


@pytest.mark.parametrize("num_frames", [1, 2, 5])
def test_same_seed_same_frames(num_frames: int) -> None:
    first, second = (choose_frames(7, 30, num_frames, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_steps_are_equally_likely() -> None:
    """Without the two others, the steps from frame 50 are 1, 2, 3 a third of the time each."""
    random = np.random.default_rng(0)
    clips = np.array([choose_frames(50, 101, 3, random) for _ in range(3000)])
    for steps in (50 - clips[:, 0], clips[:, 2] - 50):
        assert [0.3 < (steps == step).mean() < 0.37 for step in (1, 2, 3)] == [True] * 3


def test_the_others_come_from_everywhere_else() -> None:
    random = np.random.default_rng(0)
    counts = Counter(int(frame) for _ in range(4000) for frame in choose_frames(0, 21, 5, random))
    assert {0.06 < counts[frame] / 4000 < 0.16 for frame in range(4, 21)} == {True}


def test_a_clip_of_two_looks_back_and_forth() -> None:
    random = np.random.default_rng(0)
    assert {tuple(choose_frames(5, 11, 2, random).tolist()) for _ in range(200)} == {
        *((5 - step, 5) for step in (1, 2, 3)),
        *((5, 5 + step) for step in (1, 2, 3)),
    }
