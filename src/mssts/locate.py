"""Where a model's file is. Needs no torch, so that a mistyped name is told at once."""

from pathlib import Path

from mssts.assets import asset_path
from mssts.errors import CheckpointError

BUNDLED = ("tiny",)
FILE_NAME = "model.safetensors"
"""Of a model in a folder, and of one on the hub."""


def find_checkpoint(name: str | Path) -> Path:
    """Where a model's file is; local paths come before the hub, which is asked only for ids such as `user/model`.

    Raises:
        CheckpointError: There is no such model.
    """
    path = find_local(name)
    if path is not None:
        return path
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(str(name), FILE_NAME))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"{name}: neither a local file nor a model that the hub gives ({reason})") from error


def find_local(name: str | Path) -> Path | None:
    """The file or folder of a model on this machine; None if only the hub can know it.

    Raises:
        CheckpointError: The name is neither that of a file, nor of a bundled model, nor of the hub's form.
    """
    if str(name) in BUNDLED:
        return asset_path(f"{name}.safetensors")
    path = Path(name)
    if path.exists():
        return path
    # A name whose folder exists here is a mistyped path: the hub is not to be asked, which takes long when offline.
    if str(name).count("/") == 1 and not path.suffix and not path.parent.is_dir():
        return None
    raise CheckpointError(f"{name}: no such checkpoint file, and not one of the bundled models ({', '.join(BUNDLED)})")
