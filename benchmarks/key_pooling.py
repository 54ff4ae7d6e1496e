"""What the cheaper joint attention costs: `GOMP_SPINCOUNT=5000 python benchmarks/key_pooling.py [SET [MODEL]]`.

The model is one that was trained with the exact form; nothing is trained again. Prints AP on the set's split `valid`
and the time of a clip of the full ResNet-50 model, with random weights, for keys averaged over squares of 1 (exact), 2,
4 and 8 positions a side, beside the baseline without MS-STS attention.
"""

import argparse
import statistics
from dataclasses import replace
from pathlib import Path

import torch

from mssts.checkpoint import load_model
from mssts.config import ModelConfig, preset
from mssts.data.video_set import VideoSet, load_video_set
from mssts.evaluate.run_model import evaluate_model
from mssts.evaluate.video_ap import evaluate_video_ap
from mssts.locate import find_checkpoint
from mssts.model.vis import VisModel
from mssts.tools.allocator import keep_freed_memory
from mssts.tools.benchmark import Stopwatch

SIDES = (1, 2, 4, 8)
SIZE, NUM_FRAMES = (360, 640), 5


def with_pooling(config: ModelConfig, side: int) -> ModelConfig:
    """The same model whose joint attention looks at squares."""
    return replace(config, ms_sts=replace(config.ms_sts, key_pooling=side))


def average_precision(truth: VideoSet, model: VisModel, side: int) -> dict[str, float]:
    """Video AP of the model's weights in the form with that pooling."""
    pooled = VisModel(with_pooling(model.config, side)).eval()
    pooled.load_state_dict(model.state_dict())
    results = evaluate_model(pooled, truth, device=torch.device("cpu"), mode="near-online", progress=False)
    return evaluate_video_ap(truth, results).numbers


@torch.inference_mode()
def clip_seconds(configs: dict[str, ModelConfig], repeat: int) -> dict[str, float]:
    """Median times of a clip through models with random weights, which take turns."""
    torch.manual_seed(0)
    models = {name: VisModel(config).eval().requires_grad_(False) for name, config in configs.items()}
    clip, watch = torch.randn(1, NUM_FRAMES, 3, *SIZE), Stopwatch(torch.device("cpu"))
    times: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(repeat + 1):
        for name, model in models.items():
            start = watch.now()
            model(clip)
            times[name].append(watch.now() - start)
    return {name: statistics.median(seconds[1:]) for name, seconds in times.items()}


def main() -> None:
    """Print both tables, or the second."""
    parser = argparse.ArgumentParser(description="Accuracy and time of joint attention with pooled keys.")
    parser.add_argument("set", type=Path, nargs="?", help="folder of a data set with a split `valid`; none: times only")
    parser.add_argument("model", nargs="?", default="tiny", help="(default: %(default)s)")
    parser.add_argument("--repeat", type=int, default=3, help="runs of a clip (default: %(default)s)")
    options = parser.parse_args()
    keep_freed_memory()
    if options.set is not None:
        truth, model = load_video_set(options.set, "valid"), load_model(find_checkpoint(options.model))
        print(f"{options.model} on {len(truth.videos)} videos of {options.set}")
        for side in SIDES:
            numbers = average_precision(truth, model, side)
            columns = "  ".join(f"{name} {100 * numbers[name]:.1f}" for name in ("AP", "AP50", "AP75"))
            print(f"squares of {side}: {columns}")
    pooled = {f"squares of {side}": with_pooling(preset("r50"), side) for side in SIDES}
    seconds = clip_seconds({"baseline": preset("baseline-r50"), **pooled}, options.repeat)
    print(f"ResNet-50, {NUM_FRAMES} frames of {SIZE[0]}x{SIZE[1]}")
    for name, median in seconds.items():
        print(f"{name}: {median:.2f} s, {median / seconds['baseline']:.2f} times the baseline")


if __name__ == "__main__":
    main()
