"""What the paper's recipes cost: `python benchmarks/recipe_cost.py [--tflops RATE]`.

Counts the floating-point operations of each recipe's training, forward and backward, on clips of the sizes that its
augmentation draws; nothing is computed. Divided by what one of your devices sustains in training, that is device-hours:
`mssts benchmark --train` measures a step, and the count of that very step over its time is the rate.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from mssts.config import ModelConfig, preset
from mssts.data.batch import PADDING_MULTIPLE
from mssts.data.geometry import Size
from mssts.data.transforms import draw_geometry
from mssts.model.vis import VisModel
from mssts.train.config import TrainConfig
from mssts.train.parse import parse_train_config

CONFIGS = Path(__file__).parent.parent / "configs"
# Annotated frames of the training sets, and COCO images with at least one instance; most COCO images are 480x640.
ITEMS = {"coco": 117_266, "ytvis2019": 61_845, "ytvis2021": 90_160}
SIZES = {"coco": (480, 640), "ytvis2019": (720, 1280), "ytvis2021": (720, 1280)}
NUM_DRAWS = 6


def training_flop(config: ModelConfig, num_frames: int, size: Size) -> float:
    """Operations of forward and backward for one clip, padded as batches are."""
    height, width = (-(-side // PADDING_MULTIPLE) * PADDING_MULTIPLE for side in size)
    with torch.device("meta"):
        model = VisModel(config)
        frames = torch.empty(1, num_frames, 3, height, width)
    with FlopCounterMode(display=False) as counter:
        prediction = model(frames)
        outputs = (prediction.class_logits, prediction.boxes_cxcywh, prediction.mask_kernels, prediction.mask_features)
        torch.stack([output.sum() for output in outputs]).sum().backward()
    return counter.get_total_flops()


def clip_flop(config: TrainConfig, data: str) -> float:
    """Mean operations of a clip of one of the recipe's sets, over the sizes that the augmentation draws."""
    random = np.random.default_rng(0)
    sizes = [draw_geometry(config.augmentation, SIZES[data], random).target for _ in range(NUM_DRAWS)]
    return float(np.mean([training_flop(config.model, config.max_frames, size) for size in sizes]))


def main() -> None:
    """Print the table of all recipes, with and without the paper's contributions."""
    parser = argparse.ArgumentParser(description="What the paper's recipes cost.")
    parser.add_argument("--tflops", type=float, default=100.0, help="sustained by a device (default: %(default)s)")
    parser.add_argument("--configs", nargs="+", default=[], help="names of configs/ (default: all recipes)")
    parser.add_argument("--step", help="instead: TFLOP of one training step of a preset at 360x640, T = 5")
    options = parser.parse_args()
    if options.step:
        print(f"{options.step}: {training_flop(preset(options.step), 5, (360, 640)) / 1e12:.2f} TFLOP a step")
        return
    names = options.configs or [path.stem for data in ITEMS for path in sorted(CONFIGS.glob(f"*-{data}.yaml"))]
    print(f"| recipe | clips | TFLOP a clip | EFLOP | device-hours at {options.tflops:g} TFLOP/s |")
    print("|---|---|---|---|---|")
    for name in names:
        config = parse_train_config(["--config", str(CONFIGS / f"{name}.yaml")])
        sets = [Path(folder).name for folder in config.data]
        clips = [(config.epochs or 0) * ITEMS[data] for data in sets]
        flop = sum(count * clip_flop(config, data) for count, data in zip(clips, sets, strict=True))
        hours = flop / (options.tflops * 1e12) / 3600
        print(f"| {name} | {sum(clips):,.0f} | {flop / sum(clips) / 1e12:.2f} | {flop / 1e18:.1f} | {hours:,.0f} |")


if __name__ == "__main__":
    main()
