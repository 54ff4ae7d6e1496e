"""Judging a track's codes together must come to the verdict of judging them one by one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from mssts.data.rle import decode, segmentation_fault
from mssts.evaluate.track_codes import compress_track

HEIGHT, WIDTH = 9, 11


def code_of(seed: int, density: float) -> dict:
    mask = np.random.default_rng(seed).random((HEIGHT, WIDTH)) < density
    code = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": [HEIGHT, WIDTH], "counts": code["counts"].decode()}


sound = st.builds(code_of, st.integers(0, 99), st.sampled_from([0.0, 0.02, 0.3, 0.7, 1.0]))
scrap = st.text(alphabet=[chr(value) for value in range(46, 114)] + ["é", "\0"], max_size=12)
anything = st.builds(lambda text: {"size": [HEIGHT, WIDTH], "counts": text}, scrap)


@st.composite
def damaged(draw: st.DrawFn) -> dict:
    """A sound code with one character changed, left out or doubled."""
    code = draw(sound)
    text = code["counts"]
    place = draw(st.integers(0, len(text) - 1))
    middle = draw(st.sampled_from(["", text[place] * 2, "0", "o", "~", "1"]))
    return code | {"counts": text[:place] + middle + text[place + 1 :]}


@given(st.lists(st.none() | sound, max_size=6))
def test_sound_codes_stay_as_they_are(track: list[dict | None]):
    codes = compress_track(track, HEIGHT, WIDTH)
    assert [code and code["counts"].decode() for code in codes] == [code and code["counts"] for code in track]


@given(st.lists(st.none() | sound | damaged() | anything, min_size=1, max_size=6))
def test_the_verdict_is_that_of_judging_one_by_one(track: list[dict | None]):
    faults = [segmentation_fault(code, HEIGHT, WIDTH) if code else None for code in track]
    first = next((frame for frame, fault in enumerate(faults) if fault), None)
    if first is not None:
        with pytest.raises(ValueError, match=f"^frame {first}: "):
            compress_track(track, HEIGHT, WIDTH)
        return
    for code, given_code in zip(compress_track(track, HEIGHT, WIDTH), track, strict=True):
        assert (code is None) == (given_code is None)
        if code is not None:
            assert (coco_mask.decode(code) == decode(given_code, HEIGHT, WIDTH)).all()


def test_empty_segmentations_count_as_absent():
    assert compress_track([None, [], {}], HEIGHT, WIDTH) == [None, None, None]


def test_bytes_are_taken_as_pycocotools_writes_them():
    code = coco_mask.encode(np.ones((HEIGHT, WIDTH), dtype=np.uint8, order="F"))
    assert compress_track([dict(code)], HEIGHT, WIDTH) == [code]
