"""The zip for evaluation servers, read back as a server does it."""

import json
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from test_video_ap import encode, random_case

from mssts.data.rle import decode
from mssts.data.video_set import Video, VideoSet
from mssts.errors import BadInputError, ResourceError
from mssts.evaluate import submission
from mssts.evaluate.results_file import Result, load_results
from mssts.evaluate.submission import write_submission
from mssts.evaluate.video_ap import evaluate_video_ap

SIZE = (6, 8)
VIDEOS = VideoSet(
    Path("valid.json"),
    Path(),
    (Video(3, *SIZE, ("a", "b")), Video(8, *SIZE, ("a",)), Video(9, *SIZE, ("a",))),
    (),
    ((2, "cat"), (40, "dog")),
    has_truth=False,
)


def square(left: int, form: str = "compressed") -> Any:
    mask = np.zeros(SIZE, dtype=bool)
    mask[1:4, left : left + 3] = True
    return encode(mask, form)


def read(path: Path) -> list[dict]:
    """The entries of a zip, as a server's loader takes them; it measures every segmentation."""
    with zipfile.ZipFile(path) as file:
        assert file.namelist() == ["results.json"]
        assert file.testzip() is None
        entries = json.loads(file.read("results.json"))
    for entry in entries:
        assert entry.keys() == {"video_id", "category_id", "score", "segmentations"}
        for segmentation in filter(None, entry["segmentations"]):
            assert isinstance(segmentation["counts"], str)
            assert coco_mask.area(segmentation) > 0
    return entries


def test_all_forms_become_compressed_codes(tmp_path: Path) -> None:
    bytes_counts = square(2) | {"counts": square(2)["counts"].encode()}
    forms = [square(2), square(2, "counts"), square(2, "polygon"), bytes_counts, None, []]
    results = [Result(3, 2, 0.1 * index, (form, square(1))) for index, form in enumerate(forms)]
    written = write_submission(results, VIDEOS, tmp_path / "new" / "s.zip")
    entries = read(tmp_path / "new" / "s.zip")
    assert [entry["score"] for entry in entries] == [result.score for result in results]
    expected = decode(square(2), *SIZE)
    for entry in entries[:4]:
        assert (decode(entry["segmentations"][0], *SIZE) == expected).all()
    assert [entry["segmentations"][0] for entry in entries[4:]] == [None, None]
    assert written.num_results == 6
    assert written.size == (tmp_path / "new" / "s.zip").stat().st_size
    assert written.unpacked_size > len(entries) * 50


@pytest.mark.parametrize("seed", range(4))
def test_a_server_finds_the_same_numbers(tmp_path: Path, seed: int) -> None:
    """More than 100 results of a class are cut, which must change nothing; ties abound."""
    case = random_case(seed, size=(8, 8), per_video=250)
    results = [one._replace(score=one.score + index * 1e-9) for index, one in enumerate(case.results)]
    written = write_submission(results, case.truth._replace(tracks=(), has_truth=False), tmp_path / "s.zip")
    assert written.num_results < len(results)
    assert f"{len(results) - written.num_results} results left out" in " ".join(written.notes)
    with zipfile.ZipFile(tmp_path / "s.zip") as file:
        file.extractall(tmp_path)
    again = load_results(tmp_path / "results.json", case.truth)
    assert evaluate_video_ap(case.truth, again) == evaluate_video_ap(case.truth, results)


def test_of_equal_scores_the_earlier_are_kept(tmp_path: Path) -> None:
    results = [Result(8, 2, 0.5, (square(index % 6),)) for index in range(6)]
    empty = [Result(8, 2, 0.5, (None,))] * 97
    write_submission([*results[:3], *empty, *results[3:]], VIDEOS, tmp_path / "s.zip")
    entries = read(tmp_path / "s.zip")
    assert len(entries) == 100
    assert [entry["segmentations"][0] is not None for entry in entries] == [True] * 3 + [False] * 97


def test_equal_results_are_equal_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = [Result(3, 2, 0.5, (square(2), None))]
    write_submission(results, VIDEOS, tmp_path / "a.zip")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 1e6)
    write_submission(results, VIDEOS, tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_what_is_seldom_meant_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = [Result(3, 2, 0.5, (square(2), None)), Result(8, 40, 0.5, (square(1),)), Result(9, 2, 0.5, (square(1),))]
    assert write_submission(full, VIDEOS, tmp_path / "s.zip").notes == ()
    # The same mask in two classes is how models tell that they are not sure.
    twice = [full[0], full[0]._replace(category_id=40)]
    empty = [Result(3, 2, 0.1, (None, None))] * 2
    notes = write_submission([*twice, *empty], VIDEOS, tmp_path / "s.zip").notes
    assert notes == ("2 of 3 videos have no result (video_id 8, 9)", "2 results have no mask in any frame")
    monkeypatch.setattr(submission, "USUAL_LIMIT", 100)
    (note,) = write_submission(full, VIDEOS, tmp_path / "s.zip").notes
    assert "usual limit" in note


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"video_id": 4}, "result 1: unknown video_id 4"),
        ({"category_id": 3}, "result 1: unknown category_id 3"),
        ({"segmentations": (square(0),)}, "result 1: 1 segmentations for a video of 2 frames"),
        ({"score": float("nan")}, "result 1: the score is nan"),
        ({"score": float("inf")}, "result 1: the score is inf"),
        ({"segmentations": (None, {"size": [8, 6], "counts": [48]})}, "result 1, frame 1: RLE size"),
        ({"segmentations": (None, square(0) | {"counts": "26X2"})}, "result 1, frame 1: RLE counts do not add up"),
        ({}, "result 1 is result 0 once more"),
    ],
)
def test_what_makes_servers_fail_is_refused(tmp_path: Path, change: dict, fault: str) -> None:
    (tmp_path / "s.zip").write_text("older")
    result = Result(3, 2, 0.5, (square(2), None))
    with pytest.raises(BadInputError, match=f"^my.json: {fault}") as error:
        write_submission([result, result._replace(**change)], VIDEOS, tmp_path / "s.zip", name="my.json")
    assert "\n" not in str(error.value)
    assert (tmp_path / "s.zip").read_text() == "older"
    assert len(list(tmp_path.iterdir())) == 1


def test_nothing_to_submit_and_no_place_for_it(tmp_path: Path) -> None:
    result = Result(3, 2, 0.5, (square(2), None))
    with pytest.raises(BadInputError, match="holds no result"):
        write_submission([], VIDEOS, tmp_path / "s.zip")
    with pytest.raises(BadInputError, match=r"results\.json: .*\.zip"):
        write_submission([result], VIDEOS, tmp_path / "results.json")
    (tmp_path / "s.zip").mkdir()
    with pytest.raises(ResourceError, match=r"s\.zip"):
        write_submission([result], VIDEOS, tmp_path / "s.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["s.zip"]
