"""The folder that holds the outputs of one prediction run.

    overlay.mp4          the video with its instances drawn in
    results.json         the tracks; written by the track store, of which this module knows the place only
    masks/000000.png     per frame, pixel value = track id

While the run goes on, everything has `.part` in its name. An older run's outputs stay whole until the new ones are.
"""

import os
import re
import shutil
from collections.abc import Collection, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Literal, get_args

from mssts.errors import BadInputError, MsstsError, ResourceError
from mssts.predict.mask_png import write_mask_png
from mssts.predict.video_writer import VideoWriter
from mssts.types import FrameResult
from mssts.visualize.overlay import draw_overlay

Output = Literal["video", "json", "masks"]
SPOOL_NAME = "tracks.sqlite.part"
MASK_FILE_NAME = re.compile(r"\d{6,}\.png")
SQLITE_SUFFIXES = ("", "-journal", "-wal", "-shm")


class RunFolder:
    """Takes a run's frames one by one and leaves finished files, or none.

    Use it as a context manager, or call `finish` on success and `abort` on failure.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        save: Collection[Output],
        fps: int | float | Fraction,
        overwrite: bool = False,
        resume: bool = False,
    ) -> None:
        """Creates the folder and clears away what a killed run left behind.

        Args:
            path: The folder; its parents are made too.
            save: What to write.
            fps: Frames per second of the overlay video.
            overwrite: Whether `finish` may replace the outputs of an earlier run.
            resume: Whether the spool of an interrupted run is kept, to go on from it.

        Raises:
            BadInputError: The folder holds the outputs of an earlier run and `overwrite` is False, or files of
                somebody else where the masks would go.
            ResourceError: The folder cannot be created or written to.
        """
        self.path = Path(path)
        self.save = frozenset(save)
        self.video_path = self.path / "overlay.mp4"
        self.json_path = self.path / "results.json"
        self.masks_path = self.path / "masks"
        self.spool_path = self.path / SPOOL_NAME
        self._masks_part_path = self.path / "masks.part"
        self._old_masks_path = self.path / "masks.old.part"
        self._fps = fps
        self._video: VideoWriter | None = None
        self._is_open = True
        try:
            self._refuse_earlier_run(overwrite)
            self._create(keep_spool=resume)
        except OSError as error:
            raise ResourceError(f"{self.path}: cannot create the folder: {error.strerror or error}") from error

    def _final_paths(self) -> dict[Output, Path]:
        return {"video": self.video_path, "json": self.json_path, "masks": self.masks_path}

    @property
    def outputs(self) -> list[Path]:
        """The outputs that this run saves and that are there."""
        return [path for output, path in self._final_paths().items() if output in self.save and path.exists()]

    def _refuse_earlier_run(self, overwrite: bool) -> None:
        found = [path.name for path in self._final_paths().values() if path.exists()]
        if found and not overwrite:
            raise BadInputError(f"{self.path}: already holds {', '.join(found)}; replace with --overwrite")
        # A data set may keep its own annotations in a folder of that name.
        if self.masks_path.exists() and not _holds_only_masks(self.masks_path):
            raise BadInputError(f"{self.masks_path}: holds more than a run's mask files; choose another folder")

    def _create(self, keep_spool: bool) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        self._remove_parts(keep_spool)
        if "masks" in self.save:
            self._masks_part_path.mkdir()

    def write_frame(self, result: FrameResult, names: Sequence[str]) -> None:
        """Adds a frame to the overlay video and writes its mask file.

        Args:
            result: The instances of the frame; all frames have the size of the first.
            names: Name per class slot.

        Raises:
            BadInputError: The frame is not of the first one's size.
            ResourceError: The disk is full.
        """
        if "video" in self.save:
            if self._video is None:
                height, width = result.image.shape[:2]
                self._video = VideoWriter(self.video_path, self._fps, width, height)
            self._video.write(draw_overlay(result, names))
        if "masks" in self.save:
            write_mask_png(self._masks_part_path / f"{result.index:06d}.png", result)

    def finish(self) -> None:
        """Gives the outputs their final names and removes those of an earlier run that this one does not save.

        Call it after the track store has written `json_path`, for it removes the spool.

        Raises:
            ResourceError: The disk is full or the folder is not writable; part files are gone then.
        """
        if not self._is_open:
            return
        try:
            if self._video is not None:
                self._video.close()
            self._publish_masks()
            self._remove_stale()
            self._remove_parts()
        except OSError as error:
            self.abort()
            raise ResourceError(f"{self.path}: cannot finish the run: {error.strerror or error}") from error
        except MsstsError:
            self.abort()
            raise
        self._is_open = False

    def _publish_masks(self) -> None:
        if "masks" not in self.save:
            return
        for png_path in self._masks_part_path.iterdir():
            with open(png_path, "rb") as file:
                os.fsync(file.fileno())
        # A folder cannot replace one that has files in it.
        if self.masks_path.exists():
            os.rename(self.masks_path, self._old_masks_path)
        os.rename(self._masks_part_path, self.masks_path)

    def _remove_stale(self) -> None:
        # A masks folder may be somebody's data; only a run that writes masks itself replaces one.
        stale = set(get_args(Output)) - self.save - {"masks"}
        if self._video is None:
            stale.add("video")
        for output in stale:
            _remove(self._final_paths()[output])

    def _remove_parts(self, keep_spool: bool = False) -> None:
        """Removes everything that has no final name; the track store's spool too, unless a run will go on from it."""
        for suffix in () if keep_spool else SQLITE_SUFFIXES:
            _remove(self.spool_path.with_name(self.spool_path.name + suffix))
        for path in (self.video_path, self.json_path):
            _remove(path.with_name(path.name + ".part"))
        _remove(self._masks_part_path)
        _remove(self._old_masks_path)

    def abort(self, keep_spool: bool = False) -> None:
        """Removes what this run has written so far, except the spool if asked to; does nothing after `finish`."""
        if not self._is_open:
            return
        self._is_open = False
        if self._video is not None:
            self._video.abort()
        with suppress(OSError):
            self._remove_parts(keep_spool)

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error_type is not None:
            self.abort()
        else:
            self.finish()


def _holds_only_masks(folder: Path) -> bool:
    return folder.is_dir() and all(MASK_FILE_NAME.fullmatch(path.name) for path in folder.iterdir())


def _remove(path: Path) -> None:
    """Removes a file, or a folder with all it holds, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
