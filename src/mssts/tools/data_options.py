"""The options of the verbs `data synthesize`, `data convert` and `data check`; imports nothing slow."""

import argparse
from pathlib import Path

from mssts.tools.option_types import natural, positive, share, size


def add_synthesize_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `tools.synthesize.run_synthesize` reads."""
    parser.add_argument("out", metavar="OUT", type=Path, help="the set's folder; its split must not exist yet")
    parser.add_argument("--split", default="valid", help="name of the split (default: %(default)s)")
    parser.add_argument("--videos", type=positive, default=60, metavar="N", help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=natural, default=0, help="what they look like (default: %(default)s)")
    parser.add_argument("--size", type=size, default=(128, 224), metavar="HxW", help="in pixels (default: 128x224)")
    parser.add_argument("--min-frames", type=positive, default=12, metavar="T", help="shortest (default: %(default)s)")
    parser.add_argument("--max-frames", type=positive, default=36, metavar="T", help="longest (default: %(default)s)")
    parser.add_argument("--difficulty", type=share, default=0.5, metavar="D", help="0..1 (default: %(default)s)")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def add_data_convert_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `tools.data_convert.run_data_convert` reads."""
    parser.add_argument("source", metavar="IN", type=Path, help="the set's folder, or a COCO annotation file")
    parser.add_argument("out", metavar="OUT", type=Path, help="folder of the new set; its split must not exist yet")
    parser.add_argument(
        "--from", dest="form", choices=("davis", "coco", "mots", "ytvis"), required=True, help="form of IN"
    )
    parser.add_argument("--to", choices=("ytvis",), default="ytvis", help="form of OUT (default: %(default)s)")
    parser.add_argument("--split", default="train", help="split of OUT, and of a COCO folder (default: %(default)s)")
    parser.add_argument("--only", type=Path, metavar="FILE", help="text file of the videos to take, one a line")
    parser.add_argument("--copy", action="store_true", help="copy the pictures; otherwise they are hard-linked")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def add_check_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `tools.data_check.run_check` is called with."""
    parser.add_argument("folder", metavar="DIR", type=Path, help="the set's folder, or one annotation file")
    parser.add_argument("--split", help="the split to check (default: every known split that is there)")
    parser.add_argument("--all", action="store_true", help="print every fault, not the first 20 of each kind")
