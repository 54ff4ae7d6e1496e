"""AP by track length: what the plain loops give when they divide tracks by visible frames, and cases known by hand."""

import naive_video_ap
import numpy as np
import pytest
from test_video_ap import random_case

from mssts.evaluate import track_lengths
from mssts.evaluate.track_lengths import LENGTHS, length_ap
from mssts.evaluate.video_ap import SizeRanges

# The random cases have videos of few frames.
RANGES = {"": (0, 1e10), "s": (0, 1), "m": (2, 3), "l": (4, 1e10)}


def num_visible(track: naive_video_ap.NaiveTrack) -> int:
    return sum(mask is not None and bool(mask.any()) for mask in track.masks)


@pytest.mark.parametrize("seed", range(6))
def test_as_plain_loops_over_lengths(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    ranges = np.array([RANGES[key] for key in ("", "s", "m", "l")], dtype=np.float64)
    monkeypatch.setattr(track_lengths, "BY_LENGTH", SizeRanges(track_lengths.visible_frames, ranges))
    monkeypatch.setattr(naive_video_ap, "SIZES", RANGES)
    monkeypatch.setattr(
        naive_video_ap, "_is_within", lambda track, size: RANGES[size][0] <= num_visible(track) <= RANGES[size][1]
    )
    case = random_case(seed)
    expected = naive_video_ap.naive_numbers(
        case.naive_truths, case.naive_results, [id_ for id_, _ in case.truth.categories]
    )
    for letter, found in zip(LENGTHS.values(), length_ap(case.truth, case.results).values(), strict=True):
        assert found.ap == pytest.approx(expected[f"AP{letter}"], abs=1e-12)
        assert found.ar100 == pytest.approx(expected[f"AR{letter}"], abs=1e-12)
