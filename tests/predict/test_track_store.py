import json
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from mssts.config import Category
from mssts.errors import BadInputError, ResourceError
from mssts.predict.compose import encode_mask
from mssts.predict.stitch import Linker
from mssts.predict.track_store import StoredFrame, StoredInstance, TrackStore

HEIGHT, WIDTH = 20, 30
HEADER = {"source": "street.mp4", "height": HEIGHT, "width": WIDTH, "settings": {"window": 5}}
CATEGORIES = (Category(0, 10, "cat"), Category(2, 30, "dog"))

Window = tuple[list[StoredFrame], dict[int, np.ndarray]]


def random_windows(seed: int, num_windows: int = 4) -> list[Window]:
    """Windows of three new frames with up to four tracks; track 5 has scores but is never visible."""
    rng = np.random.default_rng(seed)
    windows = []
    for first in range(0, 3 * num_windows, 3):
        frames = []
        for index in range(first, first + 3):
            tracks = [track_id for track_id in (1, 2, 3, 4) if rng.random() < 0.6]
            frames.append(StoredFrame(index, index / 25, [random_instance(track_id, rng) for track_id in tracks]))
        windows.append((frames, {track_id: rng.random(4) for track_id in (1, 2, 3, 4, 5)}))
    return windows


def random_instance(track_id: int, rng: np.random.Generator) -> StoredInstance:
    rle = encode_mask(rng.random((HEIGHT, WIDTH)) < 0.3)
    x0, y0, x1, y1 = map(float, rng.uniform(0, 20, 4))
    return StoredInstance(track_id, int(rng.integers(4)), float(rng.random()), (x0, y0, x1, y1), rle)


def filled(path: Path, windows: list[Window]) -> TrackStore:
    store = TrackStore.create(path, HEADER)
    for number, (frames, scores) in enumerate(windows):
        store.append(frames, scores, {"step": np.array(number)})
    return store


def naive_results(windows: list[Window], video_id: int, ids: dict[int, int]) -> list[dict]:
    """The results built from everything in memory, in another order of loops than the store's."""
    frames = [frame for new, _ in windows for frame in new]
    results = []
    for track_id in (1, 2, 3, 4, 5):
        mean = np.mean([scores[track_id] for _, scores in windows], axis=0)
        slot = sorted(ids, key=lambda slot: -mean[slot])[0]
        codes = [next((i.rle.decode() for i in frame.instances if i.track_id == track_id), None) for frame in frames]
        if any(codes):
            results.append(
                {
                    "video_id": video_id,
                    "track_id": track_id,
                    "category_id": ids[slot],
                    "score": pytest.approx(mean[slot], rel=1e-12),
                    "segmentations": [code and {"size": [HEIGHT, WIDTH], "counts": code} for code in codes],
                }
            )
    return results


def test_frames_and_header_come_back_after_reopening(tmp_path):
    windows = random_windows(0)
    filled(tmp_path / "tracks.sqlite", windows).close()
    store = TrackStore.open(tmp_path / "tracks.sqlite")
    assert store.header == HEADER
    assert store.num_frames == 12
    assert list(store.frames()) == [frame for new, _ in windows for frame in new]
    assert store.time_s(5) == 5 / 25


def test_tracks_hold_the_mean_scores_and_the_span(tmp_path):
    windows = random_windows(1)
    store = filled(tmp_path / "tracks.sqlite", windows)
    frames = [frame for new, _ in windows for frame in new]
    for track in store.tracks():
        visible = [f.index for f in frames if track.track_id in [i.track_id for i in f.instances]]
        mean = sum(scores[track.track_id] for _, scores in windows) / len(windows)
        np.testing.assert_allclose(track.class_scores, mean, rtol=1e-12)
        assert track[2:] == (len(windows), len(visible), visible[0], visible[-1])


@pytest.mark.parametrize("categories", [(), CATEGORIES])
@pytest.mark.parametrize("seed", range(5))
def test_results_equal_a_naive_construction(tmp_path, seed, categories):
    """With categories, slots 1 and 3 mean nothing and must not be chosen, however high their score is."""
    windows = random_windows(seed)
    filled(tmp_path / "tracks.sqlite", windows).write_youtube_vis(tmp_path / "results.json", 7, categories)
    ids = {category.slot: category.id for category in categories} or {slot: slot for slot in range(4)}
    assert json.loads((tmp_path / "results.json").read_text()) == naive_results(windows, 7, ids)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results.json", "tracks.sqlite"]


def test_results_without_tracks_are_an_empty_list(tmp_path):
    filled(tmp_path / "tracks.sqlite", []).write_youtube_vis(tmp_path / "results.json", 1, ())
    assert json.loads((tmp_path / "results.json").read_text()) == []


def test_rows_are_read_one_at_a_time(tmp_path):
    """Two tracks are taken from a store; a full fetch would have run through the rows of all."""
    path = tmp_path / "tracks.sqlite"
    instances = [random_instance(track_id, np.random.default_rng(track_id)) for track_id in range(1, 2001)]
    scores = {instance.track_id: np.ones(2) for instance in instances}
    store = filled(path, [([StoredFrame(0, 0.0, instances)], scores)])
    steps = []
    store._database.set_progress_handler(lambda: steps.append(1), 100)
    tracks = store.tracks()
    assert [next(tracks).track_id, next(tracks).track_id] == [1, 2]
    first_steps = len(steps)
    assert sum(1 for _ in tracks) == 1998
    assert len(steps) > 50 * max(first_steps, 1)


def test_linker_state_comes_back(tmp_path):
    store = TrackStore.create(tmp_path / "tracks.sqlite", HEADER)
    assert store.linker_state() is None
    store.append([], {}, Linker().state())
    store.append([], {}, {"bits": np.arange(5, dtype=np.uint8), "empty": np.zeros((0, 3), dtype=np.float32)})
    state = TrackStore.open(store.path).linker_state()
    assert state is not None
    assert {name: (array.dtype, array.shape) for name, array in state.items()} == {
        "bits": (np.uint8, (5,)),
        "empty": (np.float32, (0, 3)),
    }
    assert state["bits"].tolist() == [0, 1, 2, 3, 4]


def test_a_killed_process_loses_only_the_open_window(tmp_path):
    """The process dies by SIGKILL inside its third transaction, with pages of it already in the file."""
    path = tmp_path / "tracks.sqlite"
    windows = random_windows(3)
    filled(path, windows[:2]).close()
    script = f"""
        import os, signal
        import numpy as np
        from mssts.predict.track_store import StoredFrame, TrackStore

        class Deadly(dict):
            def items(self):
                yield from super().items()
                os.kill(os.getpid(), signal.SIGKILL)

        store = TrackStore.open({str(path)!r})
        store._database.execute("PRAGMA cache_size = 1")
        frames = [StoredFrame(index, 0.0, []) for index in (6, 7, 8)]
        store.append(frames, Deadly({{track_id: np.ones(4000) for track_id in range(11, 60)}}), {{}})
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, check=False)
    assert done.returncode == -9, done.stderr
    assert path.with_name("tracks.sqlite-journal").exists()
    store = TrackStore.open(tmp_path / "tracks.sqlite")
    assert list(store.frames()) == [frame for new, _ in windows[:2] for frame in new]
    state = store.linker_state()
    assert state is not None
    assert state["step"] == 1
    for number, (frames, scores) in enumerate(windows[2:], start=2):
        store.append(frames, scores, {"step": np.array(number)})
    whole = filled(tmp_path / "whole.sqlite", windows)
    assert list(store.frames()) == list(whole.frames())
    assert [t.class_scores.tolist() for t in store.tracks()] == [t.class_scores.tolist() for t in whole.tracks()]


def test_a_full_disk_leaves_the_window_out_and_names_the_file(tmp_path):
    windows = random_windows(4)
    store = filled(tmp_path / "tracks.sqlite", windows[:1])
    (pages,) = store._database.execute("PRAGMA page_count").fetchone()
    store._database.execute(f"PRAGMA max_page_count = {pages}")
    big = {track_id: np.ones(5000) for track_id in range(11, 15)}
    with pytest.raises(ResourceError, match=r"tracks\.sqlite: cannot be written \(database or disk is full\)"):
        store.append(windows[1][0], big, {})
    assert list(store.frames()) == windows[0][0]
    assert [track.num_windows for track in store.tracks()] == [1] * len(list(store.tracks()))
    store._database.execute("PRAGMA max_page_count = 100000")
    store.append(windows[1][0], big, {})
    assert store.num_frames == 6


def test_frames_that_do_not_follow_are_refused(tmp_path):
    store = filled(tmp_path / "tracks.sqlite", random_windows(0, num_windows=1))
    with pytest.raises(ValueError, match="do not follow the 3 stored ones"):
        store.append([StoredFrame(4, 0.0, [])], {}, {})


def test_create_replaces_and_leaves_nothing_where_it_fails(tmp_path):
    filled(tmp_path / "tracks.sqlite", random_windows(0)).close()
    assert TrackStore.create(tmp_path / "tracks.sqlite", HEADER).num_frames == 0
    with pytest.raises(ResourceError, match="no_folder"):
        TrackStore.create(tmp_path / "no_folder" / "tracks.sqlite", HEADER)
    assert [path.name for path in tmp_path.iterdir()] == ["tracks.sqlite"]


def test_a_failed_results_file_keeps_the_old_one(tmp_path, monkeypatch):
    store = filled(tmp_path / "tracks.sqlite", random_windows(0))
    results = tmp_path / "results.json"
    results.write_text("old")
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(ResourceError, match=r"results\.json: .*No space left"):
        store.write_youtube_vis(results, 1, ())
    assert results.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results.json", "tracks.sqlite"]


@pytest.mark.parametrize("content", [b"", b"not a database at all" * 100, None])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "other.sqlite"
    if content is None:
        other = sqlite3.connect(path)
        other.execute("CREATE TABLE meta (key TEXT, value BLOB)")
        other.commit()
        other.close()
    else:
        path.write_bytes(content)
    with pytest.raises(BadInputError, match=r"other\.sqlite: not a track store"):
        TrackStore.open(path)
    with pytest.raises(BadInputError, match=r"missing\.sqlite: no such track store"):
        TrackStore.open(tmp_path / "missing.sqlite")
    assert not (tmp_path / "missing.sqlite").exists()


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_truncated_or_overwritten_file_is_refused(tmp_path, share):
    path = tmp_path / "tracks.sqlite"
    filled(path, random_windows(0)).close()
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(BadInputError, match=r"tracks\.sqlite: .*damaged"):
        TrackStore.open(path)


def test_damage_that_shows_later_is_named(tmp_path):
    path = tmp_path / "tracks.sqlite"
    filled(path, random_windows(0)).close()
    store = TrackStore.open(path)
    content = path.read_bytes()
    changed = b"\x00\x00\xff\xff"  # the change counter, which makes SQLite read the pages anew
    path.write_bytes(content[:24] + changed + content[28:4096] + b"\xff" * (len(content) - 4096))
    with pytest.raises(BadInputError, match=r"tracks\.sqlite: the track store is damaged"):
        list(store.frames())
