"""The command line: verbs only. Torch is imported after the arguments are parsed, so that `--help` answers at once."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from mssts import __version__
from mssts.errors import BadInputError, MsstsError, PartialInputError, ResourceError
from mssts.locate import find_local
from mssts.tools.compare_options import add_compare_options
from mssts.tools.data_options import add_check_options, add_data_convert_options, add_synthesize_options
from mssts.tools.evaluate_options import add_evaluate_options
from mssts.tools.figure_options import add_attention_options, add_plot_ap_options, add_strip_options
from mssts.tools.option_types import COMPILE_HELP, PRECISION_HELP, PRECISIONS, natural, positive, share, size
from mssts.tools.submission_options import add_submission_options
from mssts.tools.waiting import wait_shortly

EPILOG = """\
examples:
  mssts demo                                     the bundled model on the bundled clip
  mssts predict street.mp4 --out runs/street     overlay video and tracks of your own video
  mssts predict frames/ --save json,masks        a folder of pictures; results and mask PNGs
  mssts data synthesize data/shapes              a synthetic data set with exact truth
  mssts train --config configs/tiny.yaml         train; --resume auto goes on after an interruption
  mssts evaluate --data data/shapes --model tiny video AP
  mssts compare a.json b.json --gt gt.json       is B better than A, and where
  mssts submit r.json --data valid.json --out r.zip   for an evaluation server
  mssts attention street.mp4 --beside baseline --out a.mp4   what the encoder attends to
  mssts convert seqformer_r50.pth models/r50     official weights to this project's format
exit codes: 0 done, 2 usage, 3 bad input, 4 partial output, 5 disk or memory, 6 checkpoint refused
"""
OUTPUTS = ("video", "json", "masks")


class OneLineParser(argparse.ArgumentParser):
    """Tells a usage error in one line, as all other errors are told; its subparsers do so too."""

    def error(self, message: str) -> NoReturn:
        """Leave with exit code 2."""
        self.exit(2, f"{self.prog}: {message} (options: {self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb; every error that a user can cause becomes one line on stderr and an exit code."""
    wait_shortly()
    options = parse(list(sys.argv[1:] if arguments is None else arguments))
    try:
        return options.run(options)
    except MsstsError as error:
        return _fail(options, error, error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (MemoryError, OSError) as error:
        return _fail(options, error, ResourceError.exit_code)
    except RuntimeError as error:
        if "memory" not in str(error):  # torch's words for a machine that gave out, on CPU and GPU
            raise
        return _fail(options, error, ResourceError.exit_code)
    except KeyboardInterrupt:
        print("mssts: stopped", file=sys.stderr)
        return PartialInputError.exit_code


def parse(arguments: list[str]) -> argparse.Namespace:
    """The chosen verb and its options; training's own, which follow its configuration, are left for it to parse."""
    if arguments and arguments[0] in WITH_OWN_OPTIONS:
        run = WITH_OWN_OPTIONS[arguments[0]]
        return argparse.Namespace(run=run, rest=arguments[1:], debug="--debug" in arguments)
    return build_parser().parse_args(arguments)


def _fail(options: argparse.Namespace, error: BaseException, code: int) -> int:
    """Print the error as one line, or as a traceback with --debug."""
    if options.debug:
        raise error
    print(f"mssts: {' '.join(str(error).split()) or type(error).__name__}", file=sys.stderr)
    return code


def build_parser() -> argparse.ArgumentParser:
    """The verbs and their options."""
    parser = OneLineParser(
        prog="mssts",
        description="Video instance segmentation: detect, segment and track every object of known categories.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"mssts {__version__}")
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")
    _add_demo(verbs)
    _add_predict(verbs)
    _add_verb(verbs, "train", _train, "Train a model on YouTube-VIS-format, COCO or synthetic data.")
    _add_evaluate(verbs)
    _add_compare(verbs)
    _add_submit(verbs)
    _add_figures(verbs)
    _add_data(verbs)
    _add_verb(verbs, "ablate", _ablate, "Train and compare the paper's four models (Table 3) over several seeds.")
    _add_convert(verbs)
    _add_benchmark(verbs)
    _add_info(verbs)
    return parser


def _add_verb(
    verbs: "argparse._SubParsersAction[OneLineParser]",
    name: str,
    run: Callable[[argparse.Namespace], int],
    help_text: str,
) -> argparse.ArgumentParser:
    """A verb with the options that all have."""
    verb = verbs.add_parser(name, help=help_text, description=help_text)
    verb.add_argument("--debug", action="store_true", help="show the traceback of an error")
    verb.set_defaults(run=run)
    return verb


def _add_demo(verbs: "argparse._SubParsersAction[OneLineParser]") -> None:
    verb = _add_verb(verbs, "demo", _demo, "Run the bundled model on the bundled clip; no download.")
    verb.add_argument("--out", type=Path, default=Path("runs/demo"), help="run folder (default: %(default)s)")


def _add_predict(verbs: "argparse._SubParsersAction[OneLineParser]") -> None:
    verb = _add_verb(verbs, "predict", _predict, "Segment and track the objects of a video.")
    verb.add_argument("source", metavar="SOURCE", help="video file, folder of frames, glob pattern, or webcam index")
    verb.add_argument("--model", default="tiny", help="bundled name, file, folder or hub id (default: %(default)s)")
    verb.add_argument("--out", type=Path, help="run folder (default: runs/ and the source's name)")
    verb.add_argument("--conf", type=share, default=None, help="score from which a track begins, 0..1 (default: 0.4)")
    verb.add_argument("--save", type=_outputs, default=["video", "json"], help="comma list of video, json, masks")
    verb.add_argument(
        "--mode", choices=("near-online", "offline"), default="near-online", help="(default: %(default)s)"
    )
    verb.add_argument("--window", type=positive, help="frames per window (default: the model's)")
    verb.add_argument("--overlap", type=natural, help="frames that windows share (default: 2)")
    verb.add_argument(
        "--doubt", type=share, default=0.5, help="a track goes on from this share of --conf (default: 0.5)"
    )
    verb.add_argument("--keep-brief", action="store_true", help="also report tracks that only one window is sure of")
    verb.add_argument("--short-side", type=positive, help="resize the shorter side to this (default: the model's)")
    verb.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, … (default: %(default)s)")
    verb.add_argument("--precision", choices=PRECISIONS, default="fp32", help=PRECISION_HELP)
    verb.add_argument("--compile", action="store_true", help=COMPILE_HELP)
    verb.add_argument("--overwrite", action="store_true", help="replace the outputs of an earlier run")
    verb.add_argument("--resume", action="store_true", help="go on with an interrupted run")
    verb.add_argument("--quiet", action="store_true", help="no progress bar and no summary")


def _add_evaluate(verbs: "argparse._SubParsersAction[OneLineParser]") -> None:
    help_text = "Video AP of a results file, or of a model on a data set."
    add_evaluate_options(_add_verb(verbs, "evaluate", _evaluate, help_text))


def _add_compare(verbs: "argparse._SubParsersAction[OneLineParser]") -> None:
    help_text = "Differences between two results files, with intervals, and the videos that changed most."
    add_compare_options(_add_verb(verbs, "compare", _compare, help_text))


def _add_submit(verbs: "argparse._SubParsersAction[OneLineParser]") -> None:
    help_text = "Check a results file and pack it for the evaluation servers of YouTube-VIS and OVIS."
    add_submission_options(_add_verb(verbs, "submit", _submit, help_text))


def _add_figures(verbs: "argparse._SubParsersAction[OneLineParser]") -> None:
    help_text = "What the encoder attends to, and the decoder for each track (the paper's Fig. 3)."
    add_attention_options(_add_verb(verbs, "attention", _attention, help_text))
    help_text = "Frames of a video in columns, models or results files in rows (the paper's Figs. 1, 4 and 5)."
    add_strip_options(_add_verb(verbs, "strip", _strip, help_text))
    help_text = "AP against parameters: the published numbers and your own (the paper's Fig. 1)."
    add_plot_ap_options(_add_verb(verbs, "plot-ap", _plot_ap, help_text))


def _add_data(verbs: "argparse._SubParsersAction[OneLineParser]") -> None:
    group = verbs.add_parser("data", help="Check, convert and synthesize data sets.")
    actions = group.add_subparsers(title="actions", required=True, metavar="ACTION")
    add_check_options(_add_verb(actions, "check", _data_check, "Find every fault of a data set in one pass."))
    help_text = "Bring DAVIS, COCO or MOTS annotations to YouTube-VIS form."
    add_data_convert_options(_add_verb(actions, "convert", _data_convert, help_text))
    help_text = "Write a set of synthetic videos with exact truth."
    add_synthesize_options(_add_verb(actions, "synthesize", _data_synthesize, help_text))


def _add_convert(verbs: "argparse._SubParsersAction[OneLineParser]") -> None:
    help_text = "Convert official SeqFormer, MS-STS VIS or Deformable DETR weights."
    verb = _add_verb(verbs, "convert", _convert, help_text)
    verb.add_argument("official", metavar="OFFICIAL.pth", type=Path)
    verb.add_argument("out", metavar="OUT", type=Path, help="folder for model.safetensors")
    verb.add_argument("--categories", help="what the class slots mean: ytvis2019, ytvis2021, or an annotation file")
    verb.add_argument("--preset", help="make this model instead of the baseline; its new parts start as no change")


def _add_benchmark(verbs: "argparse._SubParsersAction[OneLineParser]") -> None:
    verb = _add_verb(verbs, "benchmark", _benchmark, "Measure time by part, peak memory and share of the machine.")
    verb.description = (
        "Several presets, sizes, clip lengths or precisions make a table with a row for each combination."
    )
    verb.add_argument("--preset", nargs="+", default=["baseline-r50"], help="(default: baseline-r50)")
    verb.add_argument("--size", type=size, nargs="+", default=[(360, 640)], metavar="HxW", help="(default: 360x640)")
    verb.add_argument("--frames", type=positive, nargs="+", default=[5], metavar="T", help="per clip (default: 5)")
    verb.add_argument("--precision", choices=PRECISIONS, nargs="+", default=["fp32"], help=PRECISION_HELP)
    verb.add_argument("--compile", action="store_true", help=COMPILE_HELP)
    verb.add_argument("--train", action="store_true", help="a training step instead of inference")
    verb.add_argument("--checkpointing", action="store_true", help="with --train: recompute encoder layers")
    verb.add_argument("--evaluate", action="store_true", help="the evaluator on a large case instead of a model")
    verb.add_argument("--videos", type=positive, default=300, help="with --evaluate (default: %(default)s)")
    verb.add_argument("--repeat", type=positive, default=3, help="runs; the median counts, with --evaluate the best")
    verb.add_argument("--device", default="auto", help="cpu, cuda, … (default: %(default)s)")
    verb.add_argument("--json", type=Path, help="also write the numbers here")


def _add_info(verbs: "argparse._SubParsersAction[OneLineParser]") -> None:
    verb = _add_verb(verbs, "info", _info, "Show versions, devices, presets, and what a model file holds.")
    verb.add_argument("--model", help="bundled name, file, folder or hub id")


def _outputs(text: str) -> list[str]:
    """Kinds of output, separated by commas."""
    chosen = [part.strip() for part in text.split(",") if part.strip()]
    unknown = set(chosen) - set(OUTPUTS)
    if unknown or not chosen:
        raise argparse.ArgumentTypeError(f"'{text}' is not a comma list of {', '.join(OUTPUTS)}")
    return chosen


def _demo(options: argparse.Namespace) -> int:
    from mssts.tools.demo import run_demo

    return run_demo(options.out)


def _check_source(source: str) -> None:
    """Raise BadInputError for a mistyped path, which should not cost the seconds of importing torch."""
    is_pattern = any(character in source for character in "*?[")
    if not (is_pattern or source.isdecimal() or os.path.exists(source)):
        raise BadInputError(f"{source}: no such file or folder")


def _predict(options: argparse.Namespace) -> int:
    _check_source(options.source)
    find_local(options.model)
    from mssts.tools.predict import run_predict

    return run_predict(options)


def _convert(options: argparse.Namespace) -> int:
    from mssts.tools.convert import run_convert

    return run_convert(options.official, options.out, options.categories, options.preset)


def _benchmark(options: argparse.Namespace) -> int:
    if options.evaluate:
        from mssts.tools.benchmark_evaluate import run_benchmark_evaluate

        return run_benchmark_evaluate(options)
    from mssts.tools.benchmark import run_benchmark

    return run_benchmark(options)


def _info(options: argparse.Namespace) -> int:
    from mssts.tools.info import run_info

    return run_info(options.model)


def _train(options: argparse.Namespace) -> int:
    from mssts.tools.train import run_train

    return run_train(options.rest)


def _ablate(options: argparse.Namespace) -> int:
    from mssts.tools.ablate import run_ablate

    return run_ablate(options.rest)


def _evaluate(options: argparse.Namespace) -> int:
    from mssts.tools.evaluate import run_evaluate

    return run_evaluate(options)


def _compare(options: argparse.Namespace) -> int:
    from mssts.tools.compare import run_compare

    return run_compare(options)


def _submit(options: argparse.Namespace) -> int:
    from mssts.tools.submission import run_submission

    return run_submission(options)


def _attention(options: argparse.Namespace) -> int:
    _check_source(options.source)
    from mssts.tools.attention import run_attention

    return run_attention(options)


def _strip(options: argparse.Namespace) -> int:
    _check_source(options.source)
    from mssts.tools.strip import run_strip

    return run_strip(options)


def _plot_ap(options: argparse.Namespace) -> int:
    from mssts.tools.plot_ap import run_plot_ap

    return run_plot_ap(options)


def _data_check(options: argparse.Namespace) -> int:
    from mssts.tools.data_check import run_check

    return run_check(options.folder, options.split, options.all)


def _data_convert(options: argparse.Namespace) -> int:
    from mssts.tools.data_convert import run_data_convert

    return run_data_convert(options)


def _data_synthesize(options: argparse.Namespace) -> int:
    from mssts.tools.synthesize import run_synthesize

    return run_synthesize(options)


# These parse their options themselves: they are the fields of the training's configuration.
WITH_OWN_OPTIONS = {"train": _train, "ablate": _ablate}


if __name__ == "__main__":
    sys.exit(main())
