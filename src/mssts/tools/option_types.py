"""The types of command line options: from a user's text to a value, or one line that says what is wrong."""

import argparse
import math
from collections.abc import Callable
from pathlib import Path

# As `mssts.model.precision` has them, whose import would bring PyTorch with it before the command line is read.
PRECISIONS = ("fp32", "bf16")
PRECISION_HELP = "numbers of the matrix products: fp32, or bf16 with half the bits (default: fp32)"
COMPILE_HELP = "let PyTorch's compiler make the model faster, after a second window that takes a minute or more"


def share(text: str) -> float:
    """A number in 0..1."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number between 0 and 1")
    return value


def whole_from(least: int) -> Callable[[str], int]:
    """The type of whole numbers from `least`."""

    def parse(text: str) -> int:
        """Refuse what is no such number."""
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from {least}")
        return int(text)

    return parse


def whole_between(least: int, most: int) -> Callable[[str], int]:
    """The type of whole numbers from `least` to `most`."""

    def parse(text: str) -> int:
        """Refuse what is no such number."""
        if not text.isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from {least} to {most}")
        return int(text)

    return parse


positive = whole_from(1)
natural = whole_from(0)


def size(text: str) -> tuple[int, int]:
    """Height and width in pixels, such as 360x640."""
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) >= 32 and int(width) >= 32):
        raise argparse.ArgumentTypeError(f"'{text}' is not HEIGHTxWIDTH in pixels, at least 32x32")
    return int(height), int(width)


def frame_list(text: str) -> list[int]:
    """Frame numbers from 0, separated by commas; sorted, each once."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"'{text}' is not a comma list of frame numbers such as 0,8,16")
    return sorted({int(part) for part in parts})


def file_with(*suffixes: str) -> Callable[[str], Path]:
    """The type of files to write whose names end in one of these, such as ".png"."""

    def parse(text: str) -> Path:
        """Refuse other endings."""
        if Path(text).suffix.lower() not in suffixes:
            raise argparse.ArgumentTypeError(f"'{text}' does not end in {', '.join(suffixes)}")
        return Path(text)

    return parse
