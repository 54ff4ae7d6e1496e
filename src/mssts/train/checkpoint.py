"""The state of a training run on disk: written atomically, read back exactly."""

import json
import os
import pickle
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from mssts.config import ModelConfig
from mssts.errors import CheckpointError, ResourceError
from mssts.model.vis import VisModel
from mssts.train.settings import TrainSettings

FILE_NAME = "checkpoint.pt"
# What may differ between a run and its continuation; all else would make it another training.
FREE_SETTINGS = ("steps", "minutes", "threads", "log_every", "evaluate_every", "save_minutes")


@dataclass
class TrainState:
    """A training between two steps. Random numbers need no saving: each step seeds them by its number.

    Attributes:
        model: In training mode.
        optimizer: Of the model's parameters.
        step: How many steps are done.
        elapsed_s: Seconds of training so far, those before a resumption included.
    """

    model: VisModel
    optimizer: torch.optim.Optimizer
    step: int = 0
    elapsed_s: float = 0.0


def save_state(state: TrainState, settings: TrainSettings, path: Path) -> None:
    """Write the state under its final name in one step.

    Raises:
        ResourceError: The file cannot be written; whatever stood at the path before still does.
    """
    content = {
        "model": state.model.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "step": state.step,
        "elapsed_s": state.elapsed_s,
        "settings": _plain(settings),
        "config": _plain(state.model.config),
    }
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except (OSError, RuntimeError) as error:
        part.unlink(missing_ok=True)
        raise ResourceError(f"{path}: cannot write the training state ({error})") from error


def restore_state(state: TrainState, settings: TrainSettings, path: Path) -> None:
    """Bring a freshly made state to where a saved one was.

    Raises:
        CheckpointError: The file is damaged, or of another model or other settings.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        _refuse_other(_plain(state.model.config), content["config"], "model configuration", path)
        _refuse_other(_fixed(_plain(settings)), _fixed(content["settings"]), "training settings", path)
        state.model.load_state_dict(content["model"])
        state.optimizer.load_state_dict(content["optimizer"])
        state.step, state.elapsed_s = content["step"], content["elapsed_s"]
    except (OSError, RuntimeError, EOFError, KeyError, TypeError, ValueError, pickle.UnpicklingError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{path}: cannot resume from it, damaged or of another kind ({reason})") from error


def _plain(settings: TrainSettings | ModelConfig) -> dict[str, object]:
    """Settings as JSON has them: a file with classes in it would need a loader that runs code."""
    return json.loads(json.dumps(asdict(settings)))


def _fixed(settings: dict[str, object]) -> dict[str, object]:
    """The settings that a continuation must share."""
    return {name: value for name, value in settings.items() if name not in FREE_SETTINGS}


def _refuse_other(ours: dict[str, object], saved: dict[str, object], what: str, path: Path) -> None:
    """Name the first field that differs."""
    for name, value in ours.items():
        if saved.get(name) != value:
            raise CheckpointError(f"{path}: its {what} has {name} {saved.get(name)}, this run has {value}")
