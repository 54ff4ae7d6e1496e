"""Real media files for tests: frames whose picture tells their index, and ways to damage a file."""

from pathlib import Path

import av
import numpy as np

BITS = 6
CELL = 16
HEIGHT, WIDTH = 48, CELL * BITS


def numbered_frame(index: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """A picture with the index as black and white blocks in its top rows, most significant bit first."""
    image = np.full((height, width, 3), 90, dtype=np.uint8)
    for bit in range(BITS):
        image[: height // 2, bit * CELL : (bit + 1) * CELL] = 235 if index >> (BITS - 1 - bit) & 1 else 20
    return image


def read_number(image: np.ndarray) -> int:
    """The index that a picture shows, after lossy compression."""
    rows = slice(4, image.shape[0] // 2 - 4)
    bits = [image[rows, bit * CELL + 4 : (bit + 1) * CELL - 4].mean() > 128 for bit in range(BITS)]
    return int("".join("1" if bit else "0" for bit in bits), 2)


def write_video(
    path: Path,
    num_frames: int,
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    size: tuple[int, int] = (HEIGHT, WIDTH),
    times: list[int] | None = None,
    rotation: int = 0,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Write numbered frames at 25 per second, or at the times given in units of 1/25 s."""
    height, width = size
    with av.open(str(path), "w", container_options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        if rotation:
            stream.set_display_rotation(rotation)
        for index in range(num_frames):
            frame = av.VideoFrame.from_ndarray(numbered_frame(index, height, width), format="rgb24")
            frame.pts = times[index] if times else index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_audio(path: Path) -> Path:
    """A sound file without pictures."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100, layout="mono")
        for index in range(20):
            samples = np.zeros((1, 1024), dtype=np.float32)
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 44100, index * 1024
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def cut(path: Path, share: float) -> Path:
    """A copy with only the first share of the bytes."""
    target = path.with_name(f"cut-{path.name}")
    data = path.read_bytes()
    target.write_bytes(data[: int(len(data) * share)])
    return target


def flip_bytes(path: Path, at: float, count: int = 64) -> Path:
    """A copy with some bytes in the middle inverted."""
    target = path.with_name(f"flipped-{path.name}")
    data = bytearray(path.read_bytes())
    start = int(len(data) * at)
    for position in range(start, start + count):
        data[position] ^= 0xFF
    target.write_bytes(data)
    return target
