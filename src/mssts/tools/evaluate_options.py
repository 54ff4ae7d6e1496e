"""The options of the verb `evaluate`; imports nothing slow."""

import argparse
from pathlib import Path

from mssts.tools.option_types import COMPILE_HELP, PRECISION_HELP, PRECISIONS, positive, share


def add_evaluate_options(verb: argparse.ArgumentParser) -> None:
    """Add the options that `tools.evaluate.run_evaluate` reads."""
    verb.add_argument("--gt", type=Path, metavar="FILE", help="annotation file with ground truth; goes with --results")
    verb.add_argument("--data", type=Path, metavar="DIR", help="folder of a data set; goes with --model")
    verb.add_argument("--results", type=Path, metavar="FILE", help="results in YouTube-VIS form; goes with --gt")
    verb.add_argument("--model", help="bundled name, file, folder or hub id; goes with --data")
    verb.add_argument("--split", default="valid", help="split of --data (default: %(default)s)")
    modes = ("near-online", "offline")
    help_text = "windows as mssts predict takes them, or the official protocol (default: %(default)s)"
    verb.add_argument("--mode", choices=modes, default="near-online", help=help_text)
    verb.add_argument("--attributes", action="store_true", help="also AP by the paper's attributes of videos")
    verb.add_argument("--lengths", action="store_true", help="also AP by the length of tracks")
    verb.add_argument("--errors", action="store_true", help="also errors by kind, and the AP50 that mending each gains")
    verb.add_argument("--tracking", action="store_true", help="also HOTA, J&F and flicker")
    help_text = "for --tracking and --report: results below this are no tracks, 0..1 (default: 0.4)"
    verb.add_argument("--min-score", type=share, metavar="S", help=help_text)
    verb.add_argument("--report", type=Path, metavar="DIR", help="write all of this as one HTML page with pictures")
    verb.add_argument("--json", type=Path, metavar="FILE", help="write the numbers here, as shares of 1")
    verb.add_argument("--csv", type=Path, metavar="FILE", help="write the numbers here, a row per table row")
    verb.add_argument("--save-results", type=Path, metavar="FILE", help="write the model's results here")
    verb.add_argument("--precision", choices=PRECISIONS, help=PRECISION_HELP)
    verb.add_argument("--compile", action="store_true", help=COMPILE_HELP)
    verb.add_argument("--window", type=positive, metavar="T", help="frames per pass of the model (default: its own)")
    verb.add_argument("--short-side", type=positive, metavar="N", help="resize frames to this (default: the model's)")
    verb.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, … (default: %(default)s)")
    verb.add_argument("--quiet", action="store_true", help="no progress bar, no notes; the table is printed")
