"""A video file as a source of frames, through FFmpeg, on the alert for lost frames.

The decoder is told to report damage instead of painting over it; damage of the container, which FFmpeg passes over in
silence, is found beforehand by `container.find_damage`. Pixels are delivered as stored, turned and mirrored as the
file says; non-square pixels are not stretched.
"""

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.stream import VideoStream
from jaxtyping import UInt8
from PIL import Image

from mssts.errors import BadInputError, PartialInputError
from mssts.predict.container import find_damage
from mssts.predict.pixels import orient, over_white
from mssts.predict.source import DEFAULT_FPS, MAX_PIXELS, VideoSource
from mssts.types import Frame

# Real media only: playlists and the like can name other files and hosts.
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,mpegts,mpeg,mpegvideo,flv,asf,ogg,h264,hevc,ivf,apng,mp3,wav"
SAFE_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": FORMATS, "max_pixels": str(MAX_PIXELS)}
STRICT_OPTIONS = {"err_detect": "explode+crccheck", "max_pixels": str(MAX_PIXELS)}


class VideoFile(VideoSource):
    """A video file. Times are those of the file; a frame without one gets its index over the frame rate."""

    def __init__(self, path: Path, start_frame: int) -> None:
        self.name = path.stem
        self._path = path
        self._start_frame = start_frame
        self._container, self._stream = _open(path)
        self._damage = find_damage(path)
        self.fps, self.num_frames_hint = self._measure()
        self.height, self.width = self._first_size()

    def _measure(self) -> tuple[float, int | None]:
        """The average frame rate and about how many frames there are; leaves the file at its start."""
        header_rate = float(self._stream.average_rate or self._stream.guessed_rate or DEFAULT_FPS)
        if self._stream.frames:
            return header_rate, self._stream.frames
        num_packets, rate = _count_packets(self._container, self._stream)
        self._reopen()
        # The header's rate is exact where the rate is constant, and far off where it is not.
        return header_rate if abs(rate / header_rate - 1) < 0.1 or not rate else rate, num_packets or None

    def _first_size(self) -> tuple[int, int]:
        """Height and width of the first frame as displayed; leaves the file at its start."""
        try:
            height, width = _as_displayed(next(self._decoded())).shape[:2]
        except StopIteration as error:
            self.close()
            raise BadInputError(f"{self._path}: holds no frame") from error
        except (PartialInputError, FFmpegError, ValueError) as error:
            self.close()
            what = str(error) if isinstance(error, PartialInputError) else f"{self._path}: {_reason(error)}"
            raise BadInputError(what) from error
        self._reopen()
        return height, width

    def _reopen(self) -> None:
        self.close()
        self._container, self._stream = _open(self._path)

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames; see `VideoSource`."""
        for index, decoded in enumerate(self._decoded()):
            if index < self._start_frame:
                continue
            image = _as_displayed(decoded)
            if image.shape[:2] != (self.height, self.width):
                sizes = f"from {self.width}x{self.height} to {image.shape[1]}x{image.shape[0]}"
                raise self._broken(f"the picture's size changes {sizes}", index)
            yield Frame(index, self._time_s(decoded, index), image)

    def _time_s(self, frame: av.VideoFrame, index: int) -> float:
        """When a frame is shown; the stream's unit is used because frames drained from the decoder carry none."""
        if frame.pts is None or not self._stream.time_base:
            return index / self.fps
        return float(frame.pts * self._stream.time_base)

    def _decoded(self) -> Iterator[av.VideoFrame]:
        """Decode packet by packet; damage and a missing end raise after the good frames."""
        num_packets = num_frames = 0
        safe_until = None
        try:
            for packet in _demux(self._container, self._stream):
                if self._is_damaged(packet, num_packets):
                    break
                num_packets += 1
                for frame in packet.decode():
                    if frame.is_corrupt:
                        raise self._broken("a frame is damaged", num_frames)
                    num_frames += 1
                    yield frame
                safe_until = _safe_until(packet, safe_until)
            else:
                return
        except (FFmpegError, IndexError) as error:
            what = self._damage.reason if self._damage else f"cannot be decoded ({_reason(error)})"
            raise self._broken(what, num_frames) from error
        for frame in self._drained(safe_until):
            num_frames += 1
            yield frame
        raise self._broken(self._damage.reason if self._damage else "a packet is damaged", num_frames)

    def _is_damaged(self, packet: av.Packet, num_packets_before: int) -> bool:
        """Whether this packet, or the empty one that stands for the end, is not what the file should hold here."""
        if packet.is_corrupt or self._damage is None:
            return packet.is_corrupt
        if not packet.size:
            # Damage behind the last packet, say in an index, has cost no frame.
            return not 0 < self._stream.frames <= num_packets_before
        return packet.pos is not None and packet.pos + packet.size > self._damage.offset

    def _drained(self, safe_until: int | None) -> list[av.VideoFrame]:
        """The frames that the decoder still holds back when good packets end, up to the first that may be missing."""
        try:
            frames = self._stream.codec_context.decode(None)
        except FFmpegError:
            return []
        return [f for f in frames if safe_until is not None and f.pts is not None and f.pts <= safe_until]

    def _broken(self, what: str, num_frames: int) -> PartialInputError:
        """The error for damage behind good frames."""
        good = f"{num_frames} good frames before that" if num_frames else "no good frame before that"
        return PartialInputError(f"{self._path}: {what}; {good}")

    def close(self) -> None:
        """Close the file."""
        self._container.close()


def _open(path: Path) -> tuple[InputContainer, VideoStream]:
    """Open a file, only as one of the media formats, and only itself, and choose its video stream.

    Raises:
        BadInputError: It is empty, not readable, or no video.
    """
    try:
        if path.stat().st_size == 0:
            raise BadInputError(f"{path}: the file is empty")
        container = av.open(f"file:{path}", options=SAFE_OPTIONS, metadata_errors="replace")
    except PermissionError as error:
        raise BadInputError(f"{path}: no permission to read it") from error
    except (OSError, ValueError) as error:
        damage = find_damage(path)
        what = damage.reason if damage else _reason(error)
        raise BadInputError(f"{path}: not a video file that can be read ({what})") from error
    try:
        return container, _video_stream(container, path)
    except BadInputError:
        container.close()
        raise


def _video_stream(container: InputContainer, path: Path) -> VideoStream:
    """The file's video stream, set to report damage.

    Raises:
        BadInputError: There is none (the cover picture of a music file does not count), or its frames are huge.
    """
    streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not streams:
        raise BadInputError(f"{path}: holds no video stream")
    stream = streams[0]
    if stream.codec_context is None:
        raise BadInputError(f"{path}: holds video of a kind that cannot be decoded")
    if stream.width * stream.height > MAX_PIXELS:
        raise BadInputError(f"{path}: claims frames of {stream.width}x{stream.height} pixels, more than any camera has")
    stream.codec_context.options = STRICT_OPTIONS
    # Frame threads also catch more damage than slice threads do, which drop a slice's error.
    stream.thread_type = "AUTO"
    return stream


def _safe_until(packet: av.Packet, before: int | None) -> int | None:
    """Up to which presentation time nothing can be missing if the file breaks off behind this packet.

    What comes later is decoded later than this packet, so it is shown later than this packet's decoding time; and
    nothing is shown before the first packet's picture, which is a key frame.
    """
    times = [time for time in (before, packet.dts, packet.pts if before is None else None) if time is not None]
    return max(times) if times else None


def _demux(container: InputContainer, stream: VideoStream) -> Iterator[av.Packet]:
    """The packets of a stream, found by its place among the video streams.

    A damaged file can make its stream numbers jump; PyAV then raises IndexError when asked for the stream itself.
    """
    return container.demux(video=container.streams.video.index(stream))


def _count_packets(container: InputContainer, stream: VideoStream) -> tuple[int, float]:
    """How many packets a stream holds, and how many per second; 0 where it holds no two times."""
    num_packets = 0
    times: list[int] = []
    try:
        for packet in _demux(container, stream):
            num_packets += packet.size > 0
            if packet.size and packet.pts is not None:
                times.append(packet.pts)
    except (FFmpegError, IndexError):
        pass  # damage is reported where it stands among the frames, see _decoded
    span_s = float((max(times) - min(times)) * (stream.time_base or 0)) if times else 0.0
    return num_packets, (num_packets - 1) / span_s if span_s > 0 else 0.0


def _as_displayed(frame: av.VideoFrame) -> UInt8[np.ndarray, "H W 3"]:
    """A frame's RGB pixels, transparency over white, turned and mirrored as the file's display matrix says."""
    if frame.format.has_palette or any(component.is_alpha for component in frame.format.components):
        image = np.asarray(over_white(Image.fromarray(frame.to_ndarray(format="rgba"))))
    else:
        image = frame.to_ndarray(format="rgb24")
    matrix = frame.side_data.get("DISPLAYMATRIX")
    return image if matrix is None else orient(image, np.frombuffer(bytes(matrix), np.int32).reshape(3, 3))


def _reason(error: BaseException) -> str:
    """FFmpeg's words without its numbers and file name."""
    return str(getattr(error, "strerror", None) or error) or type(error).__name__
