"""A table of the tracks that a run found, for the terminal."""

import math
from collections.abc import Sequence
from os import PathLike
from typing import NamedTuple

MAX_ROWS = 30
MAX_NAME_LENGTH = 24
# One window reached the best score; a second one, which a track takes, is likely to stay somewhat below.
RETRY_SHARE = 0.8
HEADER = ("track", "class", "score", "frames", "time", "visible")


class TrackSummary(NamedTuple):
    """One track of a video. Frames are 0-based and inclusive; `num_visible` counts those in which it has a mask."""

    track_id: int
    name: str
    score: float
    first_frame: int
    last_frame: int
    num_visible: int
    first_time_s: float
    last_time_s: float


def _clock(time_s: float) -> str:
    """Minutes and seconds, with hours where there are any: 0:07.3, 12:00.0, 1:02:03.4."""
    tenths = round(time_s * 10)
    minutes, tenths = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{tenths // 10:02d}.{tenths % 10}"
    return f"{hours}:{minutes:02d}:{seconds}" if hours else f"{minutes}:{seconds}"


def _cells(row: TrackSummary) -> tuple[str, ...]:
    name = row.name if len(row.name) <= MAX_NAME_LENGTH else row.name[: MAX_NAME_LENGTH - 1] + "…"
    return (
        f"#{row.track_id}",
        name,
        f"{row.score:.2f}",
        f"{row.first_frame}–{row.last_frame}",
        f"{_clock(row.first_time_s)}–{_clock(row.last_time_s)}",
        str(row.num_visible),
    )


def _aligned(lines: Sequence[tuple[str, ...]]) -> list[str]:
    """Pads the cells to columns: the class to the left, everything else to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    class_column = HEADER.index("class")
    return [
        "  ".join(
            cell.ljust(width) if column == class_column else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]


def no_tracks(confidence: float, best_score: float | None, were_brief: bool) -> str:
    """Why a run shows no track, and which option would, on one line.

    Args:
        confidence: The threshold (`--conf`).
        best_score: Of anything that the model saw, found or not; None if nobody knows.
        were_brief: Whether there were tracks of which only one window was sure.
    """
    if were_brief:
        return f"no tracks of which two windows are sure (--conf {confidence:g}); --keep-brief shows those of one"
    if best_score is None or best_score >= confidence:
        return "no tracks found"
    # Rounded down, or a score just below the threshold would read as the threshold itself.
    best = math.floor(100 * best_score) / 100
    lower = math.floor(100 * RETRY_SHARE * best_score) / 100
    hint = f"; try --conf {lower:g}" if lower > 0 else ""
    return f"no tracks above --conf {confidence:g} (the best score was {best:g}{hint})"


def summarise(
    rows: Sequence[TrackSummary], outputs: Sequence[str | PathLike[str]] = (), nothing: str = "no tracks found"
) -> str:
    """The table as text without a final newline: a header, a line per track, and where the outputs are.

    Only the first 30 tracks are shown, in the order given; how many more there are is said. Without any track the line
    `nothing` takes the table's place.
    """
    lines = [nothing]
    if rows:
        lines = _aligned([HEADER, *(_cells(row) for row in rows[:MAX_ROWS])])
    if len(rows) > MAX_ROWS:
        lines.append(f"… and {len(rows) - MAX_ROWS} more")
    if outputs:
        lines.append("saved: " + ", ".join(str(output) for output in outputs))
    return "\n".join(lines)
