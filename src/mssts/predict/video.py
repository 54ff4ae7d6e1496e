"""Open any source of frames: video files and webcams through FFmpeg, pictures through Pillow.

Frames are delivered in presentation order and none is left out in silence: damage raises an error that says how many
frames were good.
"""

import glob
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.stream import VideoStream
from jaxtyping import UInt8

from mssts.errors import BadInputError, PartialInputError
from mssts.predict.container import is_cut_short
from mssts.predict.images import SUFFIXES, open_images
from mssts.predict.source import DEFAULT_FPS, VideoSource
from mssts.types import Frame

# Real media only: playlists and the like can name other files and hosts.
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,mpegts,mpeg,mpegvideo,flv,asf,ogg,h264,hevc,ivf,apng,webp_anim"
SAFE_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": FORMATS}
CAMERA_FORMATS = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}"), "win32": ("dshow", "video={}")}
MAX_PIXELS = 200_000_000


def open_source(source: str | Path | int, *, start_frame: int = 0) -> VideoSource:
    """Open a video file, a folder of frames, a glob pattern of pictures, or a webcam by its index.

    Args:
        source: A path or pattern; an integer, or digits that are no path, name a webcam.
        start_frame: Skip this many frames; the first one delivered has this index.

    Raises:
        BadInputError: The source is missing, is no video, or its first frame cannot be read.
    """
    text = os.fspath(source) if not isinstance(source, int) else str(source)
    path = Path(text)
    if isinstance(source, int) or (text.isdecimal() and not path.exists()):
        return _open_camera(text)
    if path.is_dir() or (not path.exists() and _is_pattern(text)):
        return open_images(text, start_frame)
    if not path.exists():
        raise BadInputError(f"{path}: no such file or folder")
    if path.suffix.lower() in SUFFIXES:
        return open_images(glob.escape(text), start_frame)
    return VideoFile(path, start_frame)


def _is_pattern(text: str) -> bool:
    """Whether a path that does not exist reads as a pattern."""
    return any(character in text for character in "*?[")


class VideoFile(VideoSource):
    """A video file."""

    def __init__(self, path: Path, start_frame: int) -> None:
        self.name = path.stem
        self._path = path
        self._start_frame = start_frame
        self._container = _open_container(path)
        self._stream = _video_stream(self._container, path)
        self.fps = float(self._stream.average_rate or self._stream.guessed_rate or DEFAULT_FPS)
        self.num_frames_hint = self._stream.frames or _estimate_frames(self._container, self._stream)
        self._is_cut = is_cut_short(path)
        self.height, self.width = self._first_size()

    def _first_size(self) -> tuple[int, int]:
        """Height and width of the first frame as displayed; leaves the file at its start."""
        try:
            first = next(self._container.decode(self._stream))
        except (FFmpegError, StopIteration) as error:
            self._container.close()
            reason = (
                "holds no frame"
                if isinstance(error, StopIteration)
                else f"its first frame cannot be decoded ({_reason(error)})"
            )
            raise BadInputError(f"{self._path}: {reason}") from error
        self._container.close()
        self._container = _open_container(self._path)
        self._stream = _video_stream(self._container, self._path)
        return _upright(first).shape[:2]

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames; see `VideoSource`."""
        for index, decoded in enumerate(self._decoded()):
            if index < self._start_frame:
                continue
            image = _upright(decoded)
            if image.shape[:2] != (self.height, self.width):
                raise self._broken(f"the picture's size changes to {image.shape[1]}x{image.shape[0]}", index)
            time_s = float(decoded.time) if decoded.time is not None else index / self.fps
            yield Frame(index, time_s, image)

    def _decoded(self) -> Iterator[av.VideoFrame]:
        """Decode packet by packet; damage and a missing end raise after the good frames."""
        num_frames = num_packets = 0
        try:
            for packet in self._container.demux(self._stream):
                num_packets += packet.size > 0
                if packet.is_corrupt:
                    raise self._broken("a packet is damaged", num_frames)
                for frame in packet.decode():
                    if frame.is_corrupt:
                        raise self._broken("a frame is damaged", num_frames)
                    num_frames += 1
                    yield frame
        except FFmpegError as error:
            raise self._broken(f"cannot be decoded further ({_reason(error)})", num_frames) from error
        if self._is_cut or num_packets < self._stream.frames:
            raise self._broken("the end of the file is missing", num_frames)

    def _broken(self, what: str, num_frames: int) -> PartialInputError:
        """The error for damage behind good frames."""
        return PartialInputError(f"{self._path}: {what}; {num_frames} good frames before that")

    def close(self) -> None:
        """Close the file."""
        self._container.close()


class Camera(VideoSource):
    """A webcam; frames are stamped by its own clock."""

    is_live = True

    def __init__(self, index: str, container: InputContainer) -> None:
        self.name = f"camera{index}"
        self._container = container
        self._stream = container.streams.video[0]
        self.fps = float(self._stream.average_rate or DEFAULT_FPS)
        self.height, self.width = self._stream.height, self._stream.width

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames until the camera is closed; see `VideoSource`."""
        start = None
        index = 0
        try:
            for index, decoded in enumerate(self._container.decode(self._stream)):
                time_s = float(decoded.time or 0)
                start = time_s if start is None else start
                yield Frame(index, time_s - start, decoded.to_ndarray(format="rgb24"))
        except FFmpegError as error:
            raise PartialInputError(f"{self.name}: gone after {index + 1} frames ({_reason(error)})") from error

    def close(self) -> None:
        """Let the device go."""
        self._container.close()


def _open_camera(index: str) -> Camera:
    """Open a webcam by its index.

    Raises:
        BadInputError: There is none.
    """
    camera_format, pattern = CAMERA_FORMATS.get(sys.platform, CAMERA_FORMATS["linux"])
    device = pattern.format(index)
    try:
        return Camera(index, av.open(device, format=camera_format))
    except (FFmpegError, OSError, ValueError) as error:
        raise BadInputError(f"webcam {index} ({device}): cannot be opened ({_reason(error)})") from error


def _open_container(path: Path) -> InputContainer:
    """Open a file, only as one of the media formats, and only itself.

    Raises:
        BadInputError: It is empty, not readable, or no video.
    """
    try:
        if path.stat().st_size == 0:
            raise BadInputError(f"{path}: the file is empty")
        with path.open("rb"):
            return av.open(f"file:{path}", options=SAFE_OPTIONS, metadata_errors="replace")
    except PermissionError as error:
        raise BadInputError(f"{path}: no permission to read it") from error
    except (FFmpegError, OSError, ValueError) as error:
        raise BadInputError(f"{path}: not a video file that can be read ({_reason(error)})") from error


def _video_stream(container: InputContainer, path: Path) -> VideoStream:
    """The file's video stream, set to report damage instead of painting over it.

    Raises:
        BadInputError: There is none (the cover picture of a music file does not count).
    """
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        container.close()
        raise BadInputError(f"{path}: holds no video stream")
    stream = streams[0]
    if not 0 < stream.width * stream.height <= MAX_PIXELS:
        container.close()
        raise BadInputError(f"{path}: claims frames of {stream.width}x{stream.height} pixels")
    stream.codec_context.options = {"err_detect": "explode+crccheck"}
    stream.thread_type = "AUTO"
    return stream


def _estimate_frames(container: InputContainer, stream: VideoStream) -> int | None:
    """Frames by duration and rate, where the file does not count them."""
    rate = stream.average_rate or stream.guessed_rate
    seconds = container.duration / av.time_base if container.duration else None
    return max(1, round(seconds * float(rate))) if seconds and rate else None


def _upright(frame: av.VideoFrame) -> UInt8[np.ndarray, "H W 3"]:
    """A frame's RGB pixels, turned as the file's display matrix says (degrees counter-clockwise)."""
    image = frame.to_ndarray(format="rgb24")
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


def _reason(error: BaseException) -> str:
    """FFmpeg's words without its numbers and file name."""
    return str(getattr(error, "strerror", None) or error) or type(error).__name__
