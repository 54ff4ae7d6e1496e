"""Writes an H.264 video that browsers play; the file has its final name only once it is complete."""

import os
from contextlib import suppress
from fractions import Fraction
from math import isfinite
from pathlib import Path
from types import TracebackType
from typing import cast

import av
import numpy as np
from av.container import OutputContainer
from av.error import FFmpegError
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter
from av.video.stream import VideoStream
from jaxtyping import UInt8

from mssts.errors import BadInputError, ResourceError

MAX_FPS = 240
MIN_FPS = Fraction(1, 100)
UNKNOWN_FPS = Fraction(25)
# MPEG-4 part 2 counts time in at most 65535 ticks a second.
MAX_MPEG4_DENOMINATOR = 65535 // MAX_FPS
X264_OPTIONS = {"crf": "20", "preset": "veryfast"}
MPEG4_OPTIONS = {"qscale": "3", "flags": "+qscale"}


def clean_fps(fps: int | float | Fraction) -> Fraction:
    """A frame rate that encoders take: 29.97002997 becomes 30000/1001, an unknown one (0, NaN) becomes 25 a second."""
    if not isfinite(fps) or fps <= 0:
        return UNKNOWN_FPS
    clamped = min(max(Fraction(fps), MIN_FPS), Fraction(MAX_FPS))
    return clamped.limit_denominator(1001)


def _pad_to_even(image: np.ndarray) -> np.ndarray:
    """4:2:0 video has one colour sample per 2x2 pixels: an odd size gets its last row or column twice."""
    height, width = image.shape[:2]
    if height % 2 == 0 and width % 2 == 0:
        return image
    return np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


class VideoWriter:
    """A video file under construction: `write` frames, then `close`, or `abort`. A `with` block does either.

    The work goes to `<path>.part` beside the target, which `close` renames.
    """

    def __init__(self, path: str | os.PathLike[str], fps: int | float | Fraction, width: int, height: int) -> None:
        """Opens the part file.

        Args:
            path: The MP4 file to make; one that exists is replaced by `close`.
            fps: Frames per second, see `clean_fps`.
            width: Of all frames, in pixels.
            height: Of all frames, in pixels.

        Raises:
            ResourceError: The file cannot be created.
        """
        self.path = Path(path)
        self.part_path = self.path.with_name(self.path.name + ".part")
        self.width, self.height = width, height
        self.num_frames = 0
        self._reformatter = VideoReformatter()
        self._container: OutputContainer | None = None
        try:
            # FFmpeg opens the file with the first packet, many frames from here. A bad path is told at once.
            self.part_path.touch()
            # The protocol prefix keeps FFmpeg from reading a protocol into a name such as "a:b.mp4".
            url = f"file:{self.part_path}"
            self._container = av.open(url, "w", format="mp4", options={"movflags": "+faststart"})
            self._stream = self._add_stream(clean_fps(fps))
        except (FFmpegError, OSError) as error:
            raise self._failure(error) from error

    def _add_stream(self, fps: Fraction) -> VideoStream:
        assert self._container is not None
        if "libx264" in av.codecs_available:
            stream = self._container.add_stream("libx264", rate=fps, options=X264_OPTIONS)
        else:
            fps = fps.limit_denominator(MAX_MPEG4_DENOMINATOR)
            stream = self._container.add_stream("mpeg4", rate=fps, options=MPEG4_OPTIONS)
        stream = cast(VideoStream, stream)
        stream.width, stream.height = self.width + self.width % 2, self.height + self.height % 2
        stream.pix_fmt = "yuv420p"
        # Untagged colours are guessed from the picture's size, differently by every player.
        stream.codec_context.colorspace = Colorspace.ITU709
        stream.codec_context.color_primaries = ColorPrimaries.BT709
        stream.codec_context.color_trc = ColorTrc.BT709
        stream.codec_context.color_range = ColorRange.MPEG
        return stream

    def write(self, image: UInt8[np.ndarray, "H W 3"]) -> None:
        """Appends a frame.

        Raises:
            BadInputError: The frame is not of the video's size.
            ResourceError: The disk is full or the file cannot be written; the part file is gone then.
        """
        height, width = image.shape[:2]
        if (width, height) != (self.width, self.height):
            raise BadInputError(
                f"{self.path}: frame {self.num_frames} is {width}x{height}, those before {self.width}x{self.height}"
            )
        rgb = av.VideoFrame.from_ndarray(np.ascontiguousarray(_pad_to_even(image)), format="rgb24")
        frame = self._reformatter.reformat(
            rgb, format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
        )
        frame.pts = self.num_frames
        self._encode(frame)
        self.num_frames += 1

    def _encode(self, frame: av.VideoFrame | None) -> None:
        """Encodes a frame, or with None what the encoder still holds back."""
        assert self._container is not None, "the video is closed"
        try:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        except (FFmpegError, OSError) as error:
            raise self._failure(error) from error

    def close(self) -> None:
        """Completes the file and gives it its final name; without any frame there is no file.

        Raises:
            ResourceError: The disk is full or the file cannot be written; nothing is left then.
        """
        if self._container is None:
            return
        if self.num_frames == 0:
            self.abort()
            return
        self._encode(None)
        try:
            self._container.close()
            with open(self.part_path, "rb") as file:
                os.fsync(file.fileno())
            os.replace(self.part_path, self.path)
        except (FFmpegError, OSError) as error:
            raise self._failure(error) from error
        self._container = None

    def abort(self) -> None:
        """Deletes the part file; does nothing after `close`."""
        if self._container is not None:
            self._discard()

    def _discard(self) -> None:
        container, self._container = self._container, None
        # Deleted first, so that FFmpeg does not spend minutes on moving the index of a long video to its front. Where
        # an open file cannot be deleted, the second try does it.
        with suppress(OSError):
            self.part_path.unlink()
        if container is not None:
            with suppress(FFmpegError, OSError):
                container.close()
        with suppress(OSError):
            self.part_path.unlink()

    def _failure(self, error: Exception) -> ResourceError:
        """Cleans up after an error of the encoder or the disk and words it in one line."""
        self._discard()
        reason = getattr(error, "strerror", None) or type(error).__name__
        return ResourceError(f"{self.path}: cannot write the video: {reason}")

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error_type is None:
            self.close()
        else:
            self.abort()
