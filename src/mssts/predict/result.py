"""What `Segmenter.predict` returns for a whole video: tracks that live in a file, not in memory."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mssts.config import Category
from mssts.errors import MsstsError
from mssts.predict.stored import from_stored
from mssts.predict.track_store import TrackStore
from mssts.predict.video import open_source
from mssts.predict.video_writer import VideoWriter
from mssts.types import FrameResult
from mssts.visualize.overlay import draw_overlay

if TYPE_CHECKING:
    import supervision


class Track(NamedTuple):
    """One object through the video; `segmentations` has a COCO run-length code, or None, for every frame."""

    id: int
    label: int
    name: str
    score: float
    first_frame: int
    last_frame: int
    num_visible: int
    segmentations: list[dict | None]


class VideoResult:
    """The tracks of a video.

    Attributes:
        source: What was predicted.
        names: Name per class slot.
        incomplete: Why the source broke off before its end; None for a whole one.
    """

    def __init__(
        self, source: str | Path | int, store: TrackStore, names: Sequence[str], categories: Sequence[Category]
    ) -> None:
        self.source = source
        self.names = list(names)
        self.incomplete: MsstsError | None = None
        self._store = store
        self._categories = categories

    def __len__(self) -> int:
        """The number of frames."""
        return self._store.num_frames

    def __repr__(self) -> str:
        return f"VideoResult({str(self.source)!r}, {len(self)} frames)"

    @property
    def tracks(self) -> list[Track]:
        """All tracks, in the order of their ids."""
        return list(self.iterate_tracks())

    def iterate_tracks(self) -> Iterator[Track]:
        """Read the tracks one by one; a track's class is the one with the highest mean score over its windows."""
        for track in self._store.tracks():
            label = int(track.class_scores.argmax())
            yield Track(
                id=track.track_id,
                label=label,
                name=self.names[label],
                score=float(track.class_scores[label]),
                first_frame=track.first_frame,
                last_frame=track.last_frame,
                num_visible=track.num_visible,
                segmentations=self._store.segmentations(track.track_id),
            )

    def frames(self) -> Iterator[FrameResult]:
        """Yield the results frame by frame, with pictures decoded from the source once more."""
        with open_source(self.source) as source:
            # The store first: it ends at the last good frame, where a broken source would raise.
            for stored, frame in zip(self._store.frames(), source, strict=False):
                yield from_stored(frame, stored)

    def save_video(self, path: str | Path) -> None:
        """Write the video with the instances drawn in, as H.264 in mp4."""
        with open_source(self.source) as source:
            fps, width, height = source.fps, source.width, source.height
        with VideoWriter(path, fps, width, height) as writer:
            for result in self.frames():
                writer.write(draw_overlay(result, self.names))

    def save_json(self, path: str | Path, video_id: int = 1) -> None:
        """Write the tracks as YouTube-VIS results."""
        self._store.write_youtube_vis(path, video_id, self._categories)

    def to_supervision(self) -> "Iterator[supervision.Detections]":
        """Yield a `supervision.Detections` per frame; needs the extra `viz`."""
        import supervision

        for result in self.frames():
            yield supervision.Detections(
                xyxy=result.boxes,
                mask=result.masks,
                confidence=result.scores,
                class_id=result.labels,
                tracker_id=result.track_ids,
            )
