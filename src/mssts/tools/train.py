"""The verb `train`: options and YAML file in, a run folder out."""

from collections.abc import Sequence
from importlib.util import find_spec

from mssts.errors import BadInputError, PartialInputError
from mssts.tools.allocator import keep_freed_memory


def run_train(arguments: Sequence[str]) -> int:
    """Train; 0 when done, 4 when stopped before the last step.

    Raises:
        BadInputError: The libraries of training are not installed, or the configuration or data cannot be used.
    """
    require_training_libraries()
    from mssts.train.parse import parse_train_config
    from mssts.train.preflight import check_paths

    config = parse_train_config(arguments)
    check_paths(config)
    # Slow to import; whoever mistyped an option or a path has been told by now.
    from lightning_fabric.utilities.rank_zero import rank_zero_only

    from mssts.train.loop import train
    from mssts.train.stop import StopRequest

    keep_freed_memory()
    state = train(config, StopRequest(config.max_minutes))
    # One process tells for all: a launcher takes a failing second process for a crash.
    is_partial = getattr(rank_zero_only, "rank", 0) == 0 and not state.is_finished
    return PartialInputError.exit_code if is_partial else 0


def require_training_libraries() -> None:
    """Say in one line how to get what only training needs.

    Raises:
        BadInputError: Something is missing.
    """
    for name in ("docstring_parser", "jsonargparse", "lightning_fabric", "tensorboard", "yaml"):
        if find_spec(name) is None:
            raise BadInputError(f"training needs {name}: pip install -e '.[train,viz]' in the project's folder")
