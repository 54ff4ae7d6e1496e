"""`mssts evaluate --gt --results` on files that nobody should trust: one line, exit 3, never a crash or a silent 0."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mssts.cli import main
from mssts.evaluate import threads

HEIGHT, WIDTH = 6, 8
CODE = {"size": [HEIGHT, WIDTH], "counts": "26X1"}  # 2 empty, 6 full, 40 empty


def truth(**change: Any) -> dict[str, Any]:
    """An annotation file of two videos, the first with one track."""
    return {
        "videos": [
            {"id": 3, "height": HEIGHT, "width": WIDTH, "file_names": ["a", "b"]},
            {"id": 8, "height": HEIGHT, "width": WIDTH, "file_names": ["c"]},
        ],
        "categories": [{"id": 2, "name": "cat"}, {"id": 40, "name": "dog"}],
        "annotations": [track()],
    } | change


def track(**change: Any) -> dict[str, Any]:
    one = {"id": 1, "video_id": 3, "category_id": 2, "segmentations": [CODE, None], "bboxes": [[0, 0, 4, 4], None]}
    return one | change


def entry(**change: Any) -> dict[str, Any]:
    return {"video_id": 3, "category_id": 2, "score": 0.5, "segmentations": [CODE, None]} | change


def of(**change: Any) -> dict[str, Any]:
    """An entry whose first mask is a changed code."""
    return entry(segmentations=[CODE | change, None])


DEEP = "[" * 100_000 + "]" * 100_000
BAD_RESULTS: dict[str, object] = {
    "unknown video": [entry(), entry(video_id=4)],
    "huge video id": [entry(video_id=10**30)],
    "unknown category": [entry(category_id=3)],
    "too short": [entry(segmentations=[CODE])],
    "too long": [entry(segmentations=[CODE, None, None])],
    "no segmentations": [entry(segmentations=[])],
    "null segmentations": [entry(segmentations=None)],
    "other size": [of(size=[WIDTH, HEIGHT])],
    "absurd size": [of(size=[10**6, 10**6])],
    "negative size": [of(size=[-HEIGHT, -WIDTH])],
    "size in words": [of(size="6x8")],
    "no counts": [entry(segmentations=[{"size": [HEIGHT, WIDTH]}, None])],
    "counts that do not add up": [of(counts="26X2")],
    "empty counts": [of(counts="")],
    "counts cut off": [of(counts="26X")],
    "endless count": [of(counts="o" * 100)],
    "overflowing count": [of(counts="oooooo?" * 50)],
    "negative counts": [of(counts=[-2, 50])],
    "counts of words": [of(counts=["2", 46])],
    "counts beyond int64": [of(counts=[10**30])],
    "half a surrogate": json.dumps([entry()]).replace("26X1", "\\ud800"),
    "counts that are no text": json.dumps([entry()]).encode().replace(b"26X1", b"\xff"),
    "far polygon": [entry(segmentations=[[[0, 0, 1e9, 1e9, 5, 0]], None])],
    "endless polygon": [entry(segmentations=[[[0, 0, 1e308, 1e308, -1e308, 0]], None])],
    "words for masks": [entry(segmentations=["26X1", None])],
    "NaN score": [entry(score=float("nan"))],
    "endless score": [entry(score=float("inf"))],
    "overflowing score": json.dumps([entry()]).replace("0.5", "1e999"),
    "score in words": [entry(score="NaN")],
    "null score": [entry(score=None)],
    "no score": [{key: value for key, value in entry().items() if key != "score"}],
    "an entry that is none": [entry(), 7],
    "an object": {"annotations": [entry()]},
    "null": "null",
    "truncated": json.dumps([entry(), entry()])[:-20],
    "truncated in a code": json.dumps([entry()]).split("X")[0],
    "two documents": json.dumps([entry()]) * 2,
    "nothing": "",
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
    "two bytes a character": json.dumps([entry()]).encode("utf-16"),
    "deep": DEEP,
    "deep masks": json.dumps([entry(segmentations=7)]).replace("7", DEEP),
    "deep counts": json.dumps([of(counts=7)]).replace("7", DEEP),
    "deep extra": json.dumps([entry(extra=7)]).replace("7", DEEP),
}
BAD_TRUTH: dict[str, object] = {
    "results": [entry()],
    "no videos": {"annotations": []},
    "no annotations": {key: value for key, value in truth().items() if key != "annotations"},
    "empty annotations": truth(annotations=[]),
    "unknown video": truth(annotations=[track(video_id=9)]),
    "wrong length": truth(annotations=[track(segmentations=[CODE])]),
    "absurd code": truth(annotations=[track(segmentations=[CODE | {"counts": "o" * 50}, None])]),
    "absurd size": truth(annotations=[track(segmentations=[{"size": [10**6] * 2, "counts": [10**12]}, None])]),
    "far polygon": truth(annotations=[track(segmentations=[[[0, 0, 1e9, 1e9, 5, 0]], None])]),
    "a huge video": truth(videos=[{"id": 3, "height": 10**9, "width": 10**9, "file_names": ["a", "b"]}]),
    "words": "no JSON",
    "truncated": json.dumps(truth())[:-9],
    "deep": DEEP,
}


def write(path: Path, content: object) -> Path:
    data = content if isinstance(content, str | bytes) else json.dumps(content)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def check(gt: Path, results: Path, faulty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Evaluating ends in one line that names the faulty file."""
    code = main(["evaluate", "--gt", str(gt), "--results", str(results)])
    shown, complaint = capsys.readouterr()
    assert (code, shown) == (3, "")
    assert complaint.startswith(f"mssts: {faulty}: ")
    assert complaint.count("\n") == 1
    assert len(complaint) < 400


@pytest.mark.parametrize("name", BAD_RESULTS)
def test_bad_results_are_one_line_that_names_the_file(name: str, tmp_path: Path, capsys) -> None:
    gt, results = write(tmp_path / "gt.json", truth()), write(tmp_path / "r.json", BAD_RESULTS[name])
    check(gt, results, results, capsys)


@pytest.mark.parametrize("name", BAD_TRUTH)
def test_bad_truth_is_one_line_that_names_the_file(name: str, tmp_path: Path, capsys) -> None:
    gt, results = write(tmp_path / "gt.json", BAD_TRUTH[name]), write(tmp_path / "r.json", [entry()])
    check(gt, results, gt, capsys)


RUN_ALL = """
import sys
from mssts.cli import main
for gt, results in zip(sys.argv[1::2], sys.argv[2::2]):
    assert main(["evaluate", "--gt", gt, "--results", results]) == 3, (gt, results)
print("still alive")
"""


def test_no_file_ends_the_process(tmp_path: Path) -> None:
    good = [str(write(tmp_path / "gt.json", truth())), str(write(tmp_path / "r.json", [entry()]))]
    paths: list[str] = []
    for index, content in enumerate(BAD_RESULTS.values()):
        paths += [good[0], str(write(tmp_path / f"r{index}.json", content))]
    for index, content in enumerate(BAD_TRUTH.values()):
        paths += [str(write(tmp_path / f"gt{index}.json", content)), good[1]]
    done = subprocess.run([sys.executable, "-c", RUN_ALL, *paths], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "still alive\n"), done.stderr
    assert len(done.stderr.splitlines()) == len(BAD_RESULTS) + len(BAD_TRUTH)


def test_an_empty_list_is_no_silent_zero(tmp_path: Path, capsys) -> None:
    gt, results = write(tmp_path / "gt.json", truth()), write(tmp_path / "r.json", [])
    assert main(["evaluate", "--gt", str(gt), "--results", str(results), "--quiet"]) == 3
    shown, fault = capsys.readouterr()
    assert shown == ""
    assert fault.splitlines() == [f"mssts: {results}: holds no results; nothing can be said of an empty list"]


@pytest.mark.parametrize("cores", [1, 2, 7])
def test_of_several_faults_the_same_is_named_on_any_number_of_cores(
    cores: int, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "num_cores", lambda: cores)
    late = entry(video_id=8, segmentations=[CODE | {"counts": "26X2"}])
    faults = [entry(), late, of(counts="oo"), of(counts="S3")]
    gt, results = write(tmp_path / "gt.json", truth()), write(tmp_path / "r.json", faults)
    assert main(["evaluate", "--gt", str(gt), "--results", str(results)]) == 3
    assert "result 2, frame 0: RLE counts are empty or cut off" in capsys.readouterr().err
