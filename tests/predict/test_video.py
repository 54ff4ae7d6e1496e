"""Sources against files written here: every frame that a file holds arrives, and damage is never silent."""

import os
from pathlib import Path

import media_files
import numpy as np
import pytest
from PIL import Image

from mssts.errors import BadInputError, PartialInputError
from mssts.predict.video import open_source
from mssts.types import Frame

NUM_FRAMES = 40


def read_all(source: str | Path, start_frame: int = 0) -> list[Frame]:
    with open_source(source, start_frame=start_frame) as video:
        return list(video)


def read_broken(source: str | Path) -> tuple[list[Frame], str]:
    """The good frames and the message of the fault that must follow them."""
    frames: list[Frame] = []
    with open_source(source) as video:
        iterator = iter(video)
        while True:
            try:
                frames.append(next(iterator))
            except PartialInputError as error:
                return frames, str(error)


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "options"),
    [
        ("a.mp4", "libx264", "yuv420p", {"bf": "3"}),
        ("a.mkv", "libx264", "yuv420p", {"bf": "3"}),
        ("a.webm", "libvpx-vp9", "yuv420p", {"deadline": "realtime", "cpu-used": "8"}),
        ("a.avi", "mjpeg", "yuvj420p", {}),
        ("a.mov", "mpeg4", "yuv420p", {}),
        ("a.ts", "libx264", "yuv420p", {}),
        ("a.gif", "gif", "rgb8", {}),
    ],
)
def test_every_frame_arrives_in_order(tmp_path, name, codec, pix_fmt, options):
    path = media_files.write_video(tmp_path / name, NUM_FRAMES, codec=codec, pix_fmt=pix_fmt, options=options)
    with open_source(path) as video:
        assert (video.width, video.height) == (media_files.WIDTH, media_files.HEIGHT)
        assert video.fps == pytest.approx(25, rel=0.01)
        assert video.num_frames_hint == pytest.approx(NUM_FRAMES, abs=2)
        frames = list(video)
    assert [frame.index for frame in frames] == list(range(NUM_FRAMES))
    assert [media_files.read_number(frame.image) for frame in frames] == list(range(NUM_FRAMES))
    gaps = np.diff([frame.time_s for frame in frames])
    np.testing.assert_allclose(gaps, 1 / 25, atol=2e-3)


def test_variable_rate_keeps_all_frames_and_their_times(tmp_path):
    times = [0, 1, 2, 10, 11, 30, 31, 32, 50, 75]
    path = media_files.write_video(tmp_path / "v.mp4", len(times), times=times)
    frames = read_all(path)
    assert [media_files.read_number(frame.image) for frame in frames] == list(range(len(times)))
    np.testing.assert_allclose([frame.time_s - frames[0].time_s for frame in frames], np.array(times) / 25, atol=1e-3)


def test_start_frame_skips_exactly(tmp_path):
    path = media_files.write_video(tmp_path / "a.mp4", NUM_FRAMES, options={"bf": "2", "g": "10"})
    frames = read_all(path, start_frame=17)
    assert [frame.index for frame in frames] == list(range(17, NUM_FRAMES))
    assert media_files.read_number(frames[0].image) == 17


@pytest.mark.parametrize("num_frames", [1, 2])
def test_very_short_files(tmp_path, num_frames):
    assert len(read_all(media_files.write_video(tmp_path / "s.mp4", num_frames))) == num_frames


def test_odd_size(tmp_path):
    path = media_files.write_video(tmp_path / "o.avi", 3, codec="rawvideo", pix_fmt="bgr24", size=(49, 97))
    assert [frame.image.shape for frame in read_all(path)] == [(49, 97, 3)] * 3


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_rotated_file_is_shown_upright(tmp_path, rotation):
    # The display matrix turns counter-clockwise; an independent reading of it is np.rot90.
    path = media_files.write_video(tmp_path / "r.mp4", 2, rotation=rotation)
    with open_source(path) as video:
        frames = list(video)
        assert (video.height, video.width) == frames[0].image.shape[:2]
    back = np.rot90(frames[1].image, -rotation // 90)
    assert back.shape == (media_files.HEIGHT, media_files.WIDTH, 3)
    assert media_files.read_number(back) == 1


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.ts"])
@pytest.mark.parametrize("share", [0.8, 0.97])
def test_cut_file_gives_its_good_frames_then_says_so(tmp_path, name, share):
    codec, pix_fmt = ("mjpeg", "yuvj420p") if name == "a.avi" else ("libx264", "yuv420p")
    options = {"movflags": "faststart"} if name == "a.mp4" else {}
    whole = media_files.write_video(
        tmp_path / name, NUM_FRAMES, codec=codec, pix_fmt=pix_fmt, container_options=options
    )
    path = media_files.cut(whole, share)
    frames, message = read_broken(path)
    assert 0 < len(frames) <= NUM_FRAMES
    assert [media_files.read_number(frame.image) for frame in frames] == list(range(len(frames)))
    assert message.startswith(str(path))
    assert f"{len(frames)} good frames" in message


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_flipped_bytes_are_noticed(tmp_path, name):
    whole = media_files.write_video(
        tmp_path / name, NUM_FRAMES, options={"crf": "10"}, container_options={"movflags": "faststart"}
    )
    # Not further to the front: the encoder's settings stand there as text, and damage to them costs no frame.
    frames, message = read_broken(media_files.flip_bytes(whole, 0.75))
    assert len(frames) < NUM_FRAMES
    assert "good frames" in message


def not_videos(folder: Path) -> dict[str, Path]:
    folder.mkdir(exist_ok=True)
    files = {
        "missing": folder / "missing.mp4",
        "empty": folder / "empty.mp4",
        "text": folder / "text.mp4",
        "playlist": folder / "playlist.mp4",
        "concat": folder / "concat.mp4",
        "zeros": folder / "zeros.mkv",
        "audio": media_files.write_audio(folder / "audio.m4a"),
        "no frame": media_files.write_video(folder / "none.mp4", 0),
    }
    whole = media_files.write_video(folder / "whole.mkv", 3)
    files["empty"].touch()
    files["text"].write_text("this is no video\n" * 50)
    files["playlist"].write_text(f"#EXTM3U\n#EXTINF:1,\n{whole.name}\n#EXT-X-ENDLIST\n")
    files["concat"].write_text(f"ffconcat version 1.0\nfile {whole.name}\n")
    files["zeros"].write_bytes(bytes(5000))
    return files


@pytest.mark.parametrize("kind", ["missing", "empty", "text", "playlist", "concat", "zeros", "audio", "no frame"])
def test_what_is_no_video_is_refused_in_one_line(tmp_path, kind):
    path = not_videos(tmp_path / "files")[kind]
    with pytest.raises(BadInputError) as raised:
        open_source(path)
    message = str(raised.value)
    assert str(path) in message
    assert "\n" not in message


def write_images(folder: Path, count: int, suffix: str = ".png") -> Path:
    folder.mkdir()
    for index in range(count):
        Image.fromarray(media_files.numbered_frame(index)).save(folder / f"frame{index}{suffix}")
    return folder


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp", ".tif"])
def test_folder_is_read_in_natural_order(tmp_path, suffix):
    folder = write_images(tmp_path / "frames", 12, suffix)
    (folder / "notes.txt").write_text("not a frame")
    assert [media_files.read_number(frame.image) for frame in read_all(folder)] == list(range(12))
    pattern = str(folder / f"frame1*{suffix}")
    assert [media_files.read_number(frame.image) for frame in read_all(pattern)] == [1, 10, 11]
    assert [frame.index for frame in read_all(folder, start_frame=9)] == [9, 10, 11]


def test_exif_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(media_files.numbered_frame(5)).copy()).save(tmp_path / "a.jpg", exif=exif, quality=95)
    (frame,) = read_all(tmp_path / "a.jpg")
    assert media_files.read_number(frame.image) == 5


def test_damaged_picture_in_the_middle(tmp_path):
    folder = write_images(tmp_path / "frames", 6)
    data = (folder / "frame3.png").read_bytes()
    (folder / "frame3.png").write_bytes(data[: len(data) // 2])
    frames, message = read_broken(folder)
    assert len(frames) == 3
    assert "frame3.png" in message


def test_picture_of_another_size(tmp_path):
    folder = write_images(tmp_path / "frames", 4)
    Image.fromarray(media_files.numbered_frame(2, 64, 128)).save(folder / "frame2.png")
    frames, message = read_broken(folder)
    assert len(frames) == 2
    assert "128x64" in message
    assert f"{media_files.WIDTH}x{media_files.HEIGHT}" in message


@pytest.mark.parametrize("source", ["empty", "empty/*.png", "text.png"])
def test_no_pictures(tmp_path, source):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.png").write_text("not a picture")
    with pytest.raises(BadInputError, match=source.replace("*", r"\*")):
        open_source(str(tmp_path / source))


def test_webcam_that_is_not_there():
    with pytest.raises(BadInputError, match="webcam 97"):
        open_source(97)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file(tmp_path):
    path = media_files.write_video(tmp_path / "a.mp4", 2)
    path.chmod(0)
    with pytest.raises(BadInputError, match="permission"):
        open_source(path)
