"""A webcam as a source of frames, through FFmpeg's device input."""

import sys
from collections.abc import Iterator

import av
from av.container import InputContainer
from av.error import FFmpegError

from mssts.errors import BadInputError, PartialInputError
from mssts.predict.source import DEFAULT_FPS, VideoSource
from mssts.types import Frame

CAMERA_FORMATS = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}"), "win32": ("dshow", "video={}")}


class Camera(VideoSource):
    """A webcam; frames are stamped by its own clock."""

    is_live = True

    def __init__(self, index: int, container: InputContainer) -> None:
        self.name = f"camera{index}"
        self._container = container
        self._stream = container.streams.video[0]
        self.fps = float(self._stream.average_rate or DEFAULT_FPS)
        self.height, self.width = self._stream.height, self._stream.width

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames until the camera is closed; see `VideoSource`."""
        start = None
        num_frames = 0
        try:
            for decoded in self._container.decode(self._stream):
                time_s = float(decoded.time or 0)
                start = time_s if start is None else start
                yield Frame(num_frames, time_s - start, decoded.to_ndarray(format="rgb24"))
                num_frames += 1
        except FFmpegError as error:
            reason = error.strerror or error
            raise PartialInputError(f"{self.name}: gone after {num_frames} frames ({reason})") from error

    def close(self) -> None:
        """Let the device go."""
        self._container.close()


def open_camera(index: int) -> Camera:
    """Open a webcam by its index.

    Raises:
        BadInputError: There is none.
    """
    camera_format, pattern = CAMERA_FORMATS.get(sys.platform, CAMERA_FORMATS["linux"])
    device = pattern.format(index)
    try:
        return Camera(index, av.open(device, format=camera_format))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadInputError(f"webcam {index} ({device}): cannot be opened ({reason})") from error
