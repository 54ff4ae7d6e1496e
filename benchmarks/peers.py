"""The model beside others on one clip, random weights, one run: `GOMP_SPINCOUNT=5000 python benchmarks/peers.py`.

Needs the package `transformers` besides the project's own. Its Deformable DETR with a ResNet-50 finds boxes in single
frames, without masks or tracks, and is the closest relative in common use; its VidEoMT is a plain ViT-L that segments
and tracks, at squares of 640 pixels, the size it is made for. All in float32, the models in turn, medians of the turns.
The variable is what the command line sets by itself (mssts/tools/waiting.py).
"""

import argparse
import statistics
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch
from torch import nn

from mssts.api import pick_device
from mssts.config import preset
from mssts.model.vis import VisModel
from mssts.predict.postprocess import masks_of
from mssts.tools.allocator import keep_freed_memory
from mssts.tools.benchmark import NUM_KEPT_QUERIES, matmul_rate
from mssts.tools.option_types import size

OURS = "baseline-r50"


def ready(model: nn.Module, device: torch.device) -> nn.Module:
    """A model as one uses it to predict."""
    return model.eval().requires_grad_(False).to(device)


def our_clip(name: str, clip: torch.Tensor) -> Callable[[], object]:
    """A preset with the masks of 10 queries."""
    model = ready(VisModel(preset(name)), clip.device)
    queries = torch.arange(NUM_KEPT_QUERIES, device=clip.device)
    return lambda: masks_of(model(clip), queries, (clip.shape[-2], clip.shape[-1]))


def transformers() -> Any:
    """The package, which nothing else here needs."""
    try:
        return import_module("transformers")
    except ImportError:
        raise SystemExit("peers need the package transformers: .venv/bin/pip install transformers") from None


def deformable_detr(clip: torch.Tensor) -> Callable[[], object]:
    """The frames of the clip as one batch."""
    config = transformers().DeformableDetrConfig()
    model = ready(transformers().DeformableDetrForObjectDetection(config), clip.device)
    return lambda: model(clip[0])


def videomt(clip: torch.Tensor) -> Callable[[], object]:
    """As many frames at the size of its configuration."""
    config = transformers().VideomtConfig()
    model = ready(transformers().VideomtForUniversalSegmentation(config), clip.device)
    squares = torch.randn(1, clip.shape[1], 3, config.image_size, config.image_size, device=clip.device)
    return lambda: model(squares)


@torch.inference_mode()
def seconds_of(run: Callable[[], object], device: torch.device) -> float:
    """Seconds of one run."""
    start = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def main() -> None:
    """Print the times and the ratios."""
    parser = argparse.ArgumentParser(description="The baseline beside other models, random weights, one run.")
    parser.add_argument("--size", type=size, default=(360, 640), metavar="HxW", help="default: 360x640")
    parser.add_argument("--frames", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--repeat", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--device", default="cpu", help="default: %(default)s")
    options = parser.parse_args()
    keep_freed_memory()
    torch.manual_seed(0)
    device = pick_device(options.device)
    clip = torch.randn(1, options.frames, 3, *options.size, device=device)
    runs = {
        OURS: our_clip(OURS, clip),
        "transformers Deformable DETR R50": deformable_detr(clip),
        "transformers VidEoMT ViT-L": videomt(clip),
    }
    rate = matmul_rate(device)
    print(f"{options.frames} frames of {options.size[0]}x{options.size[1]}, float32, {device}; {rate:.0f} GFLOP/s")
    for run in runs.values():
        seconds_of(run, device)
    turns = [{name: seconds_of(run, device) for name, run in runs.items()} for _ in range(options.repeat)]
    medians = {name: statistics.median(turn[name] for turn in turns) for name in runs}
    for name, seconds in medians.items():
        print(f"{name:<34}{seconds:>8.2f} s{seconds / medians[OURS]:>8.2f} x {OURS}")


if __name__ == "__main__":
    main()
