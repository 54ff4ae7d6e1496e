"""The verb `evaluate` as a user runs it: numbers, files, and one line for what cannot be."""

import csv
import json
from pathlib import Path

import pytest

from mssts.cli import main
from mssts.data.synthetic_set import write_synthetic_set
from mssts.data.video_set import VideoSet, load_video_set
from mssts.errors import ResourceError
from mssts.evaluate.results_file import Result, save_results


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> VideoSet:
    folder = tmp_path_factory.mktemp("set")
    size = {"height": 64, "width": 96, "min_frames": 3, "max_frames": 5}
    write_synthetic_set(folder, "valid", 4, seed=2, progress=False, **size)
    return load_video_set(folder, "valid")


@pytest.fixture
def perfect(truth: VideoSet, tmp_path: Path) -> Path:
    """The truth itself as a results file."""
    path = tmp_path / "results.json"
    save_results([Result(t.video_id, t.category_id, 0.9, t.segmentations) for t in truth.tracks], path)
    return path


def test_the_truth_itself_gets_full_marks(truth: VideoSet, perfect: Path, tmp_path: Path, capsys) -> None:
    files = ["--json", str(tmp_path / "a.json"), "--csv", str(tmp_path / "a.csv"), "--attributes"]
    assert main(["evaluate", "--gt", str(truth.path), "--results", str(perfect), *files]) == 0
    shown = capsys.readouterr().out
    assert "AP 100.0" in shown
    numbers = json.loads((tmp_path / "a.json").read_text())
    assert numbers["AP"] == numbers["AP75"] == 1.0
    assert {len(numbers["per_category"]), len(truth.categories)} == {8}
    assert numbers["per_attribute"].keys() == {"fast_motion", "size_change", "aspect_change"}
    rows = list(csv.DictReader((tmp_path / "a.csv").open()))
    assert rows[0]["kind"] == "all"
    assert float(rows[0]["AP50"]) == 1.0
    assert len(rows) == 1 + 8 + 3


def test_a_lost_frame_costs_what_it_should(truth: VideoSet, tmp_path: Path) -> None:
    track = max(truth.tracks, key=lambda track: sum(part is not None for part in track.segmentations))
    alone = [Result(track.video_id, track.category_id, 0.5, (None, *track.segmentations[1:]))]
    save_results(alone, tmp_path / "r.json")
    arguments = ["--results", str(tmp_path / "r.json"), "--json", str(tmp_path / "a.json")]
    assert main(["evaluate", "--gt", str(truth.path), *arguments]) == 0
    numbers = json.loads((tmp_path / "a.json").read_text())
    assert 0 < numbers["AP50"] < 1


def test_the_bar_for_tracks_is_told_and_can_be_set(truth: VideoSet, tmp_path: Path, capsys) -> None:
    """Of a detector whose scores are all low, video AP is perfect, and nothing is a track until the bar is lowered."""
    results = [Result(t.video_id, t.category_id, 0.2, t.segmentations) for t in truth.tracks]
    save_results(results, tmp_path / "r.json")
    arguments = ["evaluate", "--gt", str(truth.path), "--results", str(tmp_path / "r.json"), "--tracking"]
    arguments += ["--json", str(tmp_path / "a.json")]
    assert main(arguments) == 0
    assert "No result has a score of 0.4 or more" in capsys.readouterr().out
    numbers = json.loads((tmp_path / "a.json").read_text())
    assert (numbers["AP"], numbers["tracking"]["min_score"], numbers["tracking"]["tracks"]) == (1.0, 0.4, 0)
    assert numbers["tracking"]["HOTA"] == 0.0
    assert main([*arguments, "--min-score", "0.2"]) == 0
    shown = capsys.readouterr().out
    assert "tracking (score >= 0.2)" in shown
    assert "No result" not in shown
    numbers = json.loads((tmp_path / "a.json").read_text())
    assert numbers["tracking"]["HOTA"] == pytest.approx(1.0)
    assert numbers["tracking"]["tracks"] == len(results)


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (["--gt", "GT"], 2, "--results"),
        (["--results", "R"], 2, "--gt"),
        (["--gt", "GT", "--results", "R", "--window", "5"], 2, "--window goes with --model"),
        (["--gt", "GT", "--results", "R", "--save-results", "S"], 2, "--save-results goes with --model"),
        (["--gt", "GT", "--results", "R", "--compile"], 2, "--compile goes with --model"),
        (["--gt", "GT", "--results", "R", "--min-score", "0"], 2, "--min-score goes with --tracking"),
        (["--gt", "GT", "--results", "R", "--model", "tiny"], 2, "--model"),
        (["--gt", "missing.json", "--results", "R"], 3, "missing.json"),
        (["--gt", "GT", "--results", "missing.json"], 3, "missing.json"),
        (["--gt", "GT", "--results", "GT"], 3, "instances.json"),
    ],
)
def test_mistakes_are_one_line(
    truth: VideoSet, perfect: Path, arguments: list[str], code: int, named: str, capsys
) -> None:
    paths = {"GT": str(truth.path), "R": str(perfect)}
    assert main(["evaluate", *(paths.get(argument, argument) for argument in arguments)]) == code
    complaint = capsys.readouterr().err
    assert named in complaint
    assert complaint.count("\n") == 1


def test_a_model_is_evaluated_on_a_set(truth: VideoSet, tmp_path: Path, capsys) -> None:
    folder = str(truth.path.parents[1])
    arguments = ["--data", folder, "--model", "tiny", "--quiet", "--save-results", str(tmp_path / "r.json")]
    assert main(["evaluate", *arguments, "--json", str(tmp_path / "a.json")]) == 0
    first = json.loads((tmp_path / "a.json").read_text())
    again = ["--gt", str(truth.path), "--results", str(tmp_path / "r.json"), "--json", str(tmp_path / "b.json")]
    assert main(["evaluate", *again]) == 0
    assert json.loads((tmp_path / "b.json").read_text()) == first
    capsys.readouterr()


def test_a_report_that_cannot_be_is_refused_before_the_work(truth: VideoSet, tmp_path: Path, capsys) -> None:
    """The results are not even looked for."""
    (tmp_path / "file").write_text("")
    arguments = ["--results", str(tmp_path / "none.json"), "--report", str(tmp_path / "file" / "report")]
    assert main(["evaluate", "--gt", str(truth.path), *arguments]) == ResourceError.exit_code
    assert capsys.readouterr().err == f"mssts: {tmp_path}/file: is a file, so the report's folder cannot be there\n"


def test_files_that_are_read_are_not_overwritten(truth: VideoSet, perfect: Path, capsys) -> None:
    for option in ("--json", "--csv"):
        before = perfect.read_bytes()
        assert main(["evaluate", "--gt", str(truth.path), "--results", str(perfect), option, str(perfect)]) == 2
        assert "is read too" in capsys.readouterr().err
        assert perfect.read_bytes() == before
