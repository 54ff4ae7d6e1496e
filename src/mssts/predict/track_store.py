"""Tracks on disk while a video is predicted: memory stays flat, and an interrupted run can go on.

One SQLite file, a transaction per window. What is committed survives a kill; what is not was never there.
"""

import io
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from mssts.config import Category
from mssts.errors import BadInputError, ResourceError

FORMAT = "mssts-tracks-1"
SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB);
CREATE TABLE frame (idx INTEGER PRIMARY KEY, time_s REAL);
CREATE TABLE track (id INTEGER PRIMARY KEY, score_sum BLOB, num_windows INTEGER);
CREATE TABLE instance (
    track_id INTEGER, idx INTEGER, label INTEGER, score REAL, x0 REAL, y0 REAL, x1 REAL, y1 REAL, rle BLOB,
    PRIMARY KEY (track_id, idx)
) WITHOUT ROWID;
CREATE INDEX instance_by_frame ON instance (idx);
"""


class StoredInstance(NamedTuple):
    """One instance in one frame: class slot, score, box (x0, y0, x1, y1 in pixels), compressed COCO run-length code."""

    track_id: int
    label: int
    score: float
    box: tuple[float, float, float, float]
    rle: bytes


class StoredFrame(NamedTuple):
    """The instances of one frame."""

    index: int  # pyright: ignore[reportIncompatibleMethodOverride]
    time_s: float
    instances: list[StoredInstance]


class StoredTrack(NamedTuple):
    """A track without its masks; class scores are means over `num_windows` windows, frames are inclusive."""

    track_id: int
    class_scores: Float[np.ndarray, " slots"]
    num_windows: int
    num_visible: int
    first_frame: int
    last_frame: int


class TrackStore:
    """The tracks of one video in one file; make it with `create` or `open`.

    Attributes:
        path: The file.
        header: What the file says about itself, given at creation; `height` and `width` are the frames' size in pixels.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, header: dict) -> None:
        self.path = path
        self.header = header
        self._database = connection

    @classmethod
    def create(cls, path: str | os.PathLike[str], header: Mapping) -> "TrackStore":
        """Start a new file, in place of one that may be there.

        Raises:
            ResourceError: It cannot be written.
        """
        path = Path(path)
        text = json.dumps(header)
        with _writing(path):
            path.unlink(missing_ok=True)
            connection = sqlite3.connect(path)
            try:
                connection.executescript(SCHEMA)
                connection.execute("INSERT INTO meta VALUES ('format', ?), ('header', ?)", (FORMAT, text))
                connection.commit()
            except sqlite3.Error:
                connection.close()
                path.unlink(missing_ok=True)
                raise
        return cls(path, connection, json.loads(text))

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "TrackStore":
        """Open a file with all windows that were committed.

        Raises:
            BadInputError: There is no such file, it is damaged, or it is something else.
        """
        path = Path(path)
        if not path.is_file():
            raise BadInputError(f"{path}: no such track store")
        connection = sqlite3.connect(path)
        try:
            meta = dict(connection.execute("SELECT key, value FROM meta WHERE key IN ('format', 'header')"))
            is_ours = meta.get("format") == FORMAT
            sound = connection.execute("PRAGMA quick_check").fetchone() == ("ok",)
            header = json.loads(meta["header"]) if is_ours and sound else {}
        except (sqlite3.DatabaseError, KeyError, ValueError) as error:
            connection.close()
            raise BadInputError(f"{path}: not a track store, or damaged ({error})") from error
        if not (is_ours and sound):
            connection.close()
            raise BadInputError(f"{path}: not a track store, or damaged")
        return cls(path, connection, header)

    def close(self) -> None:
        """Close the file; what is committed stays."""
        self._database.close()

    def append(
        self,
        frames: Sequence[StoredFrame],
        class_scores: Mapping[int, Float[np.ndarray, " slots"]],
        linker_state: Mapping[str, np.ndarray],
    ) -> None:
        """Commit a window: its new frames, its class scores per track, and the linker's state after it.

        Raises:
            ValueError: The frames do not follow the ones that are there.
            ResourceError: The disk is full; nothing of the window is there then.
        """
        start = self.num_frames
        if [frame.index for frame in frames] != list(range(start, start + len(frames))):
            raise ValueError(f"frames {[frame.index for frame in frames]} do not follow the {start} stored ones")
        with _writing(self.path), self._database:
            self._database.executemany("INSERT INTO frame VALUES (?, ?)", ((f.index, f.time_s) for f in frames))
            rows = ((i.track_id, f.index, i.label, i.score, *i.box, i.rle) for f in frames for i in f.instances)
            self._database.executemany("INSERT INTO instance VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
            for track_id, scores in class_scores.items():
                self._add_scores(track_id, scores)
            state = _pack(linker_state)
            self._database.execute("INSERT OR REPLACE INTO meta VALUES ('linker', ?)", (state,))

    def _add_scores(self, track_id: int, scores: Float[np.ndarray, " slots"]) -> None:
        """Add a window's class scores to a track's sum."""
        found = self._database.execute("SELECT score_sum, num_windows FROM track WHERE id = ?", (track_id,)).fetchone()
        total, count = (np.frombuffer(found[0]), found[1]) if found else (np.zeros(len(scores)), 0)
        row = (track_id, (total + scores).astype(np.float64).tobytes(), count + 1)
        self._database.execute("INSERT OR REPLACE INTO track VALUES (?, ?, ?)", row)

    @property
    def num_frames(self) -> int:
        """Frames committed so far; they are 0 to this number."""
        return self._database.execute("SELECT COALESCE(MAX(idx) + 1, 0) FROM frame").fetchone()[0]

    def time_s(self, index: int) -> float:
        """Presentation time of a frame in seconds."""
        return self._database.execute("SELECT time_s FROM frame WHERE idx = ?", (index,)).fetchone()[0]

    def linker_state(self) -> dict[str, np.ndarray] | None:
        """The linker's state after the last committed window, or None before the first."""
        found = self._database.execute("SELECT value FROM meta WHERE key = 'linker'").fetchone()
        if found is None:
            return None
        with np.load(io.BytesIO(found[0]), allow_pickle=False) as arrays:
            return dict(arrays)

    def frames(self) -> Iterator[StoredFrame]:
        """Yield the frames in order, one in memory at a time.

        Raises:
            BadInputError: The file is damaged.
        """
        query = "SELECT track_id, label, score, x0, y0, x1, y1, rle FROM instance WHERE idx = ? ORDER BY track_id"
        with _reading(self.path):
            for index, time_s in self._database.execute("SELECT idx, time_s FROM frame ORDER BY idx"):
                rows = self._database.execute(query, (index,)).fetchall()
                instances = [StoredInstance(*row[:3], box=tuple(row[3:7]), rle=row[7]) for row in rows]
                yield StoredFrame(index, time_s, instances)

    def tracks(self) -> Iterator[StoredTrack]:
        """Yield the tracks that are visible somewhere, by id, one in memory at a time.

        Raises:
            BadInputError: The file is damaged.
        """
        query = """
            SELECT track.id, score_sum, num_windows, COUNT(*), MIN(idx), MAX(idx)
            FROM track JOIN instance ON instance.track_id = track.id GROUP BY track.id ORDER BY track.id
        """
        with _reading(self.path):
            for track_id, score_sum, num_windows, num_visible, first, last in self._database.execute(query):
                scores = np.frombuffer(score_sum) / num_windows
                yield StoredTrack(track_id, scores, num_windows, num_visible, first, last)

    def class_sums(self) -> Iterator[tuple[int, Float[np.ndarray, " slots"], int]]:
        """Yield every track's id, the sum of its class scores and over how many windows; also of invisible tracks."""
        for track_id, score_sum, num_windows in self._database.execute("SELECT * FROM track ORDER BY id"):
            yield track_id, np.frombuffer(score_sum), num_windows

    def segmentations(self, track_id: int) -> list[dict | None]:
        """A track's COCO run-length code for every frame of the video, None where it is not visible."""
        size = [self.header["height"], self.header["width"]]
        codes: list[dict | None] = [None] * self.num_frames
        query = "SELECT idx, rle FROM instance WHERE track_id = ?"
        with _reading(self.path):
            for index, rle in self._database.execute(query, (track_id,)):
                codes[index] = {"size": size, "counts": rle.decode("ascii")}
        return codes

    def write_youtube_vis(self, path: str | os.PathLike[str], video_id: int, categories: Iterable[Category]) -> None:
        """Write the tracks as YouTube-VIS results, one in memory at a time, under the final name when complete.

        A track has the class with the highest mean score among the categories, whose slots all exist; without
        categories the class slot serves as its id.

        Raises:
            ResourceError: The file cannot be written.
            BadInputError: The track store is damaged.
        """
        path = Path(path)
        part = path.with_name(path.name + ".part")
        ids = {category.slot: category.id for category in categories}
        try:
            with _writing(path), part.open("w", encoding="utf-8") as file:
                for number, entry in enumerate(self._entries(video_id, ids)):
                    file.write(("[\n" if number == 0 else ",\n") + json.dumps(entry, separators=(",", ":")))
                file.write("\n]\n" if file.tell() else "[]\n")
                file.flush()
                os.fsync(file.fileno())
            with _writing(path):
                part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    def _entries(self, video_id: int, ids: Mapping[int, int]) -> Iterator[dict]:
        """The results file's entry of each track."""
        for track in self.tracks():
            slot = max(ids or range(len(track.class_scores)), key=track.class_scores.__getitem__)
            yield {
                "video_id": video_id,
                "track_id": track.track_id,
                "category_id": ids.get(slot, slot),
                "score": float(track.class_scores[slot]),
                "segmentations": self.segmentations(track.track_id),
            }


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn a full disk, missing permission and the like into the error that names the file."""
    try:
        yield
    except (OSError, sqlite3.OperationalError) as error:
        raise ResourceError(f"{path}: cannot be written ({error})") from error


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn damage that shows while rows are read into the error that names the file."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise BadInputError(f"{path}: the track store is damaged ({error})") from error


def _pack(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Named arrays as bytes, without pickle."""
    buffer = io.BytesIO()
    np.savez(buffer, **dict(arrays))  # pyright: ignore[reportArgumentType]
    return buffer.getvalue()
