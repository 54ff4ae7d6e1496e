"""Every frame is delivered, in order, and where that is not possible an error says so."""

import io
import os
import struct
import tracemalloc
import zlib
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import pytest
from media_files import (
    HEIGHT,
    WIDTH,
    empty_avi_chunk,
    patch_display_matrix,
    picture,
    read_index,
    start_edit_at,
    write_audio,
    write_video,
)
from PIL import Image

from mssts.errors import BadInputError, PartialInputError
from mssts.predict.video import open_source

# file name -> how it is written; all of them hold 40 frames
KINDS = {
    "h264.mp4": {},
    "fast.mp4": {"container_options": {"movflags": "faststart"}, "codec_options": {"g": "10"}},
    "fragments.mp4": {"container_options": {"movflags": "frag_keyframe+empty_moov"}, "codec_options": {"g": "10"}},
    "h264.mov": {},
    "h264.mkv": {"codec_options": {"g": "10"}},
    "h264.ts": {},
    "vp9.webm": {"codec": "libvpx-vp9", "codec_options": {"deadline": "realtime", "cpu-used": "8", "g": "10"}},
    "mjpeg.avi": {"codec": "mjpeg", "pixels": "yuvj420p"},
    "mpeg4.avi": {"codec": "mpeg4"},
    "lossless.mkv": {"codec": "ffv1"},
    "colours.gif": {"codec": "gif", "pixels": "rgb8"},
    "with_audio.mkv": {"with_audio_s": 3.0},
    "with_audio.mp4": {"with_audio_s": 3.0},
}


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


def indices(source, **options) -> list[int]:
    with open_source(source, **options) as frames:
        return [read_index(frame.image) for frame in frames]


def read_partly(source) -> tuple[list[int], PartialInputError]:
    """The indices of the frames before the fault, and the fault."""
    good: list[int] = []
    with open_source(source) as frames:
        iterator = iter(frames)
        while True:
            try:
                good.append(read_index(next(iterator).image))
            except PartialInputError as error:
                return good, error


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


CUTTABLE = [
    "fast.mp4",
    "fragments.mp4",
    "h264.mkv",
    "with_audio.mkv",
    "vp9.webm",
    "mjpeg.avi",
    "h264.ts",
    "colours.gif",
]


@pytest.mark.parametrize("share", [0.6, 0.8, 0.93])
@pytest.mark.parametrize("name", CUTTABLE)
def test_a_cut_file_gives_its_good_frames_and_an_error(video, tmp_path, name, share):
    data = video(name).read_bytes()
    path = tmp_path / name
    path.write_bytes(data[: int(len(data) * share)])
    good, error = read_partly(path)
    assert good == list(range(len(good)))
    assert 0.3 * 40 < len(good) < 40
    assert str(path) in str(error)
    assert f"{len(good)} good frames" in str(error)
    assert "\n" not in str(error)


def test_a_cut_between_two_frames_is_noticed(video, tmp_path):
    """FFmpeg takes such a file for a complete one."""
    data = video("lossless.mkv").read_bytes()
    with av.open(str(video("lossless.mkv"))) as container:
        starts = [packet.pos for packet in container.demux(video=0) if packet.size]
    path = tmp_path / "a.mkv"
    path.write_bytes(data[: data.rindex(b"\xa3", 0, starts[30])])
    good, error = read_partly(path)
    assert good == list(range(30))
    assert "cut off" in str(error)


def test_a_lost_index_is_a_bad_input(video, tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(video("h264.mp4").read_bytes()[:-100])
    with pytest.raises(BadInputError, match=r"a\.mp4: .*cut off"):
        open_source(path)


def block_headers(path: Path) -> list[int]:
    with av.open(str(path)) as container:
        return [packet.pos for packet in container.demux(video=0) if packet.size]


@pytest.mark.parametrize("byte", ["id", "size", "track"])
def test_damage_between_the_frames_of_a_matroska_file(video, tmp_path, byte):
    """FFmpeg searches for the next cluster and loses the frames before it in silence."""
    data = bytearray(video("h264.mkv").read_bytes())
    header = block_headers(video("h264.mkv"))[23]
    position = {"id": data.rindex(b"\xa3", 0, header), "size": header - 1, "track": header}[byte]
    data[position] ^= 0x55
    path = tmp_path / "a.mkv"
    path.write_bytes(data)
    with av.open(str(path)) as container:
        lax = sum(1 for packet in container.demux(video=0) if packet.size)
    assert lax < 40
    good, error = read_partly(path)
    assert good == list(range(len(good)))
    assert 20 <= len(good) <= 23
    assert "damaged at byte" in str(error)


def test_damage_between_the_frames_of_an_avi_file(video, tmp_path):
    data = bytearray(video("mjpeg.avi").read_bytes())
    header = block_headers(video("mjpeg.avi"))[20] - 8
    data[header : header + 4] = b"\x01\x02\x03\x04"
    path = tmp_path / "a.avi"
    path.write_bytes(data)
    good, error = read_partly(path)
    assert good == list(range(20))
    assert f"damaged at byte {header}" in str(error)


@pytest.mark.parametrize("name", ["fast.mp4", "h264.mkv", "mpeg4.avi", "lossless.mkv"])
def test_damaged_pictures_raise_behind_the_good_ones(video, tmp_path, name):
    data = bytearray(video(name).read_bytes())
    with av.open(str(video(name))) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    position, size = packets[25]
    noise = np.random.default_rng(1).bytes(size - 6)
    data[position + 6 : position + size] = noise
    path = tmp_path / name
    path.write_bytes(data)
    good, error = read_partly(path)
    assert good == list(range(len(good)))
    assert 18 <= len(good) <= 26
    assert f"{len(good)} good frames" in str(error)


def test_a_change_of_size_is_reported(tmp_path):
    """Two MPEG-TS recordings behind each other are one valid file."""
    first = write_video(tmp_path / "a.ts", num_frames=10)
    second = write_video(tmp_path / "b.ts", num_frames=10, size=(128, 96))
    path = tmp_path / "both.ts"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    good, error = read_partly(path)
    assert good == list(range(len(good)))
    assert len(good) >= 6
    assert "ts" in str(error)


def bad_file(folder: Path, kind: str) -> Path:
    path = folder / "a.mp4"
    content = {
        "text": b"this is no video\n" * 50,
        "empty": b"",
        "zeros": bytes(4000),
        "concat": b"ffconcat version 1.0\nfile good.mkv\n",
        "playlist": b"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:2.4,\ngood.mkv\n#EXT-X-ENDLIST\n",
    }
    if kind in content:
        write_video(folder / "good.mkv", num_frames=2)
        path.write_bytes(content[kind])
    elif kind == "sound":
        write_audio(path)
    elif kind == "no frames":
        write_video(path, num_frames=0)
    return path


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("missing", "no such file"),
        ("empty", "empty"),
        ("text", "not a video"),
        ("zeros", "not a video"),
        ("concat", "not a video"),
        ("playlist", "not a video"),
        ("sound", "holds no video stream"),
        ("no frames", ""),
    ],
)
def test_bad_files(tmp_path, kind, reason, capfd):
    path = bad_file(tmp_path, kind)
    with pytest.raises(BadInputError) as caught:
        open_source(path)
    assert str(path) in str(caught.value)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_playlists_would_open_without_the_whitelist(tmp_path):
    """The two texts above are refused for what they are, not for being malformed."""
    path = bad_file(tmp_path, "concat")
    with av.open(str(path), options={"protocol_whitelist": "file"}) as container:
        assert container.streams.video


def test_a_file_that_cannot_be_a_path():
    for name in ("a\0b", "x" * 5000, ""):
        with pytest.raises(BadInputError):
            open_source(name)


def test_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(BadInputError, match="neither a file nor a folder"):
        open_source(tmp_path / "pipe.mp4")


@contextmanager
def without_privileges():
    """For root, to whom nothing is forbidden."""
    user = os.geteuid()
    os.seteuid(65534 if user == 0 else user)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.mark.parametrize("name", ["a.mp4", "a.png", "folder"])
def test_no_permission(tmp_path, name):
    path = tmp_path / name
    if name == "folder":
        path.mkdir()
    elif name == "a.png":
        Image.fromarray(picture(0)).save(path)
    else:
        write_video(path, num_frames=2)
    parents = [tmp_path, *tmp_path.parents][:3]
    modes = [parent.stat().st_mode for parent in parents]
    path.chmod(0)
    try:
        for parent in parents:
            parent.chmod(0o755)
        with without_privileges(), pytest.raises(BadInputError, match=rf"{name}: .*permission"):
            open_source(path)
    finally:
        path.chmod(0o700)
        for parent, mode in zip(parents, modes, strict=True):
            parent.chmod(mode)


def test_a_webcam_that_is_not_there():
    for source in (250, "250"):
        with pytest.raises(BadInputError, match="webcam 250"):
            open_source(source)


def test_digits_may_be_a_path(tmp_path, monkeypatch):
    (tmp_path / "7").mkdir()
    Image.fromarray(picture(3)).save(tmp_path / "7" / "a.png")
    monkeypatch.chdir(tmp_path)
    assert indices("7") == [3]


def save_pictures(folder: Path, names: list[str]) -> None:
    folder.mkdir(exist_ok=True)
    for index, name in enumerate(names):
        Image.fromarray(picture(index)).save(folder / name)


def test_folder_in_natural_order(tmp_path):
    names = ["1.png", "2.JPG", "9.webp", "10.bmp", "11.tif", "100.jpeg"]
    save_pictures(tmp_path / "shots", names)
    (tmp_path / "shots" / "notes.txt").write_text("no picture")
    (tmp_path / "shots" / "._1.png").write_bytes(b"left behind by another system")
    with open_source(tmp_path / "shots") as source:
        frames = list(source)
        assert (source.name, source.fps, source.num_frames_hint) == ("shots", 30, 6)
        assert (source.width, source.height) == (WIDTH, HEIGHT)
    assert [read_index(frame.image) for frame in frames] == list(range(6))
    np.testing.assert_allclose([frame.time_s for frame in frames], np.arange(6) / 30)


def test_pattern_and_single_picture(tmp_path):
    save_pictures(tmp_path / "shots", ["a1.png", "a2.png", "a10.png", "b.png"])
    with open_source(str(tmp_path / "shots" / "a*.png")) as source:
        assert [read_index(frame.image) for frame in source] == [0, 1, 2]
        assert source.name == "shots"
    with open_source(tmp_path / "shots" / "b.png") as source:
        assert [read_index(frame.image) for frame in source] == [3]
        assert source.name == "b"
    save_pictures(tmp_path / "take [1]", ["x.png"])
    assert indices(tmp_path / "take [1]") == [0]
    assert indices(tmp_path / "take [1]" / "x.png") == [0]


def test_a_damaged_picture_in_the_middle(tmp_path):
    save_pictures(tmp_path, [f"{index}.png" for index in range(5)])
    broken = tmp_path / "3.png"
    broken.write_bytes(broken.read_bytes()[:-600])
    good, error = read_partly(tmp_path)
    assert good == [0, 1, 2]
    assert str(broken) in str(error)
    assert "3 good frames" in str(error)


def test_a_picture_of_another_size(tmp_path):
    save_pictures(tmp_path, ["0.png", "1.png"])
    Image.new("RGB", (50, 40)).save(tmp_path / "2.png")
    good, error = read_partly(tmp_path)
    assert good == [0, 1]
    for part in ("2.png", "50x40", f"{WIDTH}x{HEIGHT}", "2 good frames"):
        assert part in str(error)


def test_exif_orientation(tmp_path):
    """Tag value 6: the camera was turned, the first stored row is the right side."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture(5)).save(tmp_path / "a.png", exif=exif)
    with open_source(tmp_path) as source:
        (frame,) = source
        assert (source.width, source.height) == (HEIGHT, WIDTH)
    np.testing.assert_array_equal(frame.image, picture(5)[::-1].swapaxes(0, 1))


def test_transparent_grey_and_deep_pictures(tmp_path):
    layer = Image.new("RGBA", (4, 4), (10, 20, 30, 0))
    layer.putpixel((1, 0), (10, 20, 30, 255))
    layer.save(tmp_path / "0.png")
    Image.new("L", (4, 4), 77).save(tmp_path / "1.png")
    Image.fromarray(np.full((4, 4), 0x8042, np.uint16)).save(tmp_path / "2.png")
    with open_source(tmp_path) as source:
        images = [frame.image for frame in source]
    assert images[0][0, :2].tolist() == [[255, 255, 255], [10, 20, 30]]
    assert (images[1] == 77).all()
    assert (images[2] == 0x80).all()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds one row."""
    output = io.BytesIO(b"\x89PNG\r\n\x1a\n")
    output.seek(0, io.SEEK_END)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    for kind, content in ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b"")):
        checksum = zlib.crc32(kind + content)
        output.write(struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum))
    return output.getvalue()


@pytest.mark.parametrize("size", [(9000, 9000), (10000, 10000), (50000, 50000)])
def test_a_decompression_bomb_is_refused(tmp_path, size):
    (tmp_path / "a.png").write_bytes(png_header(*size))
    with pytest.raises(BadInputError, match=r"a\.png: .*pixels"):
        open_source(tmp_path / "a.png")


def test_bad_pictures(tmp_path):
    (tmp_path / "a.jpg").write_text("no picture")
    with pytest.raises(BadInputError, match=r"a\.jpg: is not a picture"):
        open_source(tmp_path)
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(BadInputError, match=r"a\.jpg: is empty"):
        open_source(tmp_path / "a.jpg")
    animation = [Image.fromarray(picture(index)) for index in range(3)]
    animation[0].save(tmp_path / "b.webp", save_all=True, append_images=animation[1:])
    with pytest.raises(BadInputError, match="3 pictures"):
        open_source(tmp_path / "b.webp")


def test_nothing_to_show(tmp_path):
    with pytest.raises(BadInputError, match="holds no pictures"):
        open_source(tmp_path)
    (tmp_path / "a.txt").write_text("no picture")
    with pytest.raises(BadInputError, match="holds no pictures"):
        open_source(tmp_path)
    with pytest.raises(BadInputError, match="matches no pictures"):
        open_source(str(tmp_path / "*.jpg"))


def test_few_frames_are_in_memory(tmp_path):
    width, height = 512, 384
    path = write_video(tmp_path / "a.mkv", "ffv1", num_frames=30, size=(width, height))
    with open_source(path) as source:
        tracemalloc.start()
        try:
            assert sum(1 for _ in source) == 30
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert width * height * 3 < peak < 5 * width * height * 3
