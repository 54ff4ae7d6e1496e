"""The options of the verbs `data synthesize`, `data convert` and `data check`; imports nothing slow."""

import argparse
import math
from collections.abc import Callable
from pathlib import Path


def add_synthesize_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `tools.synthesize.run_synthesize` reads."""
    parser.add_argument("out", metavar="OUT", type=Path, help="the set's folder; its split must not exist yet")
    parser.add_argument("--split", default="valid", help="name of the split (default: %(default)s)")
    parser.add_argument("--videos", type=_whole(1), default=60, metavar="N", help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=_whole(0), default=0, help="what they look like (default: %(default)s)")
    parser.add_argument("--size", type=_size, default=(128, 224), metavar="HxW", help="in pixels (default: 128x224)")
    parser.add_argument("--min-frames", type=_whole(1), default=12, metavar="T", help="shortest (default: %(default)s)")
    parser.add_argument("--max-frames", type=_whole(1), default=36, metavar="T", help="longest (default: %(default)s)")
    parser.add_argument("--difficulty", type=_share, default=0.5, metavar="D", help="0..1 (default: %(default)s)")
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


def _whole(least: int) -> Callable[[str], int]:
    """The type of whole numbers from `least`."""

    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from {least}")
        return int(text)

    return parse


def _share(text: str) -> float:
    """A number in 0..1."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number between 0 and 1")
    return value


def _size(text: str) -> tuple[int, int]:
    """Height and width, such as 128x224."""
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) >= 32 and int(width) >= 32):
        raise argparse.ArgumentTypeError(f"'{text}' is not HEIGHTxWIDTH in pixels, at least 32x32")
    return int(height), int(width)
