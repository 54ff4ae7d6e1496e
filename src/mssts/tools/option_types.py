"""The types of command line options: from a user's text to a value, or one line that says what is wrong."""

import argparse
import math
from collections.abc import Callable


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


positive = whole_from(1)
natural = whole_from(0)


def size(text: str) -> tuple[int, int]:
    """Height and width in pixels, such as 360x640."""
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) >= 32 and int(width) >= 32):
        raise argparse.ArgumentTypeError(f"'{text}' is not HEIGHTxWIDTH in pixels, at least 32x32")
    return int(height), int(width)
