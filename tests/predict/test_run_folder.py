"""A run's files read back with other software; interrupted runs leave nothing with a final name."""

import av
import numpy as np
import pytest
from PIL import Image

from mssts.errors import BadInputError, ResourceError
from mssts.predict.run_folder import RunFolder
from mssts.predict.summary import TrackSummary, no_tracks, summarise
from mssts.predict.video_writer import VideoWriter
from mssts.types import FrameResult
from mssts.visualize.palette import track_color

NAMES = ["person", "horse"]
HEIGHT, WIDTH = 72, 100


def make_result(index, scores=(0.9, 0.6), track_ids=(1, 2)) -> FrameResult:
    """Two overlapping rectangles, or as many as there are scores, on a grey frame."""
    boxes = [(4 + 8 * k + index, 5 + 4 * k, 24 + 8 * k + index, 25 + 4 * k) for k in range(len(scores))]
    masks = np.zeros((len(boxes), HEIGHT, WIDTH), bool)
    for mask, (left, top, right, bottom) in zip(masks, boxes, strict=True):
        mask[top:bottom, left:right] = True
    return FrameResult(
        index=index,
        time_s=index / 25,
        image=np.full((HEIGHT, WIDTH, 3), 128, np.uint8),
        masks=masks,
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        labels=np.zeros(len(boxes), int),
        scores=np.array(scores, float),
        track_ids=np.array(track_ids, int),
    )


def naive_ids(result) -> np.ndarray:
    ids = np.zeros((HEIGHT, WIDTH), int)
    for y in range(HEIGHT):
        for x in range(WIDTH):
            here = [k for k in range(len(result.scores)) if result.masks[k, y, x]]
            if here:
                ids[y, x] = result.track_ids[max(here, key=lambda k: result.scores[k])]
    return ids


def names_in(folder) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def interrupted_run(folder, save, **options) -> None:
    with RunFolder(folder, save, 25, **options) as out:
        out.write_frame(make_result(0), NAMES)
        raise KeyboardInterrupt


def run(folder, num_frames=3, save=("video", "masks"), **options) -> RunFolder:
    with RunFolder(folder, save, 25, **options) as out:
        for index in range(num_frames):
            out.write_frame(make_result(index), NAMES)
    return out


def test_outputs_of_a_run(tmp_path):
    out = run(tmp_path / "runs" / "p1", 4)
    assert names_in(out.path) == {"overlay.mp4", *(f"masks/{index:06d}.png" for index in range(4))}
    assert out.outputs == [out.video_path, out.masks_path]
    with av.open(str(out.video_path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == 4
    assert frames[0].shape == (HEIGHT, WIDTH, 3)
    assert np.abs(frames[0][-8:].astype(int) - 128).max() < 12
    inside = frames[0][9:12, 9:11].astype(float).mean(axis=(0, 1))
    tint = np.array(track_color(1)) - 128.0
    assert np.dot(inside - 128, tint) > 0.3 * np.dot(tint, tint)


@pytest.mark.parametrize("scores", [(0.9, 0.6), (0.6, 0.9)])
@pytest.mark.parametrize(("track_ids", "mode"), [((1, 255), "P"), ((7, 256), "I;16"), ((65535, 300), "I;16")])
def test_masks_hold_track_ids(tmp_path, scores, track_ids, mode):
    result = make_result(12, scores, track_ids)
    with RunFolder(tmp_path, {"masks"}, 25) as out:
        out.write_frame(result, NAMES)
    with Image.open(tmp_path / "masks" / "000012.png") as image:
        assert image.mode == mode
        np.testing.assert_array_equal(np.array(image), naive_ids(result))
        if mode == "P":
            assert (np.array(image.convert("RGB"))[10, 18] == track_color(1)).all()


def test_frame_without_instances(tmp_path):
    with RunFolder(tmp_path, {"masks", "video"}, 25) as out:
        out.write_frame(make_result(0, (), ()), NAMES)
    with Image.open(tmp_path / "masks" / "000000.png") as image:
        assert image.size == (WIDTH, HEIGHT)
        assert not np.array(image).any()


def test_id_beyond_16_bits_is_said(tmp_path):
    with pytest.raises(ResourceError, match="track id 65536"), RunFolder(tmp_path, {"masks"}, 25) as out:
        out.write_frame(make_result(0, (0.5,), (65536,)), NAMES)
    assert names_in(tmp_path) == set()


def test_nothing_final_before_finish_and_after_abort(tmp_path):
    out = RunFolder(tmp_path, {"video", "masks", "json"}, 25)
    out.spool_path.write_bytes(b"spool")
    out.write_frame(make_result(0), NAMES)
    assert names_in(tmp_path)
    assert all(".part" in name for name in names_in(tmp_path))
    out.abort()
    assert list(tmp_path.iterdir()) == []
    out.finish()
    assert list(tmp_path.iterdir()) == []


def test_interrupt_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        interrupted_run(tmp_path, {"video", "masks"})
    assert list(tmp_path.iterdir()) == []


def test_finish_removes_the_spool_and_keeps_results(tmp_path):
    with RunFolder(tmp_path, {"json"}, 25) as out:
        out.spool_path.write_bytes(b"spool")
        out.spool_path.with_name("tracks.sqlite.part-wal").write_bytes(b"log")
        out.write_frame(make_result(0), NAMES)
        out.json_path.write_text("[]")
    assert names_in(tmp_path) == {"results.json"}
    assert out.outputs == [out.json_path]


def test_earlier_run_is_refused_and_kept(tmp_path):
    run(tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in names_in(tmp_path)}
    with pytest.raises(BadInputError, match=r"already holds overlay\.mp4, masks; replace with --overwrite") as caught:
        RunFolder(tmp_path, {"json"}, 25)
    assert str(tmp_path) in str(caught.value)
    assert {name: (tmp_path / name).read_bytes() for name in names_in(tmp_path)} == before


def test_overwrite_keeps_the_old_run_until_the_new_one_is_done(tmp_path):
    run(tmp_path, 3)
    old_video = (tmp_path / "overlay.mp4").read_bytes()
    with pytest.raises(KeyboardInterrupt):
        interrupted_run(tmp_path, {"video", "masks"}, overwrite=True)
    assert names_in(tmp_path) == {"overlay.mp4", *(f"masks/{index:06d}.png" for index in range(3))}
    assert (tmp_path / "overlay.mp4").read_bytes() == old_video
    run(tmp_path, 2, ("masks",), overwrite=True)
    assert names_in(tmp_path) == {"masks/000000.png", "masks/000001.png"}, "no file of the old run mixes with the new"


def test_foreign_files_are_never_removed(tmp_path):
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "notes.txt").write_text("mine")
    (tmp_path / "other.png").write_text("mine too")
    with pytest.raises(BadInputError, match="masks: holds more than"):
        RunFolder(tmp_path, {"masks"}, 25, overwrite=True)
    assert names_in(tmp_path) == {"masks/notes.txt", "other.png"}


def test_leftovers_of_a_killed_run_do_not_matter(tmp_path):
    killed = RunFolder(tmp_path, {"video", "masks"}, 25)
    killed.spool_path.write_bytes(b"spool")
    (tmp_path / "masks.part" / "000077.png").write_bytes(b"half")
    (tmp_path / "overlay.mp4.part").write_bytes(b"half")
    run(tmp_path, 1)
    assert names_in(tmp_path) == {"overlay.mp4", "masks/000000.png"}


def test_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ResourceError, match="cannot create the folder") as caught:
            RunFolder(path, {"video"}, 25)
        assert str(path) in str(caught.value)


def test_full_disk_at_the_end(tmp_path, monkeypatch):
    def fail(self):
        self.abort()
        raise ResourceError(f"{self.path}: cannot write the video: No space left on device")

    monkeypatch.setattr(VideoWriter, "close", fail)
    with pytest.raises(ResourceError, match="No space left"):
        run(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_full_disk_at_a_mask(tmp_path, monkeypatch):
    def fail(self, *args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(ResourceError, match=r"000000\.png: cannot write the mask file: No space left on device"):
        run(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_summary_is_aligned_and_complete():
    rows = [
        TrackSummary(1, "person", 0.914, 0, 249, 250, 0.0, 9.96),
        TrackSummary(12, "a name that is longer than any table likes", 0.5, 3, 4000, 17, 0.12, 3723.44),
    ]
    lines = summarise(rows, ["runs/p1/overlay.mp4", "runs/p1/results.json"]).splitlines()
    assert lines[1].split() == ["#1", "person", "0.91", "0–249", "0:00.0–0:10.0", "250"]
    assert lines[2].split()[-4:] == ["0.50", "3–4000", "0:00.1–1:02:03.4", "17"]
    assert len({len(line) for line in lines[:3]}) == 1
    assert max(map(len, lines[:3])) < 80
    assert lines[0].split() == ["track", "class", "score", "frames", "time", "visible"]
    assert lines[3:] == ["saved: runs/p1/overlay.mp4, runs/p1/results.json"]


def test_summary_of_many_and_of_no_tracks():
    rows = [TrackSummary(number, "dog", 0.5, 0, 1, 2, 0.0, 0.1) for number in range(1, 43)]
    lines = summarise(rows).splitlines()
    assert lines[-1] == "… and 12 more"
    assert sum(line.lstrip().startswith("#") for line in lines) == 30
    assert "more" not in summarise(rows[:30])
    assert summarise([]) == "no tracks found"
    assert summarise([], ["a.mp4"], "nothing").splitlines() == ["nothing", "saved: a.mp4"]
    assert "nothing" not in summarise(rows, nothing="nothing")


@pytest.mark.parametrize(
    ("best_score", "hint"),
    [
        (0.318, "no tracks above --conf 0.4 (the best score was 0.31; try --conf 0.25)"),
        (0.3999, "no tracks above --conf 0.4 (the best score was 0.39; try --conf 0.31)"),
        # With --conf 0 everything would be a track.
        (0.012, "no tracks above --conf 0.4 (the best score was 0.01)"),
        (None, "no tracks found"),
        (0.4, "no tracks found"),
    ],
)
def test_a_run_without_tracks_says_what_would_find_some(best_score, hint):
    assert no_tracks(0.4, best_score, were_brief=False) == hint


def test_a_run_whose_tracks_were_brief_names_the_option():
    assert "--keep-brief" in no_tracks(0.4, 0.6, were_brief=True)
    assert "\n" not in no_tracks(0.4, 0.6, were_brief=True)
