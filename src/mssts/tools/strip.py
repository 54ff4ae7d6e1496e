"""The verb `strip`: frames of a video with what models or results files say, row by row (paper: Figs. 1, 4 and 5)."""

import argparse
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from tqdm import tqdm

from mssts.api import DEFAULT_CONFIDENCE, load
from mssts.data.rle import Segmentation
from mssts.data.video_set import Video, VideoSet, load_video_set
from mssts.errors import BadInputError, PartialInputError, UsageError
from mssts.evaluate.results_file import as_result, open_results, result_tubes
from mssts.evaluate.true_tube import true_tube
from mssts.predict.compose import encode_mask
from mssts.predict.video import open_source
from mssts.report.strips import ShownTrack, matching_ids, overlay_tracks
from mssts.tools.allocator import keep_freed_memory
from mssts.tools.figure_files import check_columns, check_out, look_at, save_picture, short_titles
from mssts.types import FrameResult
from mssts.visualize.strip import StripRow, draw_strip

# Tracks of two rows that overlap so much are taken for one object.
SAME_OBJECT_IOU = 0.3


class _Row(NamedTuple):
    """What a row shows: tracks with a segmentation or None per column, and names by category."""

    title: str
    tracks: list[ShownTrack]
    names: Mapping[int, str]


class _Columns(NamedTuple):
    """The frames of the columns, at the figure's size; `video` is the source with the columns as its frames.

    `num_frames` is what the source says of itself, if it does; `fault` is why it broke off before the last column.
    """

    indices: list[int]
    pictures: list[UInt8[np.ndarray, "h w 3"]]
    video: Video
    num_frames: int | None
    fault: PartialInputError | None


def run_strip(options: argparse.Namespace) -> int:
    """Write the figure.

    Raises:
        UsageError: Nothing to show is named, or results without their set.
        BadInputError: The source, a frame, the set or its video is not there, or the output is.
        PartialInputError: The source broke off; the figure holds columns before that.
    """
    needs_set = options.results or options.truth
    if needs_set and options.gt is None:
        raise UsageError("strip: --results and --truth need --gt, the set that they are of")
    if not (needs_set or options.model):
        raise UsageError("strip: give --model, --results or --truth; each makes a row")
    check_out(options.out, options.source, options.overwrite)
    columns = _read_columns(options)
    rows = _rows_of_set(options, columns) if needs_set else []
    model_rows = [_row_of_model(options, name, columns) for name in options.model]
    rows = [row for row in rows if row.title == "truth"] + model_rows + [row for row in rows if row.title != "truth"]
    save_picture(_draw(rows, columns), options.out)
    if not options.quiet:
        print(options.out)
    if columns.fault is not None:
        raise PartialInputError(f"{columns.fault}; {options.out} holds the frames before that")
    return 0


def _read_columns(options: argparse.Namespace) -> _Columns:
    """Decode the source up to the last column.

    Raises:
        BadInputError: A frame that was asked for is not there.
        PartialInputError: The source broke off before it.
    """
    facts = look_at(options.source)
    wanted = options.frames or facts.spread_frames()
    indices, pictures, num_frames, reason, size = [], [], 0, None, (1, 1)
    with open_source(options.source) as source:
        size = source.height, source.width
        small = options.width, max(1, round(options.width * size[0] / size[1]))
        try:
            for num_frames, frame in enumerate(source, start=1):
                if frame.index in wanted:
                    indices.append(frame.index)
                    image = Image.fromarray(frame.image).resize(small, Image.Resampling.LANCZOS)
                    pictures.append(np.asarray(image))
                if num_frames > wanted[-1]:
                    break
        except PartialInputError as error:
            reason = error
    check_columns(options.source, options.frames, num_frames, reason)
    names = tuple(f"frame {index}" for index in indices)
    return _Columns(indices, pictures, Video(0, *size, names), facts.num_frames, reason)


def _row_of_model(options: argparse.Namespace, name: str, columns: _Columns) -> _Row:
    """The tracks of a model, as `mssts predict` finds them, up to the last column."""
    keep_freed_memory()
    segmenter = load(name, options.device)
    asked = {"window": options.window, "short_side": options.short_side, "confidence": options.conf}
    settings = {key: value for key, value in asked.items() if value is not None}
    found: dict[int, ShownTrack] = {}
    stream = segmenter.predict(options.source, stream=True, **settings)
    with closing(stream) as results:  # pyright: ignore[reportArgumentType]
        total = columns.indices[-1] + 1
        for result in tqdm(results, total=total, unit="frame", disable=options.quiet, dynamic_ncols=True):
            if result.index in columns.indices:
                _keep(found, result, columns.indices.index(result.index), len(columns.indices))
            if result.index >= columns.indices[-1]:
                break
    return _Row(name, list(found.values()), dict(enumerate(segmenter.names)))


def _keep(found: dict[int, ShownTrack], result: FrameResult, column: int, num_columns: int) -> None:
    """Add a column's masks to the tracks found so far; a track has the class and score that it had last."""
    facts = zip(result.track_ids.tolist(), result.labels.tolist(), result.scores.tolist(), strict=True)
    for (track_id, label, score), mask in zip(facts, result.masks, strict=True):
        earlier = found[track_id].segmentations if track_id in found else [None] * num_columns
        codes: list[Segmentation | None] = [*earlier]
        codes[column] = {"size": list(mask.shape), "counts": encode_mask(mask).decode("ascii")}
        found[track_id] = ShownTrack(label, score, codes)


def _rows_of_set(options: argparse.Namespace, columns: _Columns) -> list[_Row]:
    """The rows of the truth and of results files."""
    truth = load_video_set(options.gt)
    if options.truth and not truth.has_truth:
        raise BadInputError(f"{truth.path}: has no ground truth to show")
    video = find_video(truth, options.video, options.source)
    _check_fit(truth, video, columns, options.source)
    names = dict(truth.categories)
    rows = []
    if options.truth:
        true = truth.tracks_by_video()[video.id]
        for track in true:
            true_tube(track, video, truth)  # called for its errors: what is drawn must be safe to decode
        shown = [[track.segmentations[index] for index in columns.indices] for track in true]
        tracks = [ShownTrack(track.category_id, 1.0, codes) for track, codes in zip(true, shown, strict=True)]
        rows.append(_Row("truth", tracks, names))
    confidence = DEFAULT_CONFIDENCE if options.conf is None else options.conf
    found = [_tracks_of_results(path, truth, video, columns, confidence) for path in options.results]
    return rows + [_Row(str(path), tracks, names) for path, tracks in zip(options.results, found, strict=True)]


def _tracks_of_results(
    path: Path, truth: VideoSet, video: Video, columns: _Columns, confidence: float
) -> list[ShownTrack]:
    """The results of one video from a score on, best first.

    Raises:
        BadInputError: The file, or one of these results, cannot be used.
    """
    chosen = [
        (place, result)
        for place, result in enumerate(open_results(path, truth))
        if result.video_id == video.id and result.score >= confidence
    ]
    # Called for its errors: what is drawn must be safe to decode.
    result_tubes(chosen, video, str(path))
    tracks = []
    for place, result in chosen:
        codes = as_result(result, f"{path}: result {place}").segmentations
        tracks.append(ShownTrack(result.category_id, result.score, [codes[index] for index in columns.indices]))
    return sorted(tracks, key=lambda track: -track.score)


def find_video(truth: VideoSet, name: str | None, source: str) -> Video:
    """The video of a set that a source is of: the named one, the one in a folder of the source's name, or the only one.

    Raises:
        BadInputError: There is none, or several could be meant.
    """
    wanted = name or Path(source).resolve().name
    found = [video for video in truth.videos if wanted in (str(video.id), Path(video.file_names[0]).parent.name)]
    if not found and name is None and len(truth.videos) == 1:
        return truth.videos[0]
    if len(found) != 1:
        count = f"{len(found)} videos are called {wanted}"
        raise BadInputError(f"{truth.path}: {count}; name the one of {source} with --video")
    return found[0]


def _check_fit(truth: VideoSet, video: Video, columns: _Columns, source: str) -> None:
    """Refuse a source that is not the video."""
    size = columns.video.height, columns.video.width
    if (video.height, video.width) != size:
        sizes = f"{size[1]}x{size[0]}, video {video.id} of {truth.path} {video.width}x{video.height}"
        raise BadInputError(f"{source}: is {sizes}")
    length, last = len(video.file_names), columns.indices[-1]
    if last >= length:
        raise BadInputError(f"{truth.path}: video {video.id} has {length} frames, fewer than {source}")
    # What a folder says is true, what a video file says may be wrong by a frame.
    leeway = 0 if Path(source).is_dir() else 1
    if columns.num_frames is not None and abs(columns.num_frames - length) > leeway:
        count = f"{source} {columns.num_frames}: their frames are not the same"
        raise BadInputError(f"{truth.path}: video {video.id} has {length} frames, {count}")


def _draw(rows: Sequence[_Row], columns: _Columns) -> UInt8[np.ndarray, "height width 3"]:
    """Rows of overlays; a track has the number and colour of the one in the first row that it fits best."""
    drawn = []
    titles = short_titles([row.title for row in rows])
    first = rows[0].tracks
    for title, row in zip(titles, rows, strict=True):
        numbers = matching_ids(columns.video, first, row.tracks, SAME_OBJECT_IOU)
        pictures = [
            overlay_tracks(picture, column, columns.video, row.tracks, numbers, row.names)
            for column, picture in enumerate(columns.pictures)
        ]
        drawn.append(StripRow(title, pictures))
    return draw_strip(drawn, [f"frame {index}" for index in columns.indices])
