"""The options of the verb `submit`; imports nothing slow."""

import argparse
from pathlib import Path


def add_submission_options(verb: argparse.ArgumentParser) -> None:
    """Add the options that `tools.submission.run_submission` reads."""
    verb.add_argument("results", type=Path, metavar="RESULTS.json", help="results in YouTube-VIS form")
    help_text = "annotation file of the set that the server evaluates, or the set's folder; needs no ground truth"
    verb.add_argument("--data", type=Path, required=True, metavar="ANN", help=help_text)
    verb.add_argument("--split", default="valid", help="split, if --data is a folder (default: %(default)s)")
    verb.add_argument("--out", type=Path, required=True, metavar="FILE.zip", help="where the zip goes")
