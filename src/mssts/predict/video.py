"""Open any source of frames: video files and webcams through FFmpeg, pictures through Pillow.

Frames are delivered in presentation order and none is left out in silence: damage raises an error that says how many
frames were good.
"""

import glob
import os
import stat
from pathlib import Path

from mssts.errors import BadInputError
from mssts.predict.camera import open_camera
from mssts.predict.images import SUFFIXES, open_images
from mssts.predict.source import VideoSource
from mssts.predict.video_file import VideoFile

__all__ = ["VideoSource", "open_source"]


def open_source(source: str | Path | int, *, start_frame: int = 0) -> VideoSource:
    """Open a video file, a picture, a folder of frames, a glob pattern of pictures, or a webcam by its index.

    Args:
        source: A path or pattern; an integer, or digits that are no path, name a webcam.
        start_frame: Skip this many frames; the first one delivered has this index.

    Raises:
        BadInputError: The source is missing, is no video, or its first frame cannot be read.
    """
    if isinstance(source, int):
        return open_camera(source)
    text = os.fspath(source)
    mode = _mode(text)
    if mode is None and text.isdecimal():
        return open_camera(int(text))
    if mode is None and not any(character in text for character in "*?["):
        raise BadInputError(f"{text or 'source'}: no such file or folder")
    if mode is None or stat.S_ISDIR(mode):
        return open_images(text, start_frame)
    if not stat.S_ISREG(mode):
        # Opening a pipe or a device would wait for ever.
        raise BadInputError(f"{text}: neither a file nor a folder")
    if Path(text).suffix.lower() in SUFFIXES:
        return open_images(glob.escape(text), start_frame)
    return VideoFile(Path(text), start_frame)


def _mode(text: str) -> int | None:
    """The file mode of a path, None where nothing is.

    Raises:
        BadInputError: The system refuses to look.
    """
    try:
        return os.stat(text).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError as error:
        raise BadInputError(f"{text}: no permission to read it") from error
    except (OSError, ValueError) as error:
        raise BadInputError(f"{text!r}: not a path ({getattr(error, 'strerror', None) or error})") from error
