"""The verb `submit`: what a user gives, what is printed, and one line for what a server would not take."""

import argparse
import json
import zipfile
from pathlib import Path

import pytest

from mssts.cli import main
from mssts.errors import BadInputError
from mssts.tools.submission import run_submission
from mssts.tools.submission_options import add_submission_options

# A square of 4 x 4 in a frame of 12 x 16, in two forms.
COMPRESSED = {"size": [12, 16], "counts": "=4800000S4"}
POLYGON = [[1, 1, 5, 1, 5, 5, 1, 5]]


@pytest.fixture
def annotations(tmp_path: Path) -> Path:
    """Two videos without truth, as the sets of evaluation servers are."""
    path = tmp_path / "set" / "valid.json"
    path.parent.mkdir()
    frames = {1: ["1/0.jpg", "1/1.jpg", "1/2.jpg"], 2: ["2/0.jpg"]}
    videos = [{"id": id_, "height": 12, "width": 16, "file_names": names} for id_, names in frames.items()]
    categories = [{"id": 4, "name": "cat"}, {"id": 9, "name": "dog"}]
    path.write_text(json.dumps({"videos": videos, "categories": categories, "annotations": None}))
    return path


def entry(**change: object) -> dict:
    masks = [COMPRESSED, None, POLYGON]
    return {"video_id": 1, "category_id": 9, "score": 0.5, "segmentations": masks} | change


def run(*words: object) -> int:
    parser = argparse.ArgumentParser()
    add_submission_options(parser)
    return run_submission(parser.parse_args([str(word) for word in words]))


def test_a_file_or_a_folder_tells_the_set(annotations: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "r.json").write_text(json.dumps([entry()]))
    zips = [tmp_path / "a.zip", tmp_path / "b.zip"]
    for data, out in zip((annotations, annotations.parent), zips, strict=True):
        assert run(tmp_path / "r.json", "--data", data, "--out", out) == 0
        first, note = capsys.readouterr().out.splitlines()
        assert first.startswith(f"wrote {out}: 1 results for 2 videos, 0.0 MB")
        assert note == "note: 1 of 2 videos have no result (video_id 2)"
    assert zips[0].read_bytes() == zips[1].read_bytes()
    with zipfile.ZipFile(zips[0]) as file:
        (written,) = json.loads(file.read("results.json"))
    assert written == entry(segmentations=[COMPRESSED, None, COMPRESSED])


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ([], "holds no result"),
        ([entry(video_id=3)], "result 0: unknown video_id 3"),
        ([entry(category_id=5)], "result 0: unknown category_id 5"),
        ([entry(segmentations=[None])], "result 0: 1 segmentations"),
        ([entry(segmentations=[None, None, {"size": [1, 1], "counts": "1"}])], "result 0, frame 2: RLE size"),
        ([entry(), entry()], "result 1 is result 0 once more"),
        ([entry(score=float("nan"))], "malformed"),
        ([entry(score=None)], r"\$\[0\].score"),
        ({"results": []}, "Expected array"),
    ],
)
def test_faults_are_one_line_with_exit_code_3(annotations: Path, tmp_path: Path, content: object, fault: str) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps(content))
    with pytest.raises(BadInputError, match=fault) as error:
        run(path, "--data", annotations, "--out", tmp_path / "s.zip")
    assert error.value.exit_code == 3
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "s.zip").exists()


def test_missing_files_are_named(annotations: Path, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(json.dumps([entry()]))
    with pytest.raises(BadInputError, match=r"none\.json"):
        run(tmp_path / "none.json", "--data", annotations, "--out", tmp_path / "s.zip")
    with pytest.raises(BadInputError, match="gone"):
        run(tmp_path / "r.json", "--data", tmp_path / "gone", "--out", tmp_path / "s.zip")
    with pytest.raises(SystemExit):
        run(tmp_path / "r.json", "--data", annotations)


def test_the_command_line_knows_the_verb(annotations: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "r.json").write_text(json.dumps([entry()]))
    (tmp_path / "bad.json").write_text(json.dumps([entry(video_id=3)]))
    words = ["--data", str(annotations), "--out", str(tmp_path / "s.zip")]
    assert main(["submit", str(tmp_path / "bad.json"), *words]) == 3
    assert capsys.readouterr().err == f"mssts: {tmp_path / 'bad.json'}: result 0: unknown video_id 3\n"
    assert main(["submit", str(tmp_path / "r.json"), *words]) == 0
    assert (tmp_path / "s.zip").is_file()
