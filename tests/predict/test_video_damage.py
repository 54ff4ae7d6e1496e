"""A damaged file gives its good frames and then an error; what is no video is refused in one line."""

import os
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import pytest
from numbered_video import (
    KINDS,
    picture,
    read_partly,
    write_audio,
    write_video,
)
from PIL import Image

from mssts.errors import BadInputError
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
    # An odd length: MPEG-TS is a chain of packets of 188 bytes, where a cut between two cannot be told from an end.
    path.write_bytes(data[: int(len(data) * share) | 1])
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
    # A size that became too large looks like that of a file that is cut off.
    assert "damaged at byte" in str(error) or (byte == "size" and "cut off" in str(error))


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
