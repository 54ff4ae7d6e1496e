"""Model files: safetensors with the configuration and the category names inside, written atomically.

A reader of the model may skip this file.
"""

import contextlib
import json
import os
from dataclasses import asdict
from pathlib import Path

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from mssts.config import ModelConfig
from mssts.errors import BadInputError, CheckpointError, ResourceError
from mssts.locate import FILE_NAME
from mssts.model.vis import VisModel

FORMAT = "mssts-1"


def save_model(model: VisModel, path: str | Path, half: bool = False) -> None:
    """Write a model under its final name in one step; with `half`, floats are stored in 16 bits.

    Raises:
        ResourceError: The file cannot be written; whatever stood at the path before still does.
    """
    path = Path(path)
    part = path.with_name(path.name + ".part")
    tensors = {name: _storable(tensor, half) for name, tensor in model.state_dict().items()}
    metadata = {"format": FORMAT, "config": json.dumps(asdict(model.config))}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, part, metadata)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.chmod(0o666 & ~_umask())
        part.replace(path)
    except (OSError, SafetensorError) as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise ResourceError(f"{path}: cannot write the checkpoint ({error})") from error


def _umask() -> int:
    """The permissions that new files lack; the writer makes files that only their owner may read."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _storable(tensor: torch.Tensor, half: bool) -> torch.Tensor:
    """A contiguous copy on the CPU, in the stored precision."""
    tensor = tensor.detach().cpu().contiguous()
    return tensor.half() if half and tensor.is_floating_point() else tensor


def load_model(path: str | Path) -> VisModel:
    """Read a model file, or the `model.safetensors` of a folder, into a float32 model in inference mode.

    Raises:
        CheckpointError: The file is missing, damaged, of another format, or does not fit its own configuration.
    """
    path = Path(path)
    path = path / FILE_NAME if path.is_dir() else path
    config, tensors = _read(path)
    try:
        model = VisModel(config)
        model.load_state_dict(
            {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
        )
    except (RuntimeError, ValueError, AssertionError, BadInputError) as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(f"{path}: weights do not fit the configuration stored with them ({reason})") from error
    return model.eval()


def _read(path: Path) -> tuple[ModelConfig, dict[str, torch.Tensor]]:
    """The configuration and the tensors of a model file."""
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise CheckpointError(
                    f"{path}: safetensors, but not written by mssts (official weights: mssts convert)"
                )
            config = msgspec.json.decode(metadata["config"], type=ModelConfig)
            return config, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, KeyError) as error:
        raise CheckpointError(
            f"{path}: not a safetensors checkpoint ({error}); official .pth files: mssts convert"
        ) from error
    except msgspec.DecodeError as error:
        raise CheckpointError(f"{path}: its configuration cannot be read ({error})") from error
