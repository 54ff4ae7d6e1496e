"""What `mssts data check` found in one annotation file, and how it is told."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mssts.data.attributes import video_attributes

MAX_LINES = 20
"""Faults of one kind that are printed unless all are asked for."""
_MAX_LENGTH = 300
_BAR_LENGTH = 30


class CheckedVideo(NamedTuple):
    """A video or an image, as far as its entry can be read; `files` are (JSON path, file name)."""

    where: str
    height: int | None
    width: int | None
    num_frames: int | None
    files: tuple[tuple[str, str], ...]


class CheckedTrack(NamedTuple):
    """A track or an image's annotation, as far as its entry can be read; unusable boxes are None."""

    video_id: int | None
    category_id: int | None
    boxes_xywh: tuple[tuple[float | int, ...] | None, ...]
    num_masks: int
    is_crowd: bool


class Findings:
    """The faults and the notes of one annotation file; each place is told once per kind of fault."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.notes: list[str] = []
        self._faults: dict[str, dict[str, str]] = {}

    def add(self, kind: str, where: str, what: str) -> None:
        """Record a fault of a kind at a JSON path."""
        self._faults.setdefault(kind, {}).setdefault(where, what)

    @property
    def num_faults(self) -> int:
        """How many faults there are."""
        return sum(len(faults) for faults in self._faults.values())

    def lines(self, show_all: bool) -> Iterator[str]:
        """The faults, grouped by kind, and the notes; the first 20 of each kind unless all are wanted."""
        for kind, faults in self._faults.items():
            yield f"{self.name}: {kind}: {len(faults)}"
            shown = len(faults) if show_all else MAX_LINES
            for where, what in list(faults.items())[:shown]:
                yield f"  {self.name} {_one_line(f'{where}: {what}')}"
            if len(faults) > shown:
                yield f"  ... and {len(faults) - shown} more (--all shows them)"
        for note in self.notes:
            yield f"{self.name}: note: {_one_line(note)}"


def _one_line(text: str) -> str:
    """A file's own words may hold line breaks, control characters and any amount of text."""
    text = text if text.isprintable() else ascii(text)[1:-1]
    return text if len(text) <= _MAX_LENGTH else text[: _MAX_LENGTH - 3] + "..."


def statistics(
    findings: Findings,
    videos: Sequence[CheckedVideo],
    tracks: Sequence[CheckedTrack],
    names: dict[int, str],
    are_images: bool,
) -> Iterator[str]:
    """Counts, the class histogram and, of videos, the attribute shares, line by line."""
    num_frames = sum(len(video.files) for video in videos)
    num_masks = sum(track.num_masks for track in tracks)
    counts = f"{len(videos)} videos, {num_frames} frames, {len(tracks)} tracks, {num_masks} masks"
    if are_images:
        counts = f"{len(videos)} images, {len(tracks)} annotations, {num_masks} masks"
    yield f"{findings.name}: {counts}"
    yield from _histogram(tracks, names, "annotations" if are_images else "tracks")
    if not are_images and tracks:
        yield _attribute_shares(tracks)


def _histogram(tracks: Sequence[CheckedTrack], names: dict[int, str], what: str) -> Iterator[str]:
    histogram = Counter(names[track.category_id] for track in tracks if track.category_id in names)
    if not histogram:
        return
    yield f"  {what} per category ({len(names) - len(histogram)} of {len(names)} categories have none):"
    most = max(histogram.values())
    width = min(max(len(_one_line(name)) for name in histogram), 40)
    for name, count in histogram.most_common():
        yield f"    {_one_line(name)[:40]:<{width}} {count:>6} {'#' * max(1, round(_BAR_LENGTH * count / most))}"


def _attribute_shares(tracks: Sequence[CheckedTrack]) -> str:
    """Paper: section 4.3, over the videos that have tracks."""
    boxes: dict[int, list[tuple[tuple[float | int, ...] | None, ...]]] = {}
    for track in tracks:
        if track.video_id is not None:
            boxes.setdefault(track.video_id, []).append(track.boxes_xywh)
    rows = [video_attributes(objects) for objects in boxes.values()]
    shares = [
        f"{name} {100 * sum(getattr(row, field) for row in rows) / max(1, len(rows)):.0f} %"
        for name, field in (
            ("fast motion", "fast_motion"),
            ("size change", "size_change"),
            ("aspect-ratio change", "aspect_change"),
        )
    ]
    return f"  attributes of the {len(rows)} videos with tracks: {', '.join(shares)}"
