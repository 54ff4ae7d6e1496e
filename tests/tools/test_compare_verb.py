"""The verb `compare` as a user runs it."""

import argparse
import json
from pathlib import Path

import pytest

from mssts.cli import main
from mssts.data.synthetic_set import write_synthetic_set
from mssts.data.video_set import VideoSet, load_video_set
from mssts.errors import BadInputError, UsageError
from mssts.evaluate.results_file import Result, save_results
from mssts.evaluate.video_ap import evaluate_video_ap
from mssts.tools.compare import run_compare
from mssts.tools.compare_options import add_compare_options


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> VideoSet:
    folder = tmp_path_factory.mktemp("set")
    size = {"height": 64, "width": 96, "min_frames": 3, "max_frames": 5}
    write_synthetic_set(folder, "valid", 6, seed=2, progress=False, **size)
    return load_video_set(folder, "valid")


@pytest.fixture
def files(truth: VideoSet, tmp_path: Path) -> tuple[Path, Path]:
    """The truth itself, and the same without one video."""
    results = [Result(t.video_id, t.category_id, 0.9, t.segmentations) for t in truth.tracks]
    lost = truth.videos[1].id
    save_results([result for result in results if result.video_id != lost], tmp_path / "a.json")
    save_results(results, tmp_path / "b.json")
    return tmp_path / "a.json", tmp_path / "b.json"


def run(*words: object) -> int:
    parser = argparse.ArgumentParser()
    add_compare_options(parser)
    return run_compare(parser.parse_args([str(word) for word in words]))


def test_differences_intervals_and_videos_are_told(truth: VideoSet, files: tuple[Path, Path], tmp_path: Path, capsys):
    out = tmp_path / "new" / "c.json"
    assert run(*files, "--gt", truth.path, "--resamples", 100, "--seed", 4, "--json", out) == 0
    shown = capsys.readouterr().out
    facts = json.loads(out.read_text())
    kept = [
        Result(t.video_id, t.category_id, 0.9, t.segmentations)
        for t in truth.tracks
        if t.video_id != truth.videos[1].id
    ]
    expected = evaluate_video_ap(truth, kept).numbers["AP"]
    number = facts["numbers"]["AP"]
    assert (number["first"], number["second"]) == (expected, 1.0)
    assert number["difference"] == 1.0 - expected
    assert 0 <= number["low"] <= number["difference"] <= number["high"] <= 1
    # Nothing in these frames is large.
    assert facts["numbers"]["APl"] == {"first": -1, "second": -1, "difference": None, "low": None, "high": None}
    (video,) = facts["videos"]
    name = truth.videos[1].file_names[0].split("/")[0]
    assert (video["video_id"], video["name"]) == (truth.videos[1].id, name)
    assert video["change"] == pytest.approx(1.0 - expected)
    row = next(line for line in shown.splitlines() if line.startswith("AP "))
    assert row.split()[1:4] == [f"{100 * expected:.1f}", "100.0", f"{100 - 100 * expected:+.1f}"]
    assert next(line for line in shown.splitlines() if line.startswith(name)).split()[2:] == ["0.0", "100.0"]


def test_a_file_against_itself(truth: VideoSet, files: tuple[Path, Path], capsys) -> None:
    assert run(files[0], files[0], "--gt", truth.path, "--resamples", 100) == 0
    shown = capsys.readouterr().out
    assert "no video changed AP" in shown
    assert "+0.0 to +0.0\n" in shown
    assert "*" not in shown


def test_what_cannot_be_compared_is_refused(truth: VideoSet, files: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"none\.json"):
        run(files[0], tmp_path / "none.json", "--gt", truth.path)
    with pytest.raises(BadInputError, match=r"gt\.json: no such file"):
        run(*files, "--gt", tmp_path / "gt.json")
    document = json.loads(truth.path.read_text())
    (tmp_path / "valid.json").write_text(json.dumps(document | {"annotations": None}))
    with pytest.raises(BadInputError, match=r"valid\.json: has no ground truth"):
        run(*files, "--gt", tmp_path / "valid.json")
    (tmp_path / "empty.json").write_text("[]")
    for pair in ((files[0], tmp_path / "empty.json"), (tmp_path / "empty.json", files[0])):
        with pytest.raises(BadInputError, match=r"empty\.json: holds no results"):
            run(*pair, "--gt", truth.path)
    for number in (0, 99, 100_001):
        with pytest.raises(SystemExit):
            run(*files, "--gt", truth.path, "--resamples", number)


def test_nothing_that_is_read_is_overwritten(truth: VideoSet, files: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "link.json").symlink_to(files[1])
    for out in (*files, truth.path, tmp_path / "link.json"):
        before = out.read_bytes()
        with pytest.raises(UsageError, match=f"{out.name}: is read too"):
            run(*files, "--gt", truth.path, "--json", out)
        assert out.read_bytes() == before


def test_few_videos_give_no_interval(truth: VideoSet, files: tuple[Path, Path], tmp_path: Path, capsys) -> None:
    """One video can change for the better by chance, however often it is drawn."""
    document = json.loads(truth.path.read_text())
    changed = truth.videos[1].id
    document["videos"] = [video for video in document["videos"] if video["id"] == changed]
    document["annotations"] = [track for track in document["annotations"] if track["video_id"] == changed]
    (tmp_path / "gt.json").write_text(json.dumps(document))
    own = [Result(t.video_id, t.category_id, 0.9, t.segmentations) for t in truth.tracks if t.video_id == changed]
    save_results(own, tmp_path / "b.json")
    save_results([own[0]._replace(segmentations=(None,) * len(own[0].segmentations))], tmp_path / "a.json")
    out = tmp_path / "c.json"
    assert run(tmp_path / "a.json", tmp_path / "b.json", "--gt", tmp_path / "gt.json", "--json", out) == 0
    shown = capsys.readouterr().out
    assert "no intervals: 1 videos are too few" in shown
    assert "*" not in shown
    number = json.loads(out.read_text())["numbers"]["AP"]
    assert (number["difference"], number["low"], number["high"]) == (1.0, None, None)


def test_the_command_line_knows_the_verb(truth: VideoSet, files: tuple[Path, Path], capsys) -> None:
    assert main(["compare", *map(str, files), "--gt", str(truth.path), "--resamples", "100"]) == 0
    assert main(["compare", *map(str, files), "--gt", "none.json"]) == 3
    assert capsys.readouterr().err == "mssts: none.json: no such file\n"
