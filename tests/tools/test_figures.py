"""The verbs that draw figures, as a user runs them."""

import json
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from mssts.assets import asset_path
from mssts.checkpoint import load_model, save_model
from mssts.cli import main
from mssts.config import preset
from mssts.data.synthetic_set import write_synthetic_set
from mssts.data.video_set import VideoSet, load_video_set
from mssts.evaluate.results_file import Result, save_results
from mssts.model.vis import VisModel
from mssts.tools.demo_clip import HEIGHT, NUM_FRAMES, WIDTH
from mssts.tools.figure_files import short_titles
from mssts.visualize.palette import track_color

CLIP = str(asset_path("demo.mp4"))
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command line; gives the exit code and what it said on stderr."""

    def call(*arguments: object) -> tuple[int, str]:
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = int(stop.code or 0)
        return code, capsys.readouterr().err

    return call


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first 7 frames of the bundled clip as pictures."""
    path = tmp_path_factory.mktemp("frames")
    with av.open(CLIP) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index == 7:
                break
            frame.to_image().save(path / f"{index}.png")
    return path


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> VideoSet:
    path = tmp_path_factory.mktemp("set")
    write_synthetic_set(path, "valid", 2, seed=3, progress=False, height=64, width=96, min_frames=6, max_frames=6)
    return load_video_set(path, "valid")


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def test_attention_video_has_a_frame_for_each(run, tmp_path):
    out = tmp_path / "new" / "a.mp4"
    assert run("attention", CLIP, "--out", out, "--quiet") == (0, "")
    with av.open(str(out)) as container:
        shown = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(shown) == NUM_FRAMES
    assert {frame.shape for frame in shown} == {(HEIGHT, WIDTH, 3)}
    assert [path.name for path in out.parent.iterdir()] == ["a.mp4"]


def test_attention_figure_of_two_models_with_tracks(run, folder, tmp_path):
    out = tmp_path / "a.png"
    command = ("attention", folder, "--beside", "baseline", "--tracks", "--frames", "0,4,6", "--out", out, "--quiet")
    assert run(*command) == (0, "")
    page = read(out)
    assert page.shape[0] > 2 * HEIGHT
    assert page.shape[1] > 3 * WIDTH
    found = [number for number in range(1, 5) if (page == track_color(number)).all(axis=-1).sum() > 50]
    assert len(found) >= 3, "dots and bars in the tracks' colours"
    code, complaint = run(*command)
    assert code == 3
    assert "--overwrite" in complaint
    assert run(*command, "--overwrite") == (0, "")


def test_without_ms_sts_the_map_is_another(run, folder, tmp_path):
    out = tmp_path / "a.png"
    assert run("attention", folder, "--beside", "baseline", "--frames", "2", "--out", out, "--quiet") == (0, "")
    page = read(out).astype(int)
    lower = page[-HEIGHT - 6 : -6, -WIDTH - 6 : -6]
    upper = page[-2 * HEIGHT - 12 : -HEIGHT - 12, -WIDTH - 6 : -6]
    assert np.abs(lower - upper).mean() > 3
    alone = tmp_path / "b.png"
    assert run("attention", folder, "--frames", "2", "--out", alone, "--quiet") == (0, "")
    np.testing.assert_array_equal(read(alone)[-HEIGHT - 6 : -6, -WIDTH - 6 : -6], lower)


def test_a_model_without_ms_sts_has_nothing_to_switch_off(run, folder, tmp_path):
    save_model(VisModel(preset("baseline-tiny")), tmp_path / "model.safetensors")
    options = ("--model", tmp_path / "model.safetensors", "--beside", "baseline", "--out", tmp_path / "a.png")
    code, complaint = run("attention", folder, *options)
    assert code == 2
    assert "no MS-STS attention" in complaint


def test_a_broken_video_leaves_the_frames_before(run, folder, tmp_path):
    source = tmp_path / "frames"
    source.mkdir()
    for path in folder.iterdir():
        (source / path.name).write_bytes(path.read_bytes())
    (source / "6.png").write_bytes(b"no picture")
    code, complaint = run("attention", source, "--out", tmp_path / "a.mp4", "--quiet")
    assert code == 4
    assert "6.png" in complaint
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 6
    code, complaint = run("attention", source, "--out", tmp_path / "a.png", "--frames", "0,6", "--quiet")
    assert code == 4
    assert not (tmp_path / "a.png").exists()
    assert run("attention", source, "--out", tmp_path / "a.png", "--frames", "0,5", "--quiet") == (0, "")


@pytest.mark.parametrize("verb", [("attention",), ("strip", "--model", "tiny")])
def test_a_figure_of_a_broken_video_is_written_and_called_partial(run, folder, tmp_path, verb):
    source = tmp_path / "frames"
    source.mkdir()
    for path in folder.iterdir():
        (source / path.name).write_bytes(path.read_bytes())
    (source / "4.png").write_bytes(b"no picture")
    out = tmp_path / "a.png"
    code, complaint = run(verb[0], source, *verb[1:], "--out", out, "--quiet")
    assert code == 4
    assert "4.png" in complaint
    assert f"{out} holds the frames before that" in complaint
    assert complaint.count("\n") == 1
    assert read(out).shape[1] > 2 * WIDTH


def test_truth_that_cannot_be_drawn_is_refused(run, truth, tmp_path):
    """A bad mask in a frame that is not even on show; no truth at all; a video of another length."""
    video = truth.videos[1]
    frames = (truth.image_root / video.file_names[0]).parent
    document = json.loads(truth.path.read_text())
    entry = next(entry for entry in document["annotations"] if entry["video_id"] == video.id)
    options = ("--gt", tmp_path / "valid.json", "--truth", "--video", video.id, "--out", tmp_path / "s.png", "--quiet")
    for spoil, fault in (
        (lambda: entry["segmentations"].__setitem__(2, {"size": [64, 96], "counts": "0"}), f"annotation {entry['id']}"),
        (lambda: document.update(annotations=[]), "has no ground truth"),
    ):
        spoil()
        (tmp_path / "valid.json").write_text(json.dumps(document))
        code, complaint = run("strip", frames, *options, "--frames", "0,1")
        assert (code, complaint.count("\n")) == (3, 1)
        assert fault in complaint
    fewer = tmp_path / "fewer"
    fewer.mkdir()
    for path in sorted(frames.iterdir())[:-1]:
        (fewer / path.name).write_bytes(path.read_bytes())
    code, complaint = run("strip", fewer, "--gt", truth.path, *options[2:], "--frames", "0,1")
    assert (code, "has 6 frames" in complaint) == (3, True)


def test_strip_of_two_models(run, folder, tmp_path):
    again = tmp_path / "again.safetensors"
    save_model(load_model(asset_path("tiny.safetensors")), again)
    out = tmp_path / "s.png"
    options = ("--frames", "0,6", "--width", 200, "--out", out, "--quiet")
    assert run("strip", folder, "--model", "tiny", "--model", again, *options) == (0, "")
    page = read(out)
    height = round(200 * HEIGHT / WIDTH)
    lower, upper = page[-height - 6 : -6, -206:-6], page[-2 * height - 12 : -height - 12, -206:-6]
    np.testing.assert_array_equal(lower, upper)
    outlines = [(lower == track_color(number)).all(axis=-1).sum() for number in (1, 2, 3)]
    assert min(outlines) > 100, "boxes, outlines and labels of the tracks"


def test_strip_of_results_beside_the_truth(run, truth, tmp_path):
    video = truth.videos[1]
    frames = (truth.image_root / video.file_names[0]).parent
    good, empty = tmp_path / "good.json", tmp_path / "empty.json"
    tracks = [track for track in truth.tracks if track.video_id == video.id]
    # In another order: colours follow the objects, not the order.
    found = [Result(video.id, track.category_id, 0.9, track.segmentations) for track in reversed(tracks)]
    doubtful = Result(video.id, tracks[0].category_id, 0.1, tracks[0].segmentations)
    save_results([*found, doubtful], good)
    save_results([], empty)
    out = tmp_path / "s.png"
    rows = ("--gt", truth.path, "--truth", "--results", good, "--results", empty)
    options = ("--frames", "1,4", "--width", 300, "--out", out, "--quiet")
    assert run("strip", frames, *rows, *options) == (0, "")
    page = read(out)
    height = 200
    last, middle, first = (page[-n * (height + 6) : -n * (height + 6) + height, -306:-6] for n in (1, 2, 3))
    for number in range(1, len(tracks) + 1):
        of_track = [(row == track_color(number)).all(axis=-1) for row in (first, middle, last)]
        assert of_track[0].sum() > 50
        # The labels differ in their score.
        assert (of_track[0] & of_track[1]).sum() > 0.6 * of_track[0].sum()
        assert of_track[2].sum() == 0


def test_the_videos_name_says_which_one(run, truth, folder, tmp_path):
    options = ("--gt", truth.path, "--truth", "--out", tmp_path / "s.png", "--quiet")
    code, complaint = run("strip", folder, *options)
    assert code == 3
    assert "--video" in complaint
    code, complaint = run("strip", folder, *options, "--video", truth.videos[0].id)
    assert code == 3
    assert f"{WIDTH}x{HEIGHT}" in complaint


@pytest.mark.parametrize("codes", [(None,), ({"size": [9, 9], "counts": "x"},) * 6])
def test_results_that_cannot_be_drawn_are_refused(run, truth, tmp_path, codes):
    video = truth.videos[1]
    save_results([Result(video.id, truth.tracks[0].category_id, 0.9, codes)], tmp_path / "bad.json")
    frames = (truth.image_root / video.file_names[0]).parent
    out = tmp_path / "s.png"
    code, complaint = run("strip", frames, "--gt", truth.path, "--results", tmp_path / "bad.json", "--out", out)
    assert code == 3
    assert "bad.json: result 0" in complaint
    assert complaint.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize(
    ("line", "code", "named"),
    [
        ("attention none.mp4 --out OUT.mp4", 3, "none.mp4"),
        ("strip none.mp4 --model tiny --out OUT.png", 3, "none.mp4"),
        ("attention CLIP --out OUT.gif", 2, ".gif"),
        ("strip CLIP --model tiny --out OUT.mp4", 2, ".mp4"),
        ("plot-ap --out OUT.jpg", 2, ".jpg"),
        ("attention CLIP", 2, "--out"),
        ("attention CLIP --out OUT.mp4 --frames 0,4", 2, "--frames"),
        ("attention CLIP --out OUT.png --frames 0,x", 2, "0,x"),
        ("attention CLIP --out OUT.png --frames 99 --quiet", 3, "no frame 99"),
        ("strip CLIP --model tiny --out OUT.png --frames 99 --quiet", 3, "no frame 99"),
        ("strip CLIP --out OUT.png", 2, "--model"),
        ("strip CLIP --results r.json --out OUT.png", 2, "--gt"),
        ("attention CLIP --model huge --out OUT.png", 6, "huge"),
        ("plot-ap --out OUT.png --add mine:many:48", 2, "mine:many:48"),
        ("plot-ap --out OUT.png --add mine:20:480", 2, "mine:20:480"),
        ("plot-ap --out OUT.png --set 2021 --backbone Swin-L", 2, "Swin-L"),
    ],
)
def test_mistakes_are_one_line(run, tmp_path, line, code, named):
    words = [word.replace("CLIP", CLIP).replace("OUT", str(tmp_path / "out")) for word in line.split()]
    got, complaint = run(*words)
    (last,) = complaint.splitlines()
    assert got == code
    assert named in last
    assert not list(tmp_path.iterdir())


def test_the_source_is_never_replaced(run, tmp_path):
    path = tmp_path / "in.mp4"
    path.write_bytes(Path(CLIP).read_bytes())
    code, complaint = run("attention", path, "--out", path, "--overwrite")
    assert code == 3
    assert "would be replaced" in complaint
    assert path.read_bytes() == Path(CLIP).read_bytes()


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_plot_ap(run, tmp_path, suffix):
    pytest.importorskip("matplotlib")
    out = tmp_path / f"ap.{suffix}"
    assert run("plot-ap", "--out", out, "--add", "mine: second:12.5:44") == (0, "")
    starts = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}
    assert out.read_bytes().startswith(starts[suffix])
    if suffix == "svg":
        assert "mine: second  44.0" in out.read_text()
    assert run("plot-ap", "--out", out)[0] == 3


def test_without_matplotlib_a_line_says_how_to_get_it(run, tmp_path, monkeypatch):
    monkeypatch.setattr("mssts.tools.plot_ap.find_spec", lambda _name: None)
    code, complaint = run("plot-ap", "--out", tmp_path / "ap.png")
    assert code == 3
    assert "pip install -e '.[train,viz]'" in complaint


def test_titles_leave_out_what_says_nothing():
    assert short_titles(["runs/a/model.safetensors", "runs/b/results.json", "tiny"]) == ["a", "b", "tiny"]
    assert short_titles(["x/a.json", "runs/mine"]) == ["a", "mine"]
    assert short_titles(["x/a", "y/a"]) == ["x/a", "y/a"]
