"""The state of a training run on disk: written atomically, read back exactly."""

import json
import os
import pickle
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from mssts.errors import CheckpointError, ResourceError
from mssts.model.vis import VisModel
from mssts.train.config import TrainConfig

# What may differ between a run and its continuation; all else would make it another training.
FREE_SETTINGS = (
    "out", "data", "init", "backbone_weights", "evaluation", "checkpointing", "devices", "num_nodes", "accelerator",
    "precision", "threads", "workers", "log_every", "save_minutes", "max_minutes", "max_skips", "resume",
)  # fmt: skip


@dataclass
class TrainState:
    """A training between two steps. Random numbers need no saving: each step seeds them by its number.

    Attributes:
        model: In training mode.
        optimizer: Of the model's parameters.
        discriminator: The adversary, if the training has one; it is in no file that is made for inference.
        discriminator_optimizer: Of its parameters.
        average: A moving average of the model, if the training keeps one.
        step: How many steps are done.
        num_skipped: How many of them changed nothing because a loss was not finite.
        skips_in_a_row: How many of those were the last ones.
        elapsed_s: Seconds of training so far, those before a resumption included.
        num_items: Items of the data, which decide the order that they come in; 0 if not known.
        is_finished: Whether all steps of the training are done; in no file, since the file's step tells it.
    """

    model: VisModel
    optimizer: torch.optim.Optimizer
    discriminator: nn.Module | None = None
    discriminator_optimizer: torch.optim.Optimizer | None = None
    average: AveragedModel | None = None
    step: int = 0
    num_skipped: int = 0
    skips_in_a_row: int = 0
    elapsed_s: float = 0.0
    num_items: int = 0
    is_finished: bool = False

    def parts(self) -> dict[str, Any]:
        """All that has a `state_dict`, by name."""
        parts = {
            "model": self.model,
            "optimizer": self.optimizer,
            "discriminator": self.discriminator,
            "discriminator_optimizer": self.discriminator_optimizer,
            "average": self.average,
        }
        return {name: part for name, part in parts.items() if part is not None}

    def counters(self) -> dict[str, int | float]:
        """The numbers."""
        names = ("step", "num_skipped", "skips_in_a_row", "elapsed_s")
        return {name: getattr(self, name) for name in names}

    @property
    def best_model(self) -> VisModel:
        """The model to evaluate and to keep: the average if there is one."""
        if self.average is None:
            return self.model
        assert isinstance(self.average.module, VisModel)
        return self.average.module


def save_state(state: TrainState, config: TrainConfig, path: Path) -> None:
    """Write the state under its final name in one step.

    Raises:
        ResourceError: The file cannot be written; whatever stood at the path before still does.
    """
    content = {name: part.state_dict() for name, part in state.parts().items()}
    content |= {"counters": state.counters(), "config": plain(config), "categories": _categories(state.model)}
    content["num_items"] = state.num_items
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except (OSError, RuntimeError) as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise ResourceError(f"{path}: cannot write the training state ({reason})") from error


def restore_state(state: TrainState, config: TrainConfig, path: Path) -> None:
    """Bring a freshly made state to where a saved one was.

    Raises:
        CheckpointError: The file is damaged, or of another model or other settings.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        defaults = plain(TrainConfig(data=config.data, steps=1))
        _refuse_other(plain(config), content["config"], defaults, path)
        _refuse_other({"categories": _categories(state.model)}, {"categories": content["categories"]}, {}, path)
        _refuse_other_data(state.num_items, content.get("num_items", 0), path)
        for name, part in state.parts().items():
            part.load_state_dict(content[name])
        for name, value in content["counters"].items():
            setattr(state, name, value)
    except (OSError, RuntimeError, EOFError, KeyError, TypeError, ValueError, pickle.UnpicklingError) as error:
        reason = " ".join(str(error).split())[:200] or "it ends too soon"
        raise CheckpointError(f"{path}: cannot resume from it, damaged or of another kind ({reason})") from error


def plain(config: TrainConfig) -> dict[str, Any]:
    """The settings that a continuation must share, as JSON has them: a file with classes in it would run code."""
    settings = json.loads(json.dumps(asdict(config), default=str))
    return {name: value for name, value in settings.items() if name not in FREE_SETTINGS}


def _categories(model: VisModel) -> dict[str, str]:
    """What the class slots mean: on data with other categories a resumed run would give its classes other names."""
    return {str(category.slot): f"{category.name} (id {category.id})" for category in model.config.categories}


def _refuse_other_data(ours: int, saved: int, path: Path) -> None:
    """The same data elsewhere is fine; more or less of it comes in another order."""
    if ours and saved and ours != saved:
        raise CheckpointError(f"{path}: was trained on {saved} items, the data now have {ours}")


def _refuse_other(
    ours: dict[str, Any], saved: dict[str, Any], defaults: dict[str, Any], path: Path, section: str = ""
) -> None:
    """Name the first setting that differs; one that was not there yet had what is its default now."""
    for name in sorted(ours.keys() | saved.keys()):
        value, other = ours.get(name), saved.get(name, defaults.get(name))
        if isinstance(value, dict) and isinstance(other, dict):
            _refuse_other(value, other, defaults.get(name) or {}, path, f"{section}{name}.")
        elif other != value:
            is_length = not section and name in ("steps", "epochs")
            hint = f"; to train its model further, start a run with --init {path.parent}" if is_length else ""
            raise CheckpointError(f"{path}: was trained with {section}{name} {other}, this run has {value}{hint}")
