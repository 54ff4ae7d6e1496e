"""What a training is refused for at once, before torch is imported and any data is read."""

from pathlib import Path

from mssts.data.find_set import find_set, holds_images
from mssts.data.video_set import find_annotations
from mssts.errors import BadInputError
from mssts.locate import find_local
from mssts.train.config import SAME, STATE_FILE, SYNTHETIC, TrainConfig


def check_paths(config: TrainConfig) -> None:
    """Look for everything that the configuration names.

    Raises:
        BadInputError: A set or its annotations are not there, or the run folder holds a training that the new one
            would overwrite.
        CheckpointError: There is no model of the name to start from.
    """
    for data in config.data:
        if data != SYNTHETIC:
            find_set(Path(data), config.split)
    if config.evaluation.data is not None:
        find_evaluation_set(config)
    path = config.out / STATE_FILE
    # A resumed run has its weights in its checkpoint; what it started from may be gone by then.
    if config.init is not None and not (config.resume == "auto" and path.exists()):
        find_local(config.init)
    if config.resume == "never" and path.exists():
        raise BadInputError(
            f"{path}: a training is there already; go on with --resume auto or choose another --out "
            f"(with --init {config.out} it starts from this one's model)"
        )


def find_evaluation_set(config: TrainConfig) -> Path | None:
    """The set to evaluate on, which is there; None is the synthetic one, which will be made.

    Args:
        config: Of a training with `evaluation.data`.

    Raises:
        BadInputError: There is no such set, or no annotations of its split.
    """
    data, split = config.evaluation.data, config.evaluation.split
    if data == SAME:
        data = _first_of_videos(config)
    if data is None or data == SYNTHETIC:
        return None
    if Path(data).is_file():
        return Path(data)
    try:
        find_annotations(Path(data), split)
    except BadInputError as error:
        # A training has two options for splits, so the fault names the one.
        raise BadInputError(f"--evaluation.split {split}: {error}") from error
    return Path(data)


def _first_of_videos(config: TrainConfig) -> str:
    """The first set trained on that is one of videos: images have no tracks to evaluate."""
    for data in config.data:
        if data == SYNTHETIC or not holds_images(find_set(Path(data), config.split)):
            return data
    raise BadInputError(
        f"{config.data[0]}: images have no tracks to evaluate; name a set of videos with --evaluation.data, or null"
    )
