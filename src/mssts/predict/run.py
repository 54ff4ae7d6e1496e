"""The `predict` command: a source goes in, a run folder with overlay video, results and masks comes out."""

import glob
import os
import zlib
from collections.abc import Collection, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from tqdm import tqdm

from mssts.api import Mode, Segmenter
from mssts.errors import BadInputError, MsstsError, PartialInputError, ResourceError
from mssts.predict.images import SUFFIXES
from mssts.predict.in_background import InBackground
from mssts.predict.job import near_online_job, offline_job
from mssts.predict.near_online import BEST_SCORE
from mssts.predict.run_folder import SPOOL_NAME, Output, RunFolder
from mssts.predict.settings import PredictSettings
from mssts.predict.stored import from_stored
from mssts.predict.summary import TrackSummary, no_tracks, summarise
from mssts.predict.track_store import TrackStore
from mssts.predict.video import VideoSource, open_source

# Frames with their masks, about 1 MB per instance at 720p, that may wait to be drawn and encoded.
MOST_UNWRITTEN = 4
STAGED_JSON_NAME = "results.json.ready.part"


@dataclass(frozen=True)
class RunOptions:
    """What to predict, how, and where to put it.

    Attributes:
        source: Video file, folder, glob pattern or webcam index.
        out: The run folder.
        save: Kinds of output.
        mode: Near-online windows or the official offline protocol.
        overwrite: Replace the outputs of an earlier run.
        resume: Go on with an interrupted run in the same folder.
        progress: Show a progress bar.
    """

    source: str
    out: Path
    save: Collection[Output] = ("video", "json")
    mode: Mode = "near-online"
    overwrite: bool = False
    resume: bool = False
    progress: bool = True


class RunReport(NamedTuple):
    """What a run made: a text for people, and why it is partial if it is."""

    text: str
    num_frames: int
    partial: MsstsError | None


class InterruptedRunError(MsstsError):
    """The user stopped the run; what was done is kept."""

    exit_code = 4


def predict_to_folder(segmenter: Segmenter, settings: PredictSettings, options: RunOptions) -> RunReport:
    """Predict a source and write the outputs as they come.

    On Ctrl-C a file's run keeps its tracks so far for `resume`, and a live source is finished as if it had ended. If
    the source breaks off, the outputs hold all frames before that, and the report says so.

    Raises:
        MsstsError: As the command line reports them; nothing half-written has a final name then.
    """
    with open_source(options.source) as video:
        header = _header(video, segmenter, settings, options)
        fps, total, is_live = video.fps, video.num_frames_hint, video.is_live
    _check_folder(options)
    # Outputs beside an interrupted run are older ones it was to replace, or its own, if it was stopped at the very end.
    folder = RunFolder(options.out, options.save, fps, options.overwrite or options.resume, options.resume)
    partial: MsstsError | None = None
    try:
        with closing(_open_store(folder.spool_path, header, options.resume)) as store:
            try:
                _write_frames(segmenter, settings, options, folder, store, total)
            except PartialInputError as error:
                partial = error
            except KeyboardInterrupt:
                if not is_live:
                    raise
            report = _finish(segmenter, folder, store, partial)
    except KeyboardInterrupt:
        can_resume = options.mode == "near-online"
        folder.abort(keep_spool=can_resume)
        hint = "the same command with --resume goes on" if can_resume else "offline mode has to start over"
        raise InterruptedRunError(f"{options.out}: stopped; {hint}") from None
    except BaseException:
        folder.abort(keep_spool=options.resume)
        raise
    return report


def _check_folder(options: RunOptions) -> None:
    """Refuse a run folder in which something would be lost.

    Raises:
        BadInputError: It holds the source, an interrupted run that nobody asked to resume or drop, or none to resume.
        ResourceError: Its name cannot be used.
    """
    try:
        is_interrupted = (options.out / SPOOL_NAME).exists()
        source, out = Path(options.source).resolve(), options.out.resolve()
    except (OSError, ValueError) as error:
        raise ResourceError(f"{str(options.out)[:100]}: cannot be a run folder ({error})") from error
    outputs = {out / name for name in ("overlay.mp4", "results.json", "masks")}
    if not outputs.isdisjoint((source, source.parent)):
        raise BadInputError(f"{options.source}: would be replaced by an output in {options.out}; choose another folder")
    if is_interrupted and not (options.resume or options.overwrite):
        raise BadInputError(f"{options.out}: holds an interrupted run; --resume goes on, --overwrite starts over")
    if options.resume and not is_interrupted:
        raise BadInputError(f"{options.out}: holds no interrupted run to resume")


def _stamp(source: Path) -> list[int]:
    """Sizes and times of a source's files, by which a change is noticed."""
    if source.is_file():
        files = [source]
    else:
        found = source.iterdir() if source.is_dir() else map(Path, glob.glob(str(source), recursive=True))
        # A run folder may lie in the folder of pictures.
        files = sorted(path for path in found if path.suffix.lower() in SUFFIXES and path.is_file())
    return [number for path in files for number in (path.stat().st_size, path.stat().st_mtime_ns)]


def _fingerprint(model: torch.nn.Module) -> int:
    """A checksum of all weights."""
    checksum = 0
    for tensor in model.state_dict().values():
        checksum = zlib.crc32(tensor.detach().cpu().contiguous().numpy().tobytes(), checksum)
    return checksum


def _header(video: VideoSource, segmenter: Segmenter, settings: PredictSettings, options: RunOptions) -> dict:
    """What must be the same for a run to be resumed."""
    path = Path(options.source)
    return {
        "source": str(path.resolve()) if path.exists() else options.source,
        "stamp": _stamp(path),
        "width": video.width,
        "height": video.height,
        "mode": options.mode,
        "settings": asdict(settings),
        "categories": [list(category) for category in segmenter.model.config.categories],
        "model": asdict(segmenter.model.config) | {"categories": None},
        "weights": _fingerprint(segmenter.model),
    }


def _open_store(path: Path, header: dict, resume: bool) -> TrackStore:
    """A new store, or the one of an interrupted run.

    Raises:
        BadInputError: The interrupted run was made from something else.
    """
    if not resume:
        return TrackStore.create(path, header)
    store = TrackStore.open(path)
    changes = list(_changes(store.header, header))
    if changes:
        store.close()
        raise BadInputError(f"{path.parent}: cannot resume: {'; '.join(changes)}; --overwrite starts over")
    return store


def _changes(before: dict, now: dict) -> Iterator[str]:
    """Say what differs between the run that was interrupted and the one that would go on."""
    for key, value in now.items():
        old, new = _plain(before.get(key)), _plain(value)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _changes(old, new)
        elif key == "stamp" and old != new:
            yield "the source has changed"
        elif old != new:
            yield f"{key} was {old}, is {new}"


def _plain(value: object) -> object:
    """A value as it comes back from JSON, where tuples are lists."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _write_frames(
    segmenter: Segmenter,
    settings: PredictSettings,
    options: RunOptions,
    folder: RunFolder,
    store: TrackStore,
    total: int | None,
) -> None:
    """Draw the frames of an interrupted run from the store, then predict the rest."""
    job = near_online_job if options.mode == "near-online" else offline_job
    bar = tqdm(total=total, unit="frame", disable=not options.progress, dynamic_ncols=True)
    # Drawing and video encoding go on beside the model: they use the cores where the model leaves one idle.
    write = partial(folder.write_frame, names=segmenter.names)
    with bar, InBackground(write, MOST_UNWRITTEN) as writer:
        if store.num_frames:
            with open_source(options.source) as video:
                for frame, stored in zip(video, store.frames(), strict=False):
                    writer.add(from_stored(frame, stored))
                    bar.update()
        for result in job(segmenter.model, options.source, settings, store):
            writer.add(result)
            bar.update()


def _finish(segmenter: Segmenter, folder: RunFolder, store: TrackStore, partial: MsstsError | None) -> RunReport:
    """Give all outputs their final names and say what there is.

    The results file gets its name last: if the video or a mask cannot be finished, an older one is still whole.
    """
    staged = folder.path / STAGED_JSON_NAME
    try:
        if "json" in folder.save:
            store.write_youtube_vis(staged, video_id=1, categories=segmenter.model.config.categories)
        rows = list(_rows(store, segmenter.names))
        num_frames, nothing = store.num_frames, _why_nothing(store)
        folder.finish()
        if "json" in folder.save:
            os.replace(staged, folder.json_path)
    finally:
        staged.unlink(missing_ok=True)
    return RunReport(summarise(rows, folder.outputs, nothing), num_frames, partial)


def _why_nothing(store: TrackStore) -> str:
    """What to say if no track is shown."""
    settings, state = store.header["settings"], store.linker_state() or {}
    best_score = float(state[BEST_SCORE]) if BEST_SCORE in state else None
    # The store keeps the class scores of all tracks, also of those that it shows nowhere.
    were_brief = store.header["mode"] == "near-online" and next(store.class_sums(), None) is not None
    return no_tracks(settings["confidence"], best_score, were_brief and not settings["keep_brief"])


def _rows(store: TrackStore, names: list[str]) -> list[TrackSummary]:
    """A line of the summary per track."""
    rows = []
    for track in store.tracks():
        slot = int(track.class_scores.argmax())
        score = float(track.class_scores[slot])
        times = (store.time_s(track.first_frame), store.time_s(track.last_frame))
        span = (track.first_frame, track.last_frame)
        rows.append(TrackSummary(track.track_id, names[slot], score, *span, track.num_visible, *times))
    return rows
