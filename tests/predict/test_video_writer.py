"""Written videos are read back with the decoder; failures leave nothing under the final name."""

import subprocess
import sys
import textwrap
from fractions import Fraction

import av
import numpy as np
import pytest
from av.video.reformatter import Colorspace

from mssts.errors import BadInputError, ResourceError
from mssts.predict.video_writer import VideoWriter, clean_fps

COLORS = [(220, 40, 40), (40, 200, 60), (50, 60, 210), (240, 240, 240), (10, 10, 10)]


def write_flat_frames(path, fps, width, height, colors=COLORS):
    with VideoWriter(path, fps, width, height) as writer:
        for color in colors:
            writer.write(np.full((height, width, 3), color, np.uint8))


def decode(path):
    """Stream facts and the frames as RGB."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        images = [frame.to_ndarray(format="rgb24", src_colorspace=Colorspace.ITU709) for frame in frames]
        times = [frame.time for frame in frames]
        return stream.codec_context, stream.average_rate, times, images


@pytest.mark.parametrize(("width", "height"), [(64, 48), (65, 47), (16, 16), (1, 1)])
def test_frames_come_back(tmp_path, width, height):
    path = tmp_path / "a.mp4"
    write_flat_frames(path, 25, width, height)
    context, _, times, images = decode(path)
    assert (context.width, context.height) == (width + width % 2, height + height % 2)
    assert context.name == "h264"
    assert context.pix_fmt == "yuv420p"
    assert times == pytest.approx([i / 25 for i in range(len(COLORS))])
    for image, color in zip(images, COLORS, strict=True):
        assert np.abs(image.astype(int) - color).max() <= 8


def test_odd_size_repeats_the_edge(tmp_path):
    path = tmp_path / "a.mp4"
    image = np.zeros((31, 33, 3), np.uint8)
    image[:, 16:] = 230
    with VideoWriter(path, 10, 33, 31) as writer:
        writer.write(image)
    decoded = decode(path)[3][0].astype(int)
    assert decoded.shape == (32, 34, 3)
    assert abs(decoded[:, 33].mean() - 230) < 8
    assert abs(decoded[31, 20:].mean() - 230) < 8


@pytest.mark.parametrize(
    ("fps", "expected"),
    [
        (30, Fraction(30)),
        (29.97, Fraction(2997, 100)),
        (30000 / 1001, Fraction(30000, 1001)),
        (Fraction(24000, 1001), Fraction(24000, 1001)),
        (0.5, Fraction(1, 2)),
        (1000, Fraction(240)),
    ],
)
def test_rate_and_duration(tmp_path, fps, expected):
    path = tmp_path / "a.mp4"
    write_flat_frames(path, fps, 32, 32, COLORS * 2)
    _, rate, times, _ = decode(path)
    assert rate == expected
    assert times[-1] == pytest.approx(9 / float(expected), rel=1e-3)


@pytest.mark.parametrize("fps", [0, -5.0, float("nan"), float("inf")])
def test_unknown_rate_is_25(fps):
    assert clean_fps(fps) == 25


def test_index_comes_before_the_pictures(tmp_path):
    path = tmp_path / "a.mp4"
    write_flat_frames(path, 25, 64, 48)
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_without_h264_the_file_is_mpeg4(tmp_path, monkeypatch):
    monkeypatch.setattr(av, "codecs_available", {"mpeg4"})
    path = tmp_path / "a.mp4"
    write_flat_frames(path, Fraction(120000, 1001), 64, 48)
    context, rate, _, images = decode(path)
    assert context.name == "mpeg4"
    assert rate is not None
    assert float(rate) == pytest.approx(120000 / 1001, rel=1e-4)
    for image, color in zip(images, COLORS, strict=True):
        assert np.abs(image.astype(int) - color).max() <= 12


def test_names_that_look_like_protocols(tmp_path):
    path = tmp_path / "http:%d #é.mp4"
    write_flat_frames(path, 25, 32, 32)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_final_name_only_at_the_end(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"an older file")
    writer = VideoWriter(path, 25, 32, 32)
    writer.write(np.zeros((32, 32, 3), np.uint8))
    assert path.read_bytes() == b"an older file"
    writer.close()
    writer.close()
    writer.abort()
    assert len(decode(path)[3]) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_abort_leaves_nothing(tmp_path):
    writer = VideoWriter(tmp_path / "a.mp4", 25, 32, 32)
    writer.write(np.zeros((32, 32, 3), np.uint8))
    writer.abort()
    writer.close()
    assert list(tmp_path.iterdir()) == []


def test_exception_leaves_nothing(tmp_path):
    def interrupted():
        with VideoWriter(tmp_path / "a.mp4", 25, 32, 32) as writer:
            writer.write(np.zeros((32, 32, 3), np.uint8))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_no_frames_no_file(tmp_path):
    VideoWriter(tmp_path / "a.mp4", 25, 32, 32).close()
    assert list(tmp_path.iterdir()) == []


def test_other_size_is_refused(tmp_path):
    with (
        pytest.raises(BadInputError, match=r"a\.mp4: frame 0 is 30x32"),
        VideoWriter(tmp_path / "a.mp4", 25, 32, 32) as writer,
    ):
        writer.write(np.zeros((32, 30, 3), np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_colors_are_tagged(tmp_path):
    write_flat_frames(tmp_path / "a.mp4", 25, 64, 48)
    with av.open(str(tmp_path / "a.mp4")) as container:
        context = container.streams.video[0].codec_context
        tags = (context.colorspace, context.color_primaries, context.color_trc, context.color_range)
    assert tags == (1, 1, 1, 1), "BT.709, limited range, in the numbers of ITU-T H.273"


def test_unusable_size_is_a_resource_error(tmp_path):
    path = tmp_path / "a.mp4"
    with pytest.raises(ResourceError, match=r"a\.mp4: cannot write the video"):
        write_flat_frames(path, 25, 40000, 2)
    assert list(tmp_path.iterdir()) == []


def test_missing_folder_is_a_resource_error(tmp_path):
    with pytest.raises(ResourceError, match=r"none/a\.mp4: cannot write the video: No such file"):
        VideoWriter(tmp_path / "none" / "a.mp4", 25, 32, 32)


FILL_DISK = textwrap.dedent(
    """
    import resource, sys
    import numpy as np
    from mssts.errors import ResourceError
    from mssts.predict.video_writer import VideoWriter

    limit, num_frames = int(sys.argv[2]), int(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    rng = np.random.default_rng(0)
    step = "write"
    try:
        with VideoWriter(sys.argv[1], 25, 128, 96) as writer:
            for _ in range(num_frames):
                writer.write(rng.integers(0, 256, (96, 128, 3), dtype=np.uint8))
            step = "close"
    except ResourceError as error:
        print(step, error)
    """
)


@pytest.mark.parametrize(
    ("limit", "num_frames", "step"), [(1_000, 5, "close"), (30_000, 8, "close"), (0, 400, "write")]
)
def test_full_disk(tmp_path, limit, num_frames, step):
    path = tmp_path / "a.mp4"
    run = subprocess.run(
        [sys.executable, "-c", FILL_DISK, str(path), str(limit), str(num_frames)],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = run.stdout.splitlines()
    assert len(lines) == 1, run.stderr
    assert lines[0].startswith(f"{step} {path}: cannot write the video: ")
    assert "too large" in lines[0]
    assert list(tmp_path.iterdir()) == []
