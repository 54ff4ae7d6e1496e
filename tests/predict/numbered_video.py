"""Videos with a moving texture whose every picture carries its index, and changes to their bytes that tests need."""

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from mssts.errors import PartialInputError
from mssts.predict.video import open_source

NUM_BITS, BLOCK = 6, 16
WIDTH, HEIGHT = NUM_BITS * BLOCK, 64


def picture(index: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """The index in blocks along the top, a moving texture below, which makes codecs predict between frames."""
    texture = np.random.default_rng(0).integers(60, 200, (height, width, 3), dtype=np.uint8)
    image = np.roll(texture, 3 * index, axis=1)
    image[: 2 * BLOCK] = 0
    for bit in range(NUM_BITS):
        if index >> bit & 1:
            image[: 2 * BLOCK, bit * BLOCK : (bit + 1) * BLOCK] = 255
    return image


def read_index(image: np.ndarray) -> int:
    """The index that `picture` wrote; blocks survive lossy codecs, their middles are compared with grey."""
    middles = image[BLOCK // 2, BLOCK // 2 : WIDTH : BLOCK].mean(axis=-1)
    return sum(1 << bit for bit, value in enumerate(middles) if value > 127)


def write_video(
    path: Path,
    codec: str = "libx264",
    *,
    num_frames: int = 40,
    times_ms: Sequence[int] | None = None,
    pixels: str = "yuv420p",
    size: tuple[int, int] = (WIDTH, HEIGHT),
    codec_options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    with_audio_s: float = 0.0,
) -> Path:
    """A video of `picture`s at 25 frames per second, or at the given times."""
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=25, options=codec_options or {})
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        if times_ms is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        audio = container.add_stream("aac", rate=48000) if with_audio_s else None
        for index in range(num_frames):
            frame = av.VideoFrame.from_ndarray(picture(index, *size), format="rgb24")
            if times_ms is not None:
                frame.pts, frame.time_base = times_ms[index], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if audio is not None:
            _write_silence(container, audio, with_audio_s)
    return path


def write_audio(path: Path, seconds: float = 0.5) -> Path:
    """A file with sound only."""
    with av.open(str(path), "w") as container:
        _write_silence(container, container.add_stream("aac", rate=48000), seconds)
    return path


def _write_silence(container, stream, seconds: float) -> None:
    silence = np.zeros((2, int(48000 * seconds)), np.float32)
    frame = av.AudioFrame.from_ndarray(silence, format="fltp", layout="stereo")
    frame.sample_rate = 48000
    container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def patch_display_matrix(path: Path, a: int, b: int, c: int, d: int) -> Path:
    """Write the four numbers that turn and mirror into an MP4's track header (16.16 fixed point, row major)."""
    data = bytearray(path.read_bytes())
    identity = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    position = data.index(identity, data.index(b"tkhd"))
    matrix = (a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    data[position : position + 36] = struct.pack(">9i", *matrix)
    path.write_bytes(data)
    return path


def start_edit_at(path: Path, frame_index: int) -> Path:
    """Change an MP4's edit list so that the presentation starts at a later frame, as a trim on a phone does."""
    data = bytearray(path.read_bytes())
    position = data.index(b"elst") + 12
    duration, media_time = struct.unpack(">Ii", data[position : position + 8])
    data[position : position + 8] = struct.pack(">Ii", duration - 40 * frame_index, media_time + 512 * frame_index)
    path.write_bytes(data)
    return path


def empty_avi_chunk(path: Path, index: int) -> Path:
    """Make one frame of an AVI a chunk of no bytes, as recorders write where the picture did not change."""
    data = bytearray(path.read_bytes())
    position = data.index(b"movi") + 4
    for _ in range(index):
        position += 8 + _even(data, position)
    room = _even(data, position) - 8
    data[position + 4 : position + 16] = bytes(4) + b"JUNK" + struct.pack("<I", room)
    path.write_bytes(data)
    return path


def _even(data: bytearray, position: int) -> int:
    size = int.from_bytes(data[position + 4 : position + 8], "little")
    return size + size % 2


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


def indices(source, **options) -> list[int]:
    with open_source(source, **options) as frames:
        return [read_index(frame.image) for frame in frames]


def read_partly(source) -> tuple[list[int], PartialInputError]:
    """The indices of the frames before the fault, whose times must be those of 25 (pictures: 30) per second."""
    good: list[int] = []
    times_s: list[float] = []
    with open_source(source) as frames:
        iterator = iter(frames)
        try:
            while True:
                frame = next(iterator)
                good.append(read_index(frame.image))
                times_s.append(frame.time_s)
        except PartialInputError as error:
            step_s = 1 / 30 if Path(source).is_dir() else 1 / 25
            np.testing.assert_allclose(np.diff(times_s), step_s, atol=0.0011)
            return good, error
