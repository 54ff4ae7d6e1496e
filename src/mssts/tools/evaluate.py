"""The verb `evaluate`: the official numbers of a results file, or of a model on a data set."""

import argparse
import json
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from mssts.atomic_file import refuse_overwriting, write_atomically
from mssts.data.video_set import VideoSet, load_video_set
from mssts.errors import BadInputError, UsageError
from mssts.evaluate.analysis import PARTS, Analysis, Part, analyse
from mssts.evaluate.results_file import AnyResult, Result, StoredResult, open_nonempty_results, save_results
from mssts.locate import find_checkpoint
from mssts.tools.evaluation_tables import as_csv, as_facts, as_text


def run_evaluate(options: argparse.Namespace) -> int:
    """Evaluate, print the tables, and write the files that were asked for.

    Raises:
        UsageError: The options name neither a results file with its truth nor a model with a data set.
        BadInputError: The set, the results or the model's frames cannot be used.
    """
    truth, results = _from_files(options) if options.results else _from_model(options)
    parts: list[Part] = [part for part in PARTS if options.report or getattr(options, part)]
    name = str(options.results or "results")
    analysis = analyse(truth, results, parts, name, progress=not options.quiet)
    # Files first: whoever reads the table may close the pipe early.
    if options.json:
        write_atomically(options.json, json.dumps(as_facts(truth, analysis), indent=1) + "\n")
    if options.csv:
        write_atomically(options.csv, as_csv(truth, analysis))
    if options.report:
        title = f"{options.results or options.model} on {truth.path}"
        _write_report(truth, results, analysis, options.report, title)
    print(as_text(truth, analysis))
    return 0


def _write_report(truth: VideoSet, results: Sequence[AnyResult], analysis: Analysis, folder: Path, title: str) -> None:
    """Write the page.

    Raises:
        BadInputError: The libraries of the report are not installed.
        ResourceError: The folder cannot be written.
    """
    for library in ("jinja2", "matplotlib"):
        if find_spec(library) is None:
            raise BadInputError(f"the report needs {library}: pip install -e '.[train,viz]' in the project's folder")
    from mssts.report.page import write_report

    path = write_report(truth, results, analysis, folder, title)
    print(f"report: {path}", file=sys.stderr)


def _outputs(options: argparse.Namespace) -> list[Path | None]:
    return [options.json, options.csv, options.save_results]


def _from_files(options: argparse.Namespace) -> tuple[VideoSet, list[StoredResult]]:
    """The ground truth and results that the options name; needs no torch."""
    if options.gt is None or options.model is not None or options.data is not None:
        raise UsageError("evaluate: --results goes with --gt, --model with --data")
    if not options.gt.is_file():
        raise BadInputError(f"{options.gt}: no such file")
    truth = _with_truth(load_video_set(options.gt))
    refuse_overwriting(_outputs(options), [truth.path, options.results])
    return truth, open_nonempty_results(options.results, truth)


def _from_model(options: argparse.Namespace) -> tuple[VideoSet, list[Result]]:
    """The results of a model on a data set."""
    if options.model is None or options.data is None or options.gt is not None:
        raise UsageError("evaluate: give --gt and --results, or --data and --model")
    path = find_checkpoint(options.model)
    truth = _with_truth(load_video_set(options.data, options.split))
    refuse_overwriting(_outputs(options), [truth.path, path])
    from mssts.api import pick_device
    from mssts.checkpoint import load_model
    from mssts.evaluate.run_model import evaluate_model
    from mssts.tools.allocator import keep_freed_memory

    keep_freed_memory()
    results = evaluate_model(
        load_model(path),
        truth,
        device=pick_device(options.device),
        mode=options.mode,
        window=options.window,
        short_side=options.short_side,
        progress=not options.quiet,
    )
    if options.save_results:
        save_results(results, options.save_results)
    return truth, results


def _with_truth(truth: VideoSet) -> VideoSet:
    """The set itself.

    Raises:
        BadInputError: It has no ground truth.
    """
    if not truth.has_truth:
        raise BadInputError(f"{truth.path}: has no ground truth, as the sets of evaluation servers have none")
    return truth
