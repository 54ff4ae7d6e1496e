"""The verb `evaluate` as a user runs it: numbers, files, and one line for what cannot be."""

import csv
import json
from pathlib import Path

import pytest

from mssts.cli import main
from mssts.data.synthetic_set import write_synthetic_set
from mssts.data.video_set import VideoSet, load_video_set
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


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (["--gt", "GT"], 2, "--results"),
        (["--results", "R"], 2, "--gt"),
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
