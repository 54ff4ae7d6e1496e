"""Segmentations against pycocotools: the same masks where it works, a reason instead of a crash where it does not."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco_mask

from mssts.data.rle import decode, mask_extent, segmentation_fault, to_compressed

MASKS = st.tuples(st.integers(1, 24), st.integers(1, 24)).flatmap(lambda shape: hnp.arrays(bool, shape))
NUMBERS = st.floats(allow_nan=True, allow_infinity=True) | st.integers(-(10**20), 10**20)
JSON = st.recursive(st.none() | st.booleans() | NUMBERS | st.text(), st.lists, max_leaves=8)


def compressed(mask: np.ndarray) -> dict[str, Any]:
    code = coco_mask.encode(np.asfortranarray(mask.view(np.uint8)))
    return {"size": list(mask.shape), "counts": code["counts"].decode()}


def uncompressed(mask: np.ndarray) -> dict[str, Any]:
    """Counted pixel by pixel, in column order, starting with what is not the object."""
    counts, value = [0], False
    for pixel in mask.T.flatten().tolist():
        if pixel != value:
            counts.append(0)
            value = pixel
        counts[-1] += 1
    return {"size": list(mask.shape), "counts": counts}


@given(MASKS)
def test_both_run_length_codes_give_the_mask_back(mask: np.ndarray) -> None:
    for code in (compressed(mask), uncompressed(mask)):
        assert segmentation_fault(code, *mask.shape) is None
        assert np.array_equal(decode(code, *mask.shape), mask)
        assert np.array_equal(coco_mask.decode(to_compressed(code, *mask.shape)), mask)


def test_a_large_mask_with_long_and_short_runs() -> None:
    """Counts of several characters, and negative differences between counts."""
    random = np.random.default_rng(3)
    mask = np.zeros((720, 1280), dtype=bool)
    mask[100:600, 200:900] = random.random((500, 700)) < 0.02
    mask[:, 1000:1100] = True
    assert np.array_equal(decode(compressed(mask), 720, 1280), mask)
    assert mask_extent(compressed(mask), 720, 1280)[0] == mask.sum()


@given(MASKS)
def test_extent_is_the_masks(mask: np.ndarray) -> None:
    extent = mask_extent(compressed(mask), *mask.shape)
    rows, columns = np.nonzero(mask)
    if len(rows) == 0:
        assert extent == (0, 0, 0, 0, 0)
    else:
        assert extent == (len(rows), columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


@given(
    st.lists(st.lists(st.floats(-30, 60, width=32), min_size=3, max_size=8), min_size=1, max_size=3),
    st.integers(1, 40),
    st.integers(1, 40),
)
def test_polygons_are_filled_as_pycocotools_fills_them(halves: list[list[float]], height: int, width: int) -> None:
    polygons = [half + half[::-1] for half in halves]  # an even number of coordinates, 6 or more
    code = coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))
    fault = segmentation_fault(polygons, height, width)
    far = max(abs(value) for half in halves for value in half) > 16 * min(height, width)
    assert fault is None or (far and "outside" in fault)
    if fault is None:
        assert np.array_equal(decode(polygons, height, width), coco_mask.decode(code))
        assert to_compressed(polygons, height, width) == code


def test_two_polygons_are_united() -> None:
    mask = decode([[1, 1, 4, 1, 4, 4, 1, 4], [6, 6, 9, 6, 9, 9, 6, 9]], 10, 10)
    expected = np.zeros((10, 10), dtype=bool)
    expected[1:4, 1:4] = expected[6:9, 6:9] = True
    assert np.array_equal(mask, expected)


FAULTS = [
    (None, "NoneType"),
    (7, "int"),
    ({"size": [4, 5]}, "without counts"),
    ({"counts": [20]}, "without size"),
    ({"size": [5, 4], "counts": [20]}, "is not the frame's"),
    ({"size": 20, "counts": [20]}, "is not the frame's"),
    ({"size": [10**6, 10**6], "counts": [10**12]}, "is not the frame's"),
    ({"size": [4, 5], "counts": [21]}, "add up"),
    ({"size": [4, 5], "counts": [10]}, "add up"),
    ({"size": [4, 5], "counts": []}, "add up"),
    ({"size": [4, 5], "counts": [2**62] * 4 + [20]}, "add up"),
    ({"size": [4, 5], "counts": [-5, 25]}, "negative"),
    ({"size": [4, 5], "counts": [2.5, 17.5]}, "whole numbers"),
    ({"size": [4, 5], "counts": [10**30, 1]}, "whole numbers"),
    ({"size": [4, 5], "counts": [[20]]}, "whole numbers"),
    ({"size": [4, 5], "counts": [1, [2]]}, "whole numbers"),
    ({"size": [4, 5], "counts": 20}, "neither a string nor a list"),
    ({"size": [4, 5], "counts": ""}, "cut off"),
    ({"size": [4, 5], "counts": "d"}, "cut off"),
    ({"size": [4, 5], "counts": "a b"}, "no code has"),
    ({"size": [4, 5], "counts": "é"}, "no code has"),
    ({"size": [4, 5], "counts": "ooooooooo0"}, "larger than any frame"),
    ({"size": [4, 5], "counts": "N"}, "negative"),
    ([], "empty list"),
    ([3], "not a list"),
    ([[1, 1, 2, 2]], "4 coordinates"),
    ([[1, 1, 2, 2, 3]], "5 coordinates"),
    ([[1, 1, 2, 2, 3, 3, 4]], "7 coordinates"),
    ([["a", 1, 2, 2, 3, 3]], "not a list of numbers"),
    ([[[1], 1, 2, 2, 3, 3]], "not a list of numbers"),
    ([[1, 1, 2, 2, 3, float("nan")]], "NaN"),
    ([[1, 1, 2, 2, 3, 1e9]], "outside"),
    ([[1, 1, 2, 2, 3, 3], [1, 1, 2, 2, 3, -1e9]], "polygon 1"),
]


@pytest.mark.parametrize(("segmentation", "reason"), FAULTS)
def test_faults_are_named(segmentation: object, reason: str) -> None:
    assert reason in (segmentation_fault(segmentation, 4, 5) or "")
    for work in (decode, to_compressed, mask_extent):
        with pytest.raises(ValueError, match=r".") as caught:
            work(segmentation, 4, 5)
        assert reason in str(caught.value)


def test_an_outline_that_would_fill_the_memory_is_refused() -> None:
    assert "outline" in (segmentation_fault([[0, 0, 2000, 2000] * 1000], 400, 400) or "")


def test_frames_that_are_not_possible_are_refused() -> None:
    for height, width in ((10**6, 10**6), (0, 5), (-3, 5)):
        code = {"size": [height, width], "counts": [height * width]}
        assert "not possible" in (segmentation_fault(code, height, width) or "")
        assert "not possible" in (segmentation_fault([[1, 1, 2, 2, 3, 1]], height, width) or "")


CRASH_TEST = """
from hypothesis import given, settings
from test_rle import CODES
from mssts.data.rle import decode, mask_extent, segmentation_fault, to_compressed

@settings(max_examples=600, deadline=None, database=None)
@given(CODES)
def run(code):
    fault = segmentation_fault(code, 9, 7)
    for work in (decode, mask_extent, to_compressed):
        try:
            work(code, 9, 7)
            assert fault is None
        except ValueError as error:
            assert str(error) == fault
run()
print("survived")
"""
CODES = st.one_of(
    JSON,
    st.lists(st.lists(NUMBERS, max_size=8), max_size=3),
    st.lists(st.lists(st.integers(-150, 150), min_size=6, max_size=6), max_size=3),
    st.fixed_dictionaries(
        {
            "size": st.just([9, 7]) | st.lists(st.integers(-1, 10**9), max_size=3),
            "counts": st.text(st.characters(min_codepoint=48, max_codepoint=111), max_size=12)
            | st.text(max_size=5)
            | st.lists(st.integers(-9, 63) | st.integers(), max_size=5)
            | JSON,
        }
    ),
)


def test_no_content_crashes_the_process() -> None:
    """In a process of its own, because a crash of pycocotools would take the tests with it."""
    search = f"import sys; sys.path.insert(0, {str(__file__).rsplit('/', 1)[0]!r})"
    done = subprocess.run([sys.executable, "-c", search + CRASH_TEST], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "survived" in done.stdout


@settings(deadline=None)
@given(st.lists(st.integers(0, 400), min_size=1, max_size=30))
def test_any_counts_in_either_form_mean_the_same(counts: list[int]) -> None:
    """Zero runs in the middle, odd and even numbers of runs: what pycocotools compresses is read as it was."""
    height, width = 1, sum(counts)
    if width == 0:
        return
    listed = {"size": [height, width], "counts": counts}
    code = coco_mask.frPyObjects(listed, height, width)
    assert np.array_equal(decode(code, height, width), decode(listed, height, width))
    assert np.array_equal(decode(code, height, width), coco_mask.decode(code))
