"""A training small enough for a test, as a configuration and as a YAML file for real processes."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import yaml

from mssts.config import ModelConfig, MsStsConfig, TemporalDecoderConfig
from mssts.data.synthetic import CATEGORIES
from mssts.loss.config import AdversarialConfig
from mssts.train.config import ClipConfig, OptimConfig, SyntheticConfig, TrainConfig
from mssts.train.loader import StepBatches
from mssts.train.setup import make_fabric, open_clips, prepare
from mssts.train.step import Engine

SMALL_MODEL = ModelConfig(
    backbone="mobilenetv4_conv_small",
    freeze_batch_norm=True,
    hidden_dim=32,
    num_heads=2,
    feedforward_dim=64,
    num_encoder_layers=1,
    num_decoder_layers=2,
    num_queries=8,
    dropout=0.0,
    num_frames=2,
    num_class_slots=8,
    categories=CATEGORIES,
    short_side=64,
    ms_sts=MsStsConfig(num_heads=2, mlp_ratio=1.0, joint_levels=(2,)),
    temporal_decoder=TemporalDecoderConfig(num_heads=2),
)
SMALL = TrainConfig(
    preset="tiny",
    model=SMALL_MODEL,
    data=("synthetic",),
    steps=4,
    backbone_weights="none",
    clips=ClipConfig(per_step=2, per_batch=2),
    synthetic=SyntheticConfig(height=64, width=96, difficulty_to=0.0),
    optim=OptimConfig(learning_rate=1e-3, clip_norm=1.0, schedule="cosine", warmup_steps=2),
    adversarial=AdversarialConfig(enabled=False),
    accelerator="cpu",
    threads=1,
    workers=0,
)


def make_engine(config: TrainConfig, out: Path) -> tuple[Engine, StepBatches]:
    """A training in this process, before its first step."""
    config = replace(config, out=out)
    source = open_clips(config)
    return prepare(config, make_fabric(config), source.categories, len(source)), StepBatches(source, config)


def write_yaml(path: Path, **changes: Any) -> Path:
    """The small training as a configuration file."""
    content: dict[str, Any] = {
        "preset": "tiny",
        "model": {
            "backbone": "mobilenetv4_conv_small",
            "hidden_dim": 32,
            "num_heads": 2,
            "feedforward_dim": 64,
            "num_encoder_layers": 1,
            "num_decoder_layers": 2,
            "num_queries": 8,
            "num_frames": 2,
            "short_side": 64,
            "ms_sts": {"num_heads": 2, "mlp_ratio": 1.0, "joint_levels": [2]},
            "temporal_decoder": {"num_heads": 2},
        },
        "data": ["synthetic"],
        "steps": 6,
        "backbone_weights": "none",
        "clips": {"per_step": 2, "per_batch": 2},
        "synthetic": {"height": 64, "width": 96},
        "optim": {"learning_rate": 0.001, "clip_norm": 1.0, "schedule": "cosine"},
        "accelerator": "cpu",
        "threads": 1,
        "workers": 0,
        "log_every": 1,
    }
    path.write_text(yaml.safe_dump(content | changes))
    return path


def write_script(path: Path, prelude: str = "") -> Path:
    """`mssts train` as a script, after some lines of Python that may plant a disaster in it."""
    path.write_text(f"{prelude}\nimport sys\nfrom mssts.cli import main\nsys.exit(main(['train', *sys.argv[1:]]))\n")
    return path


def run_script(script: Path, *arguments: object, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    """A script in a process of its own, which may start further ones like itself."""
    command = [sys.executable, str(script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


def load(path: Path) -> dict[str, Any]:
    """A training's checkpoint."""
    return torch.load(path, weights_only=True)


def differences(first: Any, second: Any, place: str = "") -> list[str]:
    """Where two checkpoints differ by a single bit, the time they took aside."""
    if isinstance(first, torch.Tensor):
        return [] if torch.equal(first, second) else [place]
    if isinstance(first, dict):
        missing = [f"{place}.{key} missing" for key in first.keys() ^ second.keys()]
        keys = [key for key in first.keys() & second.keys() if key != "elapsed_s"]
        return missing + [where for key in keys for where in differences(first[key], second[key], f"{place}.{key}")]
    if isinstance(first, (list, tuple)):
        pairs = enumerate(zip(first, second, strict=True))
        return [where for index, pair in pairs for where in differences(*pair, f"{place}[{index}]")]
    return [] if first == second else [place]
