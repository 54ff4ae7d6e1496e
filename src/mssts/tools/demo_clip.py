"""Render the bundled demo clip: `python -m mssts.tools.demo_clip OUT.mp4`."""

import argparse
import sys
from pathlib import Path

from mssts.data.synthetic import SyntheticVideo, synthesize_video
from mssts.predict.video_writer import VideoWriter

# Four objects of different classes, some of which pass before each other. The model was never trained on
# it (training seeds start at 10^6).
SEED = 5250
NUM_FRAMES = 30
HEIGHT, WIDTH = 256, 448
DIFFICULTY = 0.35
FPS = 10


def demo_video() -> SyntheticVideo:
    """The clip with its truth, which tests compare the demo's tracks with."""
    return synthesize_video(SEED, num_frames=NUM_FRAMES, height=HEIGHT, width=WIDTH, difficulty=DIFFICULTY)


def main(arguments: list[str] | None = None) -> int:
    """Write the clip."""
    parser = argparse.ArgumentParser(prog="python -m mssts.tools.demo_clip", description=__doc__)
    parser.add_argument("out", type=Path, metavar="OUT.mp4")
    options = parser.parse_args(arguments)
    with VideoWriter(options.out, FPS, WIDTH, HEIGHT) as writer:
        for frame in demo_video().frames:
            writer.write(frame)
    return 0


if __name__ == "__main__":
    sys.exit(main())
