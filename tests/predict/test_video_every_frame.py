"""Every frame that a good file holds is delivered, in order, as displayed, at its time."""

import weakref
from pathlib import Path

import numpy as np
import pytest
from numbered_video import (
    HEIGHT,
    KINDS,
    WIDTH,
    empty_avi_chunk,
    indices,
    patch_display_matrix,
    picture,
    read_index,
    start_edit_at,
    write_video,
)
from PIL import Image

from mssts.predict.video import open_source


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """The path of a good file of `KINDS`, written once."""
    folder = tmp_path_factory.mktemp("videos")

    def path_of(name: str) -> Path:
        path = folder / name
        if not path.exists():
            write_video(path, **KINDS[name])
        return path

    return path_of


@pytest.mark.parametrize("name", KINDS)
def test_all_frames_in_order(video, name):
    with open_source(video(name)) as source:
        frames = list(source)
        assert (source.name, source.width, source.height) == (Path(name).stem, WIDTH, HEIGHT)
        assert source.fps == pytest.approx(25, rel=0.01)
        assert source.num_frames_hint == 40
        assert not source.is_live
    assert [read_index(frame.image) for frame in frames] == list(range(40))
    assert [frame.index for frame in frames] == list(range(40))
    times = np.array([frame.time_s for frame in frames])
    np.testing.assert_allclose(times - times[0], np.arange(40) / 25, atol=0.002)


def test_pixels_are_rgb(tmp_path):
    path = write_video(tmp_path / "a.mkv", "ffv1", num_frames=2, pixels="bgr0")
    with open_source(path) as source:
        frames = list(source)
    np.testing.assert_array_equal(frames[1].image, picture(1))
    assert frames[1].image.dtype == np.uint8


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_variable_rate_keeps_times_and_says_the_average(tmp_path, suffix):
    times_ms = np.cumsum([0] + [20, 50, 110] * 10).tolist()
    path = write_video(tmp_path / f"a.{suffix}", num_frames=31, times_ms=times_ms)
    with open_source(path) as source:
        frames = list(source)
        assert source.fps == pytest.approx(30 / 1.8, rel=0.07)
    assert [read_index(frame.image) for frame in frames] == list(range(31))
    np.testing.assert_allclose([frame.time_s for frame in frames], np.array(times_ms) / 1000, atol=0.0011)


def test_one_frame(tmp_path):
    assert indices(write_video(tmp_path / "a.mp4", num_frames=1)) == [0]


def test_odd_size(tmp_path):
    path = write_video(tmp_path / "a.mkv", "ffv1", num_frames=2, size=(97, 65), pixels="yuv444p")
    with open_source(path) as source:
        assert [frame.image.shape for frame in source] == [(65, 97, 3)] * 2
        assert (source.width, source.height) == (97, 65)


def place_points(image: np.ndarray, a: int, b: int, c: int, d: int) -> np.ndarray:
    """What a display matrix means, point by point: (x, y) goes to (a x + c y, b x + d y), moved into view."""
    height, width = image.shape[:2]
    placed = {(a * x + c * y, b * x + d * y): image[y, x] for y in range(height) for x in range(width)}
    columns, rows = sorted({x for x, _ in placed}), sorted({y for _, y in placed})
    return np.array([[placed[x, y] for x in columns] for y in rows])


@pytest.mark.parametrize(
    "matrix",
    [(0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0), (-1, 0, 0, 1), (1, 0, 0, -1), (0, 1, 1, 0), (0, -1, -1, 0)],
)
def test_display_matrix_turns_and_mirrors(tmp_path, matrix):
    path = write_video(tmp_path / "a.mp4", num_frames=2)
    with open_source(path) as source:
        stored = [frame.image for frame in source]
    patch_display_matrix(path, *matrix)
    with open_source(path) as source:
        shown = [frame.image for frame in source]
        assert shown[0].shape == (source.height, source.width, 3)
    np.testing.assert_array_equal(shown[1], place_points(stored[1], *matrix))


def test_transparent_gif_is_laid_over_white(tmp_path):
    frames = []
    for index in range(5):
        layer = Image.new("RGBA", (WIDTH, HEIGHT))
        layer.paste((255, 0, 0, 255), (10 * index, 40, 10 * index + 10, 60))
        frames.append(layer)
    path = tmp_path / "a.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100, disposal=2)
    with open_source(path) as source:
        images = [frame.image for frame in source]
    assert len(images) == 5
    for index, image in enumerate(images):
        red = (image == (255, 0, 0)).all(-1)
        assert (image[~red] == 255).all()
        assert (red.sum(), np.nonzero(red)[1].min()) == (200, 10 * index)


def test_start_frame_skips_exactly(video, tmp_path):
    assert indices(video("h264.mkv"), start_frame=7) == list(range(7, 40))
    with open_source(video("h264.mp4"), start_frame=39) as source:
        (last,) = source
    assert (last.index, last.time_s) == (39, pytest.approx(39 / 25))
    assert indices(video("h264.mp4"), start_frame=41) == []
    for index in range(4):
        Image.fromarray(picture(index)).save(tmp_path / f"{index}.png")
    assert indices(tmp_path, start_frame=2) == [2, 3]


def test_a_trimmed_file_is_whole(video, tmp_path):
    """The frames before an edit list's start are stored but not shown; that is no damage."""
    path = tmp_path / "a.mp4"
    write_video(path, codec_options={"g": "10"})
    assert indices(start_edit_at(path, 25)) == list(range(25, 40))


def test_an_empty_avi_chunk_is_no_damage(tmp_path):
    path = empty_avi_chunk(write_video(tmp_path / "a.avi", "mjpeg", pixels="yuvj420p"), 10)
    assert indices(path) == [index for index in range(40) if index != 10]


def test_trailing_junk_is_no_damage(video, tmp_path):
    for name in ("h264.mp4", "h264.mkv", "mjpeg.avi", "colours.gif"):
        path = tmp_path / name
        path.write_bytes(video(name).read_bytes() + b"\xff\xfejunk behind the end" * 9)
        assert indices(path) == list(range(40)), name


def test_few_frames_are_in_memory(tmp_path):
    """Counted by object: a frame that nobody holds any more must be gone."""
    path = write_video(tmp_path / "a.mkv", "ffv1", num_frames=30)
    alive: list[weakref.ref] = []
    most = 0
    with open_source(path) as source:
        for frame in source:
            alive = [reference for reference in alive if reference() is not None] + [weakref.ref(frame.image)]
            most = max(most, len(alive))
            assert len(alive) <= 3
    assert most >= 1
