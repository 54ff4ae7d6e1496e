"""Peak memory of `mssts predict` on a long video as a multiple of a short one's: `python benchmarks/long_video.py`.

Makes two 360p files from the demo clip, played back and forth, predicts both in processes of their own, and checks that
every frame is in the outputs, in order.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import av

from mssts.assets import asset_path
from mssts.predict.video_writer import VideoWriter

HEIGHT, WIDTH, FPS = 360, 640, 25


def write_long_video(path: Path, num_frames: int, height: int = HEIGHT, width: int = WIDTH) -> None:
    """Play the demo clip back and forth until there are enough frames."""
    with av.open(str(asset_path("demo.mp4"))) as container:
        frames = [frame.reformat(width, height, "rgb24").to_ndarray() for frame in container.decode(video=0)]
    period = frames + frames[-2:0:-1]
    with VideoWriter(path, FPS, width, height) as writer:
        for index in range(num_frames):
            writer.write(period[index % len(period)])


def predict(source: Path, out: Path) -> tuple[int, float]:
    """Run the command; returns its peak memory in bytes and its seconds."""
    command = [sys.executable, "-m", "mssts", "predict", str(source), "--out", str(out), "--quiet"]
    start = time.perf_counter()
    process = os.posix_spawn(command[0], command, dict(os.environ))
    _, status, usage = os.wait4(process, 0)
    if status:
        raise SystemExit(f"{source}: predict failed with status {status}")
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024), time.perf_counter() - start


def count_frames(out: Path) -> tuple[int, int]:
    """Frames of the overlay video, whose times must rise, and of the longest track list in the results."""
    with av.open(str(out / "overlay.mp4")) as container:
        times = [frame.pts for frame in container.decode(video=0) if frame.pts is not None]
    assert times == sorted(set(times))
    entries = json.loads((out / "results.json").read_text())
    return len(times), max(len(entry["segmentations"]) for entry in entries)


def main() -> None:
    """Print memory and time of both videos, and the ratios."""
    parser = argparse.ArgumentParser(description="Peak memory of a long video against a short one.")
    parser.add_argument("--short", type=int, default=200, help="frames (default: %(default)s)")
    parser.add_argument("--long", type=int, default=2000, help="frames (default: %(default)s)")
    options = parser.parse_args()
    measured = []
    with tempfile.TemporaryDirectory() as folder:
        for num_frames in (options.short, options.long):
            source, out = Path(folder) / f"{num_frames}.mp4", Path(folder) / str(num_frames)
            write_long_video(source, num_frames)
            memory, seconds = predict(source, out)
            frames = count_frames(out)
            print(
                f"{num_frames} frames: peak {memory / 2**20:.0f} MiB, {seconds / num_frames:.3f} s a frame, "
                f"frames in overlay and results: {frames}",
                flush=True,
            )
            assert frames == (num_frames, num_frames)
            measured.append((memory, seconds / num_frames))
    (short_memory, short_time), (long_memory, long_time) = measured
    print(f"ratio long / short: memory {long_memory / short_memory:.3f}, time a frame {long_time / short_time:.3f}")


if __name__ == "__main__":
    main()
