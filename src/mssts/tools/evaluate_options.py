"""The options of the verb `evaluate`; imports nothing slow."""

import argparse
from pathlib import Path


def add_evaluate_options(verb: argparse.ArgumentParser) -> None:
    """Add the options that `tools.evaluate.run_evaluate` reads."""
    verb.add_argument("--gt", type=Path, metavar="FILE", help="annotation file with ground truth; goes with --results")
    verb.add_argument("--data", type=Path, metavar="DIR", help="folder of a data set; goes with --model")
    verb.add_argument("--results", type=Path, metavar="FILE", help="results in YouTube-VIS form; goes with --gt")
    verb.add_argument("--model", help="bundled name, file, folder or hub id; goes with --data")
    verb.add_argument("--split", default="valid", help="split of --data (default: %(default)s)")
    modes = ("offline", "near-online")
    verb.add_argument("--mode", choices=modes, default="offline", help="offline is the official protocol (default)")
    verb.add_argument("--attributes", action="store_true", help="also AP by the paper's attributes of videos")
    verb.add_argument("--json", type=Path, metavar="FILE", help="write the numbers here, as shares of 1")
    verb.add_argument("--csv", type=Path, metavar="FILE", help="write the numbers here, a row per table row")
    verb.add_argument("--save-results", type=Path, metavar="FILE", help="write the model's results here")
    verb.add_argument("--window", type=_positive, metavar="T", help="frames per pass of the model (default: its own)")
    verb.add_argument("--short-side", type=_positive, metavar="N", help="resize frames to this (default: the model's)")
    verb.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, … (default: %(default)s)")
    verb.add_argument("--quiet", action="store_true", help="no progress bar, no notes; the table is printed")


def _positive(text: str) -> int:
    """A whole number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 1")
    return int(text)
