"""The options of the verb `compare`; imports nothing slow."""

import argparse
from pathlib import Path

from mssts.tools.option_types import natural, whole_between


def add_compare_options(verb: argparse.ArgumentParser) -> None:
    """Add the options that `tools.compare.run_compare` reads."""
    verb.add_argument("first", type=Path, metavar="A.json", help="results in YouTube-VIS form")
    verb.add_argument("second", type=Path, metavar="B.json", help="other results of the same videos")
    verb.add_argument("--gt", type=Path, required=True, metavar="FILE", help="annotation file with ground truth")
    help_text = "how often the videos are drawn for the intervals, 100 to 100000 (default: %(default)s)"
    verb.add_argument("--resamples", type=whole_between(100, 100_000), default=1000, metavar="N", help=help_text)
    verb.add_argument("--seed", type=natural, default=0, metavar="S", help="of the draws (default: %(default)s)")
    verb.add_argument("--json", type=Path, metavar="FILE", help="write the numbers and all changed videos here")
