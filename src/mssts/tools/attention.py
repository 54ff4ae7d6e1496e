"""The verb `attention`: what the encoder attends to, as a video or a figure, for one model or two (paper: Fig. 3)."""

import argparse
from collections.abc import Generator
from contextlib import ExitStack, closing
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from mssts.api import DEFAULT_CONFIDENCE, Segmenter, load
from mssts.errors import PartialInputError, UsageError
from mssts.inspect.common_numbers import CommonNumbers
from mssts.inspect.recorder import switch_off_ms_sts
from mssts.inspect.views import FrameView, encoder_views, track_views
from mssts.predict.job import Fault
from mssts.predict.video import open_source
from mssts.predict.video_writer import VideoWriter
from mssts.tools.allocator import keep_freed_memory
from mssts.tools.figure_files import SourceFacts, check_columns, check_out, look_at, save_picture, short_titles
from mssts.visualize.attention_panel import draw_panel
from mssts.visualize.strip import StripRow, add_caption, beside, draw_strip

BASELINE = "baseline"
CAPTION = "Bright: where the encoder's output at its finest level is most active."
TRACKS_CAPTION = (
    " Dots: where the decoder looks for a track, larger where it counts more."
    " Bars: how much each frame of the window counts for the track; the frame on show is framed."
    " Dark lines: how much temporal attention looks at each frame; grey: all alike."
)


class _Shown(NamedTuple):
    """A model and what it is called in the figure."""

    title: str
    segmenter: Segmenter


def run_attention(options: argparse.Namespace) -> int:
    """Write the video or the figure.

    Raises:
        UsageError: There is no MS-STS attention to switch off, or a video is to have columns.
        BadInputError: The source or a frame is not there, or the output is.
        PartialInputError: The source broke off; a video holds all frames before that, a figure some of them.
    """
    is_video = options.out.suffix.lower() == ".mp4"
    if is_video and options.frames:
        raise UsageError("attention: --frames goes with a figure (.png, .jpg), a video holds all frames")
    keep_freed_memory()
    check_out(options.out, options.source, options.overwrite)
    facts = look_at(options.source)
    models = _load(options)
    fault = Fault()
    if is_video:
        _write_video(options, models, facts, fault)
    else:
        _write_figure(options, models, facts, fault)
    if not options.quiet:
        print(options.out)
    # Whoever chose the columns got all of them.
    if fault.reason is not None and not options.frames:
        raise PartialInputError(f"{fault.reason}; {options.out} holds the frames before that")
    return 0


def _load(options: argparse.Namespace) -> list[_Shown]:
    """The models in the order of the panels: what is to be compared with comes first, as in the paper."""
    main = load(options.model, options.device)
    (title,) = short_titles([options.model])
    if options.beside is None:
        return [_Shown(title, main)]
    if options.beside == BASELINE:
        silent = load(options.model, options.device)
        switch_off_ms_sts(silent.model)
        return [_Shown(f"{title}, MS-STS off", silent), _Shown(title, main)]
    other_title, title = short_titles([options.beside, options.model])
    return [_Shown(other_title, load(options.beside, options.device)), _Shown(title, main)]


def _views(options: argparse.Namespace, shown: _Shown, fault: Fault) -> Generator[FrameView, None, None]:
    """A model's view of the source, which is decoded for each model."""
    confidence = DEFAULT_CONFIDENCE if options.conf is None else options.conf
    settings = shown.segmenter.settings(confidence=confidence, window=options.window, short_side=options.short_side)
    look = track_views if options.tracks else encoder_views
    with open_source(options.source) as video:
        yield from look(shown.segmenter.model, fault.guard(iter(video)), settings, options.measure)


def _side_by_side(
    options: argparse.Namespace, models: list[_Shown], fault: Fault, total: int | None
) -> Generator[tuple[FrameView, ...], None, None]:
    """Each frame as all models see it, with a progress bar; one object has one number in all of them."""
    with ExitStack() as stack:
        streams = [stack.enter_context(closing(_views(options, shown, fault))) for shown in models]
        numbers = CommonNumbers()
        for views in tqdm(
            zip(*streams, strict=True), total=total, unit="frame", disable=options.quiet, dynamic_ncols=True
        ):
            yield (views[0], *(numbers.apply(views[0], view) for view in views[1:]))


def _write_video(options: argparse.Namespace, models: list[_Shown], facts: SourceFacts, fault: Fault) -> None:
    """One frame in, one frame out; the colours follow the scale so far."""
    titles = [shown.title for shown in models]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        writer: VideoWriter | None = None
        for views in _side_by_side(options, models, fault, facts.num_frames):
            panels = [
                draw_panel(view, shown.segmenter.names, view.scale, options.tracks)
                for view, shown in zip(views, models, strict=True)
            ]
            picture = panels[0] if len(panels) == 1 else beside(panels, titles)
            if writer is None:
                height, width, _ = picture.shape
                writer = stack.enter_context(VideoWriter(options.out, facts.fps, width, height))
            writer.write(picture)


def _write_figure(options: argparse.Namespace, models: list[_Shown], facts: SourceFacts, fault: Fault) -> None:
    """A row per model, a column per frame; a row's colours have one scale, that of all frames up to the last column."""
    wanted = options.frames or facts.spread_frames()
    kept: list[tuple[FrameView, ...]] = []
    num_frames = 0
    with closing(_side_by_side(options, models, fault, wanted[-1] + 1)) as frames:
        for num_frames, views in enumerate(frames, start=1):
            if views[0].result.index in wanted:
                kept.append(views)
            if num_frames > wanted[-1]:
                break
    check_columns(options.source, options.frames, num_frames, fault.reason)
    rows = [
        StripRow(shown.title, _row(options, shown, list(column)))
        for shown, column in zip(models, zip(*kept, strict=True), strict=True)
    ]
    strip = draw_strip(rows, [f"frame {views[0].result.index}" for views in kept])
    save_picture(add_caption(strip, CAPTION + TRACKS_CAPTION * options.tracks), options.out)


def _row(options: argparse.Namespace, shown: _Shown, views: list[FrameView]) -> list[UInt8[np.ndarray, "_h _w 3"]]:
    scale = views[-1].scale
    return [draw_panel(view, shown.segmenter.names, scale, options.tracks) for view in views]
