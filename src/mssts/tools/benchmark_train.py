"""`mssts benchmark --train`: how long a training step takes, and how much memory it needs.

The step is the training's own (`train.step`), on one clip with instances at random places; weights are random.
"""

import statistics
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from mssts.config import preset
from mssts.data.batch import Batch, Sample, collate
from mssts.errors import MsstsError
from mssts.loss.boxes import xyxy_px_to_cxcywh
from mssts.tools.benchmark import Stopwatch, matmul_rate, peak_memory
from mssts.train.config import TrainConfig
from mssts.train.setup import build_engine, make_fabric
from mssts.train.step import Engine, train_step
from mssts.types import Targets

NUM_INSTANCES = 4
SEED = 0


@dataclass
class TrainBenchmark:
    """What was measured; times are in seconds per step of one clip, memory is in bytes."""

    preset: str
    size: tuple[int, int]
    frames: int
    device: str
    threads: int
    checkpointing: bool
    adversarial: bool
    steps_s: list[float] = field(default_factory=list)
    matmul_gflop_per_s: float = 0.0
    peak_memory: int = 0

    @property
    def step_s(self) -> float:
        """The median step."""
        return statistics.median(self.steps_s)

    def table(self) -> str:
        """The numbers as text."""
        extras = [name for name in ("checkpointing", "adversarial") if getattr(self, name)]
        return "\n".join(
            [
                f"training step: {self.preset}, one clip of {self.frames} frames of {self.size[0]}x{self.size[1]}, "
                f"{NUM_INSTANCES} instances, float32, {self.device}, {self.threads} threads"
                + (f", {', '.join(extras)}" if extras else ""),
                f"step: {self.step_s:.2f} s (median of {len(self.steps_s)}), peak memory "
                f"{self.peak_memory / 2**30:.2f} GiB ({self.peak_memory / 1e9:.2f} GB)",
                f"float32 matrix products in this run: {self.matmul_gflop_per_s:.0f} GFLOP/s",
            ]
        )


def measure_training(
    name: str, size: tuple[int, int], frames: int, repeat: int, device: torch.device, checkpointing: bool
) -> TrainBenchmark:
    """Take `repeat` training steps of a preset after one that warms up.

    Only the full models train with the adversarial loss: the baseline's step is SeqFormer's.

    Raises:
        MsstsError: A loss was not finite, so the step was cut short and its time means nothing.
    """
    config = TrainConfig(
        preset=name,
        model=preset(name),
        data=("random",),
        steps=10**6,
        backbone_weights="none",
        checkpointing=checkpointing,
        accelerator="cuda" if device.type == "cuda" else "cpu",
    )
    adversarial = config.model.ms_sts.enabled
    engine = _engine(config, adversarial)
    result = TrainBenchmark(name, size, frames, str(device), torch.get_num_threads(), checkpointing, adversarial)
    batch = random_batch(size, frames, config.model.num_class_slots)
    stopwatch = Stopwatch(device)
    for step in range(repeat + 1):
        start = stopwatch.now()
        report = train_step(engine, [batch])
        if report.trouble:
            raise MsstsError(f"benchmark: the step's {report.trouble} was not finite")
        if step:
            result.steps_s.append(stopwatch.now() - start)
    result.peak_memory = peak_memory(device)
    result.matmul_gflop_per_s = matmul_rate(device)
    return result


def _engine(config: TrainConfig, adversarial: bool) -> Engine:
    """The training of a configuration without data or run folder."""
    config = replace(config, adversarial=replace(config.adversarial, enabled=adversarial), out=Path())
    return build_engine(config, make_fabric(config), config.model, fresh=True)


def random_batch(size: tuple[int, int], frames: int, num_slots: int) -> Batch:
    """One clip of noise with rectangular instances, a fifth of the frame wide and high."""
    generator = torch.Generator().manual_seed(SEED)
    height, width = size
    masks = torch.zeros(NUM_INSTANCES, frames, height, width, dtype=torch.bool)
    boxes = torch.zeros(NUM_INSTANCES, frames, 4)
    for instance in range(NUM_INSTANCES):
        for frame in range(frames):
            y, x = (int(torch.randint(side * 4 // 5, (), generator=generator)) for side in size)
            masks[instance, frame, y : y + height // 5, x : x + width // 5] = True
            boxes[instance, frame] = torch.tensor([x, y, x + width // 5, y + height // 5])
    labels = torch.arange(NUM_INSTANCES) % num_slots
    clip = torch.randn(frames, 3, height, width, generator=generator)
    return collate([Sample(clip, Targets(labels, xyxy_px_to_cxcywh(boxes, height, width), masks))])
