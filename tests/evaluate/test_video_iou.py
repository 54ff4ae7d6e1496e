"""Tracks as runs of pixels: the compiled ways must come to what judging and decoding one by one comes to."""

import json
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from mssts.data.rle import decode, segmentation_fault
from mssts.evaluate.video_iou import Tube, json_to_tubes, mean_area, shared_pixels, to_tube, video_ious

HEIGHT, WIDTH = 9, 11


def mask_of(seed: int, density: float) -> np.ndarray:
    return np.random.default_rng(seed).random((HEIGHT, WIDTH)) < density


def encode(mask: np.ndarray) -> dict:
    code = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": [HEIGHT, WIDTH], "counts": code["counts"].decode()}  # pyright: ignore


def code_of(seed: int, density: float) -> dict:
    return encode(mask_of(seed, density))


sound = st.builds(code_of, st.integers(0, 99), st.sampled_from([0.0, 0.02, 0.3, 0.7, 1.0]))
scrap = st.text(alphabet=[chr(value) for value in range(46, 114)] + ["é", "\0", '"'], max_size=12)
anything = st.builds(lambda text: {"size": [HEIGHT, WIDTH], "counts": text}, scrap)
other_forms = st.sampled_from(
    [
        [],
        {},
        [[1, 1, 5, 1, 5, 6]],
        {"size": [HEIGHT, WIDTH], "counts": [9, 9, 81]},
        {"counts": "S3", "size": [HEIGHT, WIDTH]},
        {"size": [HEIGHT, WIDTH], "counts": "S3", "score": 1},
        {"size": [WIDTH, HEIGHT], "counts": "S3"},
        {"size": [HEIGHT], "counts": "S3"},
        {"size": [HEIGHT, WIDTH]},
        {"size": [HEIGHT, WIDTH], "counts": ""},
    ]
)


@st.composite
def damaged(draw: st.DrawFn) -> dict:
    """A sound code with one character changed, left out or doubled."""
    code = draw(sound)
    text = code["counts"]
    place = draw(st.integers(0, len(text) - 1))
    middle = draw(st.sampled_from(["", text[place] * 2, "0", "o", "~", "1"]))
    return code | {"counts": text[:place] + middle + text[place + 1 :]}


def masks_of(tube: Tube) -> list[np.ndarray]:
    """The masks that the runs of a tube mean."""
    masks = np.zeros((len(tube.areas), WIDTH * HEIGHT), dtype=bool)
    for frame, mask in enumerate(masks):
        for start, stop in tube.runs[tube.firsts[frame] : tube.firsts[frame + 1]]:
            mask[start:stop] = True
    return [mask.reshape(WIDTH, HEIGHT).T for mask in masks]


def json_to_tube(text: bytes, num_frames: int) -> Tube | None:
    """Of one track among others, which must not matter."""
    others = [json.dumps([code_of(seed, 0.3)] * num_frames).encode() for seed in (1, 2)]
    first, tube, last = json_to_tubes([others[0], text, others[1]], num_frames, HEIGHT, WIDTH)
    if num_frames:
        assert first is not None
        assert last is not None
        assert np.array_equal(masks_of(first), [mask_of(1, 0.3)] * num_frames)
        assert np.array_equal(masks_of(last), [mask_of(2, 0.3)] * num_frames)
    return tube


def check_tube(tube: Tube, track: Sequence[dict | list | None]) -> None:
    empty = np.zeros((HEIGHT, WIDTH), dtype=bool)
    expected = [decode(code, HEIGHT, WIDTH) if code else empty for code in track]
    assert len(tube.runs) >= tube.firsts[-1]
    assert np.array_equal(masks_of(tube), expected)
    assert tube.areas.tolist() == [mask.sum() for mask in expected]


@given(st.lists(st.none() | sound | damaged() | anything | other_forms, min_size=1, max_size=6))
def test_the_verdict_is_that_of_judging_one_by_one(track: list[dict | list | None]):
    faults = [segmentation_fault(code, HEIGHT, WIDTH) if code else None for code in track]
    first = next((frame for frame, fault in enumerate(faults) if fault), None)
    from_json = json_to_tube(json.dumps(track).encode(), len(track))
    if first is None:
        check_tube(to_tube(track, HEIGHT, WIDTH), track)
    else:
        assert from_json is None
        with pytest.raises(ValueError, match=f"^frame {first}: "):
            to_tube(track, HEIGHT, WIDTH)
    if from_json is not None:
        check_tube(from_json, track)


@given(st.lists(st.none() | sound, min_size=1, max_size=6), st.sampled_from([None, 0, 3]))
def test_sound_codes_are_found_in_json_however_it_is_laid_out(track: list[dict | None], indent: int | None):
    compact = msgspec.json.encode(track)
    for text in (json.dumps(track, indent=indent).encode(), compact, b" \t\r\n" + compact + b"\n"):
        tube = json_to_tube(text, len(track))
        assert tube is not None
        check_tube(tube, track)


@given(st.lists(st.none() | sound, min_size=1, max_size=3), st.data())
def test_no_damage_to_json_gets_past_the_reader(track: list[dict | None], data: st.DataObject):
    """Whatever is taken must be JSON of the same meaning."""
    text = json.dumps(track)
    place = data.draw(st.integers(0, len(text)))
    damage = data.draw(st.sampled_from([*'[]{},:"\\ 0n', "null", "\\u0030", "\\\\", "\x00"]))
    text = text[:place] + damage + text[place + data.draw(st.integers(0, 2)) :]
    tube = json_to_tube(text.encode(), len(track))
    if tube is not None:
        check_tube(tube, json.loads(text))


def test_json_that_ends_early_or_late_is_not_taken():
    text = json.dumps([code_of(3, 0.3), None]).encode()
    for end in range(len(text)):
        assert json_to_tube(text[:end], 2) is None
    assert json_to_tube(text, 2) is not None
    for other in (text + b"]", text + b",", text + b"\0"):
        assert json_to_tube(other, 2) is None
    for num_frames in (0, 1, 3):
        assert json_to_tube(text, num_frames) is None


def test_bytes_are_taken_as_pycocotools_writes_them():
    code = coco_mask.encode(np.ones((HEIGHT, WIDTH), dtype=np.uint8, order="F"))
    assert to_tube([dict(code)], HEIGHT, WIDTH).areas.tolist() == [HEIGHT * WIDTH]


def test_the_longest_counts_do_not_overflow():
    """7 digits of 5 bits are more than int32 holds."""
    for counts in ("ooooooO", "ooooooo", "PPPPPP@", "oooooo0", "S3" * 40, "oooooo?" * 9):
        code = {"size": [HEIGHT, WIDTH], "counts": counts}
        with pytest.raises(ValueError, match=r"^frame 0: RLE"):
            to_tube([code], HEIGHT, WIDTH)


@pytest.mark.parametrize("seed", range(10))
def test_shared_pixels_are_those_of_the_masks(seed: int):
    random = np.random.default_rng(seed)
    densities = random.choice([0.0, 0.05, 0.5, 0.95, 1.0], size=(5, 4))
    masks = np.array([[mask_of(int(random.integers(100)), d) for d in row] for row in densities])
    masks[random.random((5, 4)) < 0.2] = False
    tubes = [to_tube([encode(mask) if mask.any() else None for mask in track], HEIGHT, WIDTH) for track in masks]
    shared = (masks[:3, None] & masks[None, 3:]).sum(axis=(-2, -1))
    joined = (masks[:3, None] | masks[None, 3:]).sum(axis=(-3, -2, -1))
    assert shared_pixels(tubes[:3], tubes[3:]).tolist() == shared.tolist()
    ious = shared.sum(axis=-1) / np.maximum(joined, 1)
    assert video_ious(tubes[:3], tubes[3:]) == pytest.approx(ious, abs=1e-15)
    areas = masks.sum(axis=(-2, -1))
    assert [mean_area(tube) for tube in tubes] == [row[row > 0].mean() if row.any() else 0.0 for row in areas]
    assert video_ious([], tubes).shape == (0, 5)
    assert shared_pixels(tubes, []).shape == (5, 0, 4)
