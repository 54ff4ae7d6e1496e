"""What a training is refused for before it starts: every path that it names, in one line and at once."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from training import SMALL

from mssts.errors import BadInputError, CheckpointError, MsstsError, ResourceError
from mssts.train.config import STATE_FILE, EvaluationConfig, TrainConfig
from mssts.train.preflight import check_paths, find_evaluation_set


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A set of videos with annotations for training only; what is in them is not looked at."""
    (tmp_path / "videos/train").mkdir(parents=True)
    (tmp_path / "videos/train/instances.json").write_text(json.dumps({"videos": [], "annotations": []}))
    return tmp_path / "videos"


def training(folder: Path, **changes: object) -> TrainConfig:
    """A training on a folder."""
    return replace(SMALL, data=(str(folder),), out=folder.parent / "run", init=None, **changes)  # pyright: ignore[reportArgumentType]


def test_what_is_there_passes(folder: Path) -> None:
    check_paths(training(folder))


@pytest.mark.parametrize(
    ("changes", "error", "fault"),
    [
        ({"data": ("no/such/set",)}, BadInputError, "no/such/set"),
        ({"split": "valid"}, BadInputError, "valid"),
        ({"evaluation": EvaluationConfig(data="same", split="test")}, BadInputError, r"--evaluation\.split test"),
        ({"evaluation": EvaluationConfig(data="no/such/set")}, BadInputError, "no/such/set"),
        ({"init": "no-such-model"}, CheckpointError, "no-such-model"),
    ],
)
def test_what_is_missing_is_named(
    folder: Path, changes: dict[str, object], error: type[MsstsError], fault: str
) -> None:
    with pytest.raises(error, match=fault) as refusal:
        check_paths(replace(training(folder), **changes))  # pyright: ignore[reportArgumentType]
    assert "\n" not in str(refusal.value)


def test_a_run_folder_is_not_overwritten(folder: Path) -> None:
    config = training(folder)
    config.out.mkdir()
    (config.out / STATE_FILE).write_text("")
    with pytest.raises(BadInputError, match=r"--resume auto .* --init .*run"):
        check_paths(config)
    # What the run started from is not needed any more.
    check_paths(replace(config, resume="auto", init="no-such-model"))


def test_the_set_trained_on_is_the_one_evaluated_on_if_asked_for(folder: Path) -> None:
    config = training(folder, evaluation=EvaluationConfig(data="same", split="train"))
    assert find_evaluation_set(config) == folder
    assert find_evaluation_set(replace(config, data=("synthetic",))) is None


def test_a_wrong_path_is_told_before_torch_is_imported() -> None:
    code = (
        "import sys; from mssts.tools.train import run_train; from mssts.errors import BadInputError\n"
        "try: run_train(['--data', 'no/such/set', '--steps', '3'])\n"
        "except BadInputError as error: print(error)\n"
        "print([name for name in ('torch', 'torchvision', 'timm', 'numba') if name in sys.modules])"
    )
    told, imported = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert "no/such/set" in told
    assert imported == "[]"


def test_missing_gpus_are_one_line() -> None:
    from mssts.train.setup import make_fabric

    with pytest.raises(ResourceError, match=r"--devices 1000: PyTorch finds \d+ CUDA GPUs"):
        make_fabric(replace(SMALL, accelerator="cuda", devices=1000))
