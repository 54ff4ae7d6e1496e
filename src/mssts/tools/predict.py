"""The verb `predict`: fill in defaults, run, report."""

import argparse
import re
import sys
from pathlib import Path

from mssts.api import DEFAULT_CONFIDENCE, load
from mssts.predict.run import RunOptions, RunReport, predict_to_folder
from mssts.tools.allocator import keep_freed_memory

USAGE_ERROR = 2
TINY_NOTICE = (
    "note: the bundled model knows synthetic shapes only (striped or dotted discs, squares, triangles, stars); "
    "for people, animals and vehicles give --model (README: Official weights)"
)


def run_predict(options: argparse.Namespace) -> int:
    """Predict a source into a run folder; 0 when done, 4 when the source broke off, 2 for options that do not fit."""
    keep_freed_memory()
    if options.model == "tiny" and not options.quiet:
        print(TINY_NOTICE, file=sys.stderr)
    segmenter = load(options.model, options.device, options.compile)
    if fault := misfit(options, segmenter.model.config.num_frames):
        print(f"mssts predict: {fault}", file=sys.stderr)
        return USAGE_ERROR
    confidence = options.conf if options.conf is not None else DEFAULT_CONFIDENCE
    settings = segmenter.settings(
        confidence=confidence,
        window=options.window,
        overlap=options.overlap,
        short_side=options.short_side,
        doubt=options.doubt,
        keep_brief=options.keep_brief,
        precision=options.precision,
    )
    run = RunOptions(
        source=options.source,
        out=options.out or default_folder(options.source),
        save=options.save,
        mode=options.mode,
        overwrite=options.overwrite,
        resume=options.resume,
        progress=not options.quiet,
    )
    return report(predict_to_folder(segmenter, settings, run), options.quiet)


def misfit(options: argparse.Namespace, num_frames: int) -> str | None:
    """What is wrong with options that are fine one by one; `num_frames` is the model's window length."""
    window = num_frames if options.window is None else options.window
    if options.overlap is not None and options.overlap >= window:
        return f"--overlap {options.overlap} must be less than the window of {window} frames (--window)"
    if options.resume and options.mode == "offline":
        return "--resume works in near-online mode; offline mode starts over"
    return None


def default_folder(source: str) -> Path:
    """`runs/` and the source's name, in letters that every file system takes."""
    stem = Path(source).stem if Path(source).is_file() else Path(source).name
    return Path("runs") / (re.sub(r"[^\w.-]+", "_", stem).strip("._") or "prediction")


def report(run: RunReport, quiet: bool = False) -> int:
    """Print the summary; a run whose source broke off says so and has its own exit code."""
    if not quiet:
        print(run.text)
    if run.partial is None:
        return 0
    print(f"mssts: {run.partial}; the outputs hold the {run.num_frames} frames before that", file=sys.stderr)
    return run.partial.exit_code
