"""Results files: what is read back, and what is refused, by file and entry."""

import json
from pathlib import Path
from typing import Any

import pytest

from mssts.data.video_set import Video, VideoSet
from mssts.errors import BadInputError, ResourceError
from mssts.evaluate.results_file import Result, load_results, save_results

HEIGHT, WIDTH = 6, 8
CODE = {"size": [HEIGHT, WIDTH], "counts": "26X1"}  # 2 empty, 6 full, 40 empty
VIDEOS = (Video(3, HEIGHT, WIDTH, ("a", "b")), Video(8, HEIGHT, WIDTH, ("c",)))
TRUTH = VideoSet(Path("gt.json"), Path(), VIDEOS, (), ((2, "cat"), (40, "dog")), has_truth=False)


def entry(**change: Any) -> dict[str, Any]:
    return {"video_id": 3, "category_id": 2, "score": 0.5, "segmentations": [CODE, None]} | change


def write(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_all_forms_load(tmp_path: Path):
    forms = [CODE, {"size": [HEIGHT, WIDTH], "counts": [2, 6, 40]}, [[1, 1, 4, 1, 4, 4]], []]
    entries = [entry(segmentations=[form, None], score=1, track_id=9) for form in forms]
    results = load_results(write(tmp_path / "r.json", entries), TRUTH)
    assert results == [Result(3, 2, 1.0, (form, None)) for form in forms]


def test_what_was_saved_is_loaded(tmp_path: Path):
    results = [Result(3, 2, 0.1 + 0.2, (CODE, None)), Result(8, 40, 0.0, (CODE,))]
    save_results(results, tmp_path / "new" / "r.json")
    assert load_results(tmp_path / "new" / "r.json", TRUTH) == results
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["r.json"]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ([entry(), entry(video_id=4)], "result 1: unknown video_id 4"),
        ([entry(category_id=3)], "result 0: unknown category_id 3"),
        ([entry(segmentations=[CODE])], "result 0: 1 segmentations for a video of 2 frames"),
        ([entry(segmentations=[None, CODE | {"size": [WIDTH, HEIGHT]}])], "result 0, frame 1: RLE size"),
        ([entry(segmentations=[{"size": [10**6, 10**6], "counts": [10**12]}, None])], "result 0, frame 0: RLE size"),
        ([entry(segmentations=[CODE | {"counts": "26X2"}, None])], "result 0, frame 0: RLE counts do not add up"),
        ([entry(segmentations=[CODE | {"counts": "ooooooooooo"}, None])], "result 0, frame 0: RLE"),
        ([entry(segmentations=[[[0, 0, 1e9, 1e9, 5, 0]], None])], "result 0, frame 0: polygon 0 lies far outside"),
        ([entry(segmentations=["x", None])], r"result 0: Expected .* at \$.segmentations\[0\]"),
        ([entry(score="high")], r"at \$\[0\].score"),
        ([{key: value for key, value in entry().items() if key != "score"}], "missing required field score"),
        ({"annotations": [entry()]}, "Expected array"),
        (json.dumps([entry()])[:-9], "truncated"),
        (json.dumps([entry(score=float("nan"))]), "malformed"),
        ("[" * 100_000, "nested too deeply|at"),
        ("", "truncated"),
    ],
)
def test_bad_results_are_one_line_that_names_file_and_entry(tmp_path: Path, content: object, fault: str):
    path = write(tmp_path / "r.json", content)
    with pytest.raises(BadInputError, match=fault) as error:
        load_results(path, TRUTH)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_an_endless_score_is_refused(tmp_path: Path):
    text = json.dumps([entry()]).replace("0.5", "1e999")
    with pytest.raises(BadInputError, match=r"score|out of range"):
        load_results(write(tmp_path / "r.json", text), TRUTH)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path):
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(BadInputError, match=path.name):
            load_results(path, TRUTH)


def test_results_that_cannot_be_written_leave_nothing(tmp_path: Path):
    (tmp_path / "r.json").mkdir()
    with pytest.raises(ResourceError, match=r"r\.json"):
        save_results([], tmp_path / "r.json")
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]
