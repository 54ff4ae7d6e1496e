"""The verb `data synthesize`: a set of synthetic videos with exact truth."""

import argparse

from mssts.data.synthetic_cast import ATTRIBUTES
from mssts.data.synthetic_set import write_synthetic_set
from mssts.errors import BadInputError


def run_synthesize(options: argparse.Namespace) -> int:
    """Write one split and print what it holds and which share of its videos shows what.

    Raises:
        BadInputError: The split exists already, or the lengths contradict each other.
    """
    if options.min_frames > options.max_frames:
        raise BadInputError(f"--min-frames {options.min_frames} is more than --max-frames {options.max_frames}")
    height, width = options.size
    summary = write_synthetic_set(
        options.out,
        options.split,
        options.videos,
        options.seed,
        height,
        width,
        options.min_frames,
        options.max_frames,
        options.difficulty,
        progress=not options.quiet,
    )
    print(summary.counts)
    print(f"{'attribute':<16}{'built to show':>14}{'shows':>8}   (share of the videos)")
    for name in ATTRIBUTES:
        print(f"{name:<16}{summary.built[name]:>14.0%}{summary.shown[name]:>8.0%}")
    return 0
