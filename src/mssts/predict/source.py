"""What every source of frames offers, whatever it reads."""

import re
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from mssts.types import Frame

DEFAULT_FPS = 30.0
# 8192 x 8192: far above any camera, and a decoded frame still fits in 200 MB. Beyond it a file is taken for a bomb.
MAX_PIXELS = 1 << 26


class VideoSource:
    """A stream of frames of one size; iterate over it once, as a context manager.

    Attributes:
        name: For naming outputs.
        fps: Frames per second; of files with a variable rate the average.
        width: In pixels, as displayed.
        height: In pixels, as displayed.
        num_frames_hint: About how many frames come, for a progress bar; None if unknown.
        is_live: Whether it ends only when it is stopped, and cannot be read twice.
    """

    name: str = ""
    fps: float = DEFAULT_FPS
    width: int = 0
    height: int = 0
    num_frames_hint: int | None = None
    is_live: bool = False

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames in presentation order, none left out.

        Raises:
            PartialInputError: The source broke off; all frames before that were yielded.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Let go of files and devices."""

    def __enter__(self) -> "VideoSource":
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def natural_order(path: Path) -> list[tuple[int, int, str]]:
    """A sort key that puts frame10 behind frame9."""
    parts = re.split(r"(\d+)", path.name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part.lower()) for part in parts]
